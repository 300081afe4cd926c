-- Each sender as a claim gives it to a worker. The worker compares spent_until with the time: with
-- a clock in this view, PostgreSQL would read all senders for each text.
create or replace view smsretry.claim_senders with (security_invoker = true) as
select
    s.id,
    s.account,
    s.sent_by,
    jsonb_build_object(
        'id', s.id,
        'account', s.account,
        'sent_by', s.sent_by,
        'segments_per_second', s.segments_per_second,
        'why_paused', s.why_paused,
        'spent_until', case
            when s.day_segments >= s.segments_per_day then s.day_ends_at
        end
    ) as sender
from smsretry.senders s;
