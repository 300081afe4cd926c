-- Businesses that have a text due, by id, from one id up to another: at most so many of them, and at most 500 looked at.
-- One index probe a business, instead of reading every row of the busiest one.
create or replace function smsretry.businesses_from(first uuid, before uuid, at timestamptz, most integer)
returns setof uuid language sql stable set search_path = pg_catalog, pg_temp as $$
    with recursive business (id, place) as (
        (select q.business_id, 1 from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.business_id >= businesses_from.first
         order by q.business_id limit 1)
        union all
        select (select q.business_id from public.sms_retry_queue q
                where q.status = 'pending' and q.in_doubt_since is null and q.business_id > b.id
                order by q.business_id limit 1), b.place + 1
        from business b where b.id is not null and b.place < 500
    )
    select b.id from business b
    where b.id is not null and (businesses_from.before is null or b.id < businesses_from.before)
      and exists (select 1 from public.sms_retry_queue q
                  where q.status = 'pending' and q.in_doubt_since is null and q.business_id = b.id
                    and q.scheduled_for <= businesses_from.at and q.recover_count < 2)
    limit businesses_from.most
$$;

revoke all on function smsretry.businesses_from from public, anon, authenticated;
grant execute on function smsretry.businesses_from to service_role;
