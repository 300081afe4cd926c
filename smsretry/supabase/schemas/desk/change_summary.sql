-- The answer of a step: rows (smsretry.change_of_row) counted by why they are skipped or warned of, and a sample. A line
-- without a row's id is no row: somebody named one that is not there.
create or replace function smsretry.change_summary(
    rows jsonb[], out matched integer, out changed integer, out skipped jsonb, out warned jsonb, out sample jsonb
)
language sql stable set search_path = pg_catalog, pg_temp as $$
    with told as (
        select r.told, r.told ->> 'skipped' as skip, r.told ->> 'warned' as warn, r.place
        from unnest(change_summary.rows) with ordinality as r (told, place)
    )
    select (count(*) filter (where t.told ? 'retry_id'))::integer,
           (count(*) filter (where t.skip is null))::integer,
           coalesce((select jsonb_object_agg(s.skip, s.texts) from (
                         select u.skip, count(*) as texts from told u where u.skip is not null group by u.skip) s), '{}'),
           coalesce((select jsonb_object_agg(w.warn, w.texts) from (
                         select u.warn, count(*) as texts from told u
                         where u.warn is not null and u.skip is null group by u.warn) w), '{}'),
           coalesce((select jsonb_agg(f.told order by f.place) from (
                         select u.told, u.place from told u where u.told ? 'retry_id' order by u.place limit 20) f), '[]')
    from told t
$$;
