-- Say whether whoever calls a function that has its owner's rights may read numbers and bodies.
create or replace function smsretry.may_read_numbers()
returns boolean
language sql stable set search_path = pg_catalog, pg_temp as $$
    select has_column_privilege(
        coalesce(nullif(current_setting('role'), 'none'), session_user),
        'public.customers',
        'phone',
        'select'
    )
$$;

-- Take numbers and bodies out of a line of preview_sms_retries, for who may see none; what was sent
-- is left out. The last seven digits of a number are others, so that it is from the same place; a
-- body is as long, in one of the two alphabets. A number may be in any column that somebody wrote:
-- an import that is off by one writes it into the time zone.
create or replace function smsretry.without_number(line jsonb)
returns jsonb
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant jsonb := without_number.line -> 'sender';
    v_phone constant text := without_number.line ->> 'phone';
    v_digits constant text := regexp_replace(v_phone, '[^+0-9]', '', 'g');
    v_body constant text := without_number.line ->> 'body';
begin
    return (
        select jsonb_object_agg(
            e.key,
            case
                when jsonb_typeof(e.value) = 'string'
                    then to_jsonb(smsretry.numberless(e.value #>> '{}'))
                else e.value
            end
        )
        from jsonb_each(without_number.line) e
    )
        || '{"fingerprint": null, "sent_to": null, "sent_body": null, "sent_by": null, "other_bodies": [], "last_error": null}'
        || jsonb_build_object(
            'phone', case
                when v_digits ~ '^[+]1[0-9]{3}[01][0-9]{6}$' then '+10000000000'
                when v_digits ~ '[0-9]{7}$'
                    then left(v_digits, -7) || '2345678'
                        || case when v_digits <> v_phone then ' ' else '' end -- misspelled, too
                when v_phone <> '' then '…'
                else v_phone
            end,
            'body', case
                when btrim(v_body, E' \t\n\r\f') = '' then v_body
                else repeat(
                    case when v_body ~ '[^[:ascii:]]' then 'ы' else 'x' end,
                    length(v_body)
                )
            end,
            'sender', case
                when jsonb_typeof(v_sender) = 'object'
                    then v_sender
                        || jsonb_build_object(
                            'sent_by', smsretry.shown_sender(v_sender ->> 'sent_by')
                        )
                else 'null'
            end
        );
end
$$;
