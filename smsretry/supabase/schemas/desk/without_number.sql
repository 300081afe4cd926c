-- A line of preview_sms_retries for who may see no whole number and no body: with others like them, and without what was sent.
-- A number may be in any column that somebody wrote: an import that is off by one writes it into the time zone.
create or replace function smsretry.without_number(line jsonb)
returns jsonb language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_sender constant jsonb := without_number.line -> 'sender';
begin
    return (select jsonb_object_agg(e.key, case when jsonb_typeof(e.value) = 'string'
                                                then to_jsonb(smsretry.numberless(e.value #>> '{}')) else e.value end)
            from jsonb_each(without_number.line) e)
        || '{"decided_by": null, "sent_to": null, "sent_body": null, "sent_by": null, "other_bodies": [], "last_error": null}'
        || jsonb_build_object(
            'phone', smsretry.like_number((without_number.line ->> 'business_id')::uuid, without_number.line ->> 'phone'),
            'body', smsretry.like_body(without_number.line ->> 'body'),
            'sender', case when jsonb_typeof(v_sender) = 'object'
                           then v_sender || jsonb_build_object('sent_by', smsretry.shown_sender(v_sender ->> 'sent_by')) else 'null' end);
end
$$;
