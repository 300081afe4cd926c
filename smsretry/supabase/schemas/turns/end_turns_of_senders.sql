-- A claim has ended: each of these senders goes on behind the business that was served last. Never waits.
--   last: smsretry.claim_by_sender; sender: the environment's
create or replace function smsretry.end_turns_of_senders(last jsonb, sender text)
returns void language sql set search_path = pg_catalog, pg_temp
-- Each sender by its key: a join of another kind would read all senders.
set enable_hashjoin = off set enable_mergejoin = off as $$
    update smsretry.sender_time t
    set after = l.business
    from (
        select coalesce(s.sent_by, end_turns_of_senders.sender) as sent_by, e.value::uuid as business
        from jsonb_each_text(end_turns_of_senders.last) e
        left join smsretry.senders s on s.id = e.key::uuid
    ) l
    where t.sender = l.sent_by and t.after is distinct from l.business
      and t.sender in (
          select f.sender from smsretry.sender_time f where f.sender = l.sent_by for update skip locked)
$$;
