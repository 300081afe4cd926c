-- The provider refused a number for a sender (sent_by of the attempt): it opted out at every business that shares the sender.
-- This locks and writes no other business's customers, so that their locks and triggers decide nothing about this text.
-- unwritten_consents keeps the opt-out. While no business has a sender of its own, each learns of it by its own text.
create or replace function smsretry.share_opt_out(business_id uuid, phone text, sent_by text, source text, at timestamptz)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    v_senders text[];
    v_shares record;
begin
    if not exists (select 1 from smsretry.senders) then
        return;
    end if;
    v_senders := array_remove(
        array[share_opt_out.sent_by, case when smsretry.is_environments(share_opt_out.sent_by) then '' end], null);
    for v_shares in
        select b.id, smsretry.number_key(b.id, share_opt_out.phone) as number_key
        from smsretry.businesses_of(share_opt_out.phone, false, v_senders) b (id) cross join smsretry.secret
    loop
        perform smsretry.keep_stop(v_shares.number_key, v_senders, share_opt_out.at);
        if v_shares.id <> share_opt_out.business_id then
            perform smsretry.keep_unwritten(
                v_shares.number_key, v_shares.id, 'opted_out', share_opt_out.at, share_opt_out.source);
        end if;
    end loop;
end
$$;
