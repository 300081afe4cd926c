-- Each sender as a claim tells it to a worker.
create or replace view smsretry.told_senders with (security_invoker = true) as
select s.id, s.account, s.sent_by, jsonb_build_object(
           'id', s.id, 'account', s.account, 'sent_by', s.sent_by, 'segments_per_second', s.segments_per_second,
           'paused_because', s.paused_because,
           'spent_until', case when s.day_segments >= s.segments_per_day and s.day_ends_at > smsretry.clock() then s.day_ends_at end) as told
from smsretry.senders s;
