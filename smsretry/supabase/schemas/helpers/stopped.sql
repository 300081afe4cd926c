-- All stops, for monitors: those of smsretry.stops, but for senders without users; and sending
-- while the mark of the database and the last run's worker disagree.
create or replace view smsretry.stopped with (security_invoker = true) as
select s.kind, s.subject, s.since, s.why, s.who
from smsretry.stops s
where s.kind <> 'sender'
   or s.subject = (smsretry.sender_of(null, null)).id::text
   or exists (
       -- nothing goes out from a former default sender, so nothing would end its stop
       select from smsretry.business_senders b
       where b.sender_id::text = s.subject
   )
union all
select 'everybody', '', r.started_at, m.why, null
from (
    select *
    from smsretry.runs
    order by started_at desc
    limit 1
) r
cross join lateral smsretry.mark_mismatch(r.send_to, r.address) m (why)
where m.why is not null;
