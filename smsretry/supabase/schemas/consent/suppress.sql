-- Record that a number opted out at a business. The latest time counts, and a source that a START may not lift outweighs one
-- that it may. If the number's row or the business stays locked for lock_timeout, unwritten_consents keeps the opt-out.
create or replace function smsretry.suppress(business_id uuid, number_key bytea, since timestamptz, source text)
returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
begin
    if exists (select 1 from smsretry.unwritten_consents u
               where u.number_key = suppress.number_key and u.consent = 'opted_out'
                 and (u.since, u.source) is not distinct from (suppress.since, left(suppress.source, 200))) then
        return; -- it has just been waited for
    end if;
    insert into smsretry.suppressions as s (number_key, business_id, since, source)
    values (suppress.number_key, suppress.business_id, suppress.since, left(suppress.source, 200))
    on conflict (number_key) do update
    set since = greatest(s.since, excluded.since),
        source = case
            when smsretry.start_takes_back(s.source) then excluded.source
            when s.since < excluded.since and not smsretry.start_takes_back(excluded.source) then excluded.source
            else s.source end
    where s.since < excluded.since or (smsretry.start_takes_back(s.source) and not smsretry.start_takes_back(excluded.source));
exception when lock_not_available or deadlock_detected then
    perform smsretry.keep_unwritten(
        suppress.number_key, suppress.business_id, 'opted_out', suppress.since, suppress.source);
end
$$;
