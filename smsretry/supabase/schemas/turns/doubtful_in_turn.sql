-- Lock up to `most` texts in doubt whose next look for evidence has come, of the 4 × most that have
-- waited longest; who was looked for longest ago goes first. Locked rows are passed over.
--   without: businesses that have no turn
--   rows: by ctid, under their locks
--   served: the businesses, if more is due than was taken
--   next_at: when the next one is due
create or replace function smsretry.doubtful_in_turn(
    most integer,
    at timestamptz,
    without uuid[],
    out rows tid[],
    out served uuid[],
    out next_at timestamptz
)
language plpgsql set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set enable_sort = off
-- as smsretry.texts_in_turn
set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_variable
declare
    v_oldest record;
begin
    select
        coalesce(array_agg(o.id order by o.scheduled_for, o.id), '{}') as ids,
        array_agg(o.business_id order by o.scheduled_for, o.id) as businesses
    into v_oldest
    from (
        select q.id, q.business_id, q.scheduled_for
        from public.sms_retry_queue q
        where q.work = 'doubtful'
          and q.scheduled_for <= at
          and q.business_id <> all (without)
        order by q.work, q.scheduled_for, q.id
        limit 4 * most
    ) o;
    select
        coalesce(array_agg(t.ctid), '{}'),
        array_agg(t.business_id)
    into rows, served
    from (
        select q.ctid, q.business_id
        from unnest(
            case
                when cardinality(v_oldest.ids) <= most then v_oldest.ids
                else smsretry.in_turn('doubtful', v_oldest.ids, v_oldest.businesses)
            end
        ) with ordinality as u (id, place)
        join public.sms_retry_queue q on q.id = u.id
        where q.work = 'doubtful' and q.scheduled_for <= at
        order by u.place
        limit most
        for update of q skip locked
    ) t;
    if cardinality(v_oldest.ids) <= cardinality(rows) then
        served := null;
    end if;
    next_at := (
        select q.scheduled_for
        from public.sms_retry_queue q
        where q.work = 'doubtful' and q.scheduled_for > at
        order by q.work, q.scheduled_for, q.id
        limit 1
    );
end
$$;
