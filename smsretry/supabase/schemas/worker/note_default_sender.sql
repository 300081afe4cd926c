-- Keep what the sender of a runner's environment is. Notes once an hour that it still is (smsretry.is_environments), or once a
-- minute if another was seen since. Locks no row that is as it was, or all claims would wait for each other.
create or replace function smsretry.note_default_sender(sender text, account text, per_second double precision)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_variable
declare
    v_known smsretry.default_senders;
begin
    if sender is null or account is null then
        return;
    end if;
    select * into v_known from smsretry.default_senders d where d.sent_by = sender;
    if v_known.sent_by is null then
        insert into smsretry.default_senders (sent_by, account, segments_per_second, seen_at)
        values (sender, account, per_second, smsretry.clock()) on conflict do nothing;
    elsif (v_known.account, v_known.segments_per_second) is distinct from (account, per_second)
        or v_known.seen_at < smsretry.clock() - interval '1 hour'
        or v_known.seen_at < smsretry.clock() - interval '1 minute'
            and exists (select from smsretry.default_senders d where d.seen_at > v_known.seen_at)
    then
        update smsretry.default_senders d
        set account = note_default_sender.account, segments_per_second = per_second, seen_at = smsretry.clock()
        where d.sent_by = (select f.sent_by from smsretry.default_senders f where f.sent_by = sender for update skip locked);
    end if;
end
$$;
