-- Whether a business has texted this number from one of these senders (as smsretry.heard_by has them). An attempt that names
-- no sender may have gone out from any.
create or replace function smsretry.texted_through(business_id uuid, phone text, senders text[])
returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    v_key constant bytea := (select smsretry.number_key(texted_through.business_id, texted_through.phone) from smsretry.secret);
begin
    return v_key is null or exists (
        select 1 from public.sms_send_attempts a
        where a.number_key = v_key
          and (a.sent_by is null or a.sent_by = any (texted_through.senders)
               or a.sent_account = any (texted_through.senders)
               or '' = any (texted_through.senders) and smsretry.is_environments(a.sent_by)));
end
$$;
