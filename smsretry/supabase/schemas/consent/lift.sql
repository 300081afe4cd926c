-- Lift a number's opt-outs from before a moment, and those dated after and_after. by_start: only if a START may.
create or replace function smsretry.lift(
    number_key bytea, before timestamptz, by_start boolean, and_after timestamptz default 'infinity'
)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
    delete from smsretry.suppressions s
    where s.number_key = lift.number_key and (s.since < lift.before or s.since > lift.and_after)
      and (not lift.by_start or smsretry.start_takes_back(s.source));
    delete from smsretry.unwritten_consents u
    where u.number_key = lift.number_key and u.consent = 'opted_out' and (u.since < lift.before or u.since > lift.and_after)
      and (not lift.by_start or smsretry.start_takes_back(u.source));
    delete from smsretry.heard_stops h
    where h.number_key = lift.number_key and (h.since < lift.before or h.since > lift.and_after);
end
$$;
