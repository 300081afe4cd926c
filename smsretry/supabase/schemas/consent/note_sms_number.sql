-- Record what a refusal, or a failed delivery, says of its number. It is recorded before the
-- outcome is, so that neither is lost: if this call fails, the text is looked for, and its next
-- refusal says it again. No fence: it is true, whoever has the row. May be repeated. False: the
-- message was delivered after all, nobody has the number any more, or the application's rules
-- refuse the phone_status.
--   opted_out: the number's consent at the business ends
--   phone_status: tells the application what is wrong with the number
create or replace function public.note_sms_number(
    attempt_id uuid,
    opted_out boolean default false,
    phone_status text default null,
    error_code integer default null
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    v_attempt record;
begin
    select
        q.business_id,
        a.number_key,
        a.begun_at,
        coalesce(
            a.sent_to,
            case
                when smsretry.number_key(c.business_id, c.phone) = a.number_key
                    then c.phone
            end
        ) as phone
    into v_attempt
    from public.sms_send_attempts a
    join public.sms_retry_queue q on q.id = a.retry_id
    left join public.customers c
        on c.id = q.customer_id and c.business_id = q.business_id
    where a.id = note_sms_number.attempt_id
      and smsretry.delivery_of(a.delivery_status) <> 'delivered';
    if v_attempt.phone is null then
        return false;
    end if;
    if note_sms_number.opted_out then
        perform smsretry.write_consent(
            smsretry.keep_words(
                smsretry.words_at(
                    array[v_attempt.business_id],
                    v_attempt.phone,
                    'opted_out',
                    coalesce('twilio_' || note_sms_number.error_code, 'provider_refusal'),
                    smsretry.clock()
                ),
                everyone => true,
                marks => true
            )
        )
        where not exists (
            -- it is kept already, whatever was said after it
            select from smsretry.consents o
            where o.subject_key = v_attempt.number_key
              and o.said = 'opted_out'
              and o.dated >= v_attempt.begun_at
        );
    elsif note_sms_number.phone_status is not null then
        begin
            update public.customers c
            set phone_status = note_sms_number.phone_status
            where c.id in (
                select o.id
                from public.customers o
                where o.phone = v_attempt.phone
                  and (o.business_id = v_attempt.business_id) is true -- by the number's index
                for no key update skip locked
            );
            set constraints all immediate;
        exception
            when query_canceled or others then -- its error would quote the number
                raise warning 'The customers of attempt % could not be marked after the provider''s %: %',
                    attempt_id,
                    error_code,
                    sqlstate;
                return false;
        end;
    end if;
    return true;
end
$$;
