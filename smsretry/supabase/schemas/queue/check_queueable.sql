-- Refuse a send log whose text cannot be owed to anybody. The caller has locked it; its id is null if there is none.
create or replace function smsretry.check_queueable(log public.send_logs, asked_for uuid)
returns void language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    if log.id is null then
        raise exception 'There is no send log %', asked_for
            using errcode = 'SR404', hint = 'Insert the send_logs row first, then queue its retry.';
    end if;
    if log.channel <> 'sms' then
        raise exception 'Send log % is of channel %, not sms', log.id, log.channel using errcode = 'SR422';
    end if;
    if log.customer_id is null then
        raise exception 'Send log % names no customer', log.id
            using errcode = 'SR422', hint = 'Set send_logs.customer_id: consent and phone number are read there.';
    end if;
    if exists (select 1 from public.customers c where c.id = log.customer_id and c.business_id <> log.business_id) then
        raise exception 'Send log % names a customer of another business', log.id using errcode = 'SR422';
    end if;
end
$$;
