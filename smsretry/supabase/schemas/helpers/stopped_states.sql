-- The US states to which no marketing text goes, in order.
create or replace view smsretry.stopped_states with (security_invoker = true) as
select
    array_agg(s.subject order by s.subject) as states,
    string_agg(s.subject, ',' order by s.subject) as list
from smsretry.stops s
where s.kind = 'state';
