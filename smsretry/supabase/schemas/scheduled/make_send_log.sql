-- Insert the send log of a scheduled send, with the send's own id. Returns whether it was made now. Raises if afterwards
-- none says that its text waits, so call it inside a block.
create or replace function smsretry.make_send_log(id uuid, business_id uuid, customer_id uuid, body text, at timestamptz)
returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_made boolean;
    v_sent boolean;
begin
    insert into public.send_logs (id, business_id, customer_id, channel, subject, created_at, updated_at)
    select make_send_log.id, make_send_log.business_id, make_send_log.customer_id, 'sms', make_send_log.body,
           make_send_log.at, make_send_log.at
    where not exists (select 1 from public.send_logs l where l.id = make_send_log.id);
    v_made := found;
    select smsretry.is_sent(l.provider_message_id, l.status::text) into v_sent
    from public.send_logs l where l.id = make_send_log.id;
    if v_sent is null then
        raise exception 'its send log was not kept; a trigger on send_logs swallows it, or gives it another id' using errcode = 'SR409';
    elsif v_made and v_sent then
        raise exception 'its send log says from the start that the text was sent; send_logs.status needs another default'
            using errcode = 'SR409';
    end if;
    return v_made;
end
$$;
