-- In how many seconds a text, or a look for evidence, is due: 0 if one is, null if none waits. Suspect rows do not count.
create or replace function public.next_sms_due()
returns double precision language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select extract(epoch from greatest(next.due_at - smsretry.clock(), interval '0'))::double precision
    from (select least(
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
         order by q.scheduled_for limit 1),
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
         order by q.scheduled_for limit 1)) as due_at) next
    where next.due_at is not null
$$;
