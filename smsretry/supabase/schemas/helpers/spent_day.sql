-- When the day turns over of a sender that has used it; null: it has not, or may send more now than it might then. A begin
-- notes it: smsretry.spent_until.
create or replace function smsretry.spent_day(sender smsretry.senders, at timestamptz)
returns timestamptz language sql immutable set search_path = pg_catalog, pg_temp as $$
    select case when sender.spent_until > at and sender.segments_per_day <= sender.spent_cap then sender.spent_until end
$$;
