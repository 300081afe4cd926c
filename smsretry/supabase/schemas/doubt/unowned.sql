-- Of these messages, those that no other text than this one is known to have, in the same order.
create or replace function smsretry.unowned(sids text[], attempt_id uuid, send_log_id uuid)
returns text[] language sql stable set search_path = pg_catalog, pg_temp as $$
    select array_agg(m.sid order by m.place)
    from unnest(unowned.sids) with ordinality as m (sid, place)
    where not smsretry.is_anothers(m.sid, unowned.attempt_id, unowned.send_log_id)
$$;
