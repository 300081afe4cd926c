-- How long until a text, or a look for evidence, is due: zero if one is, null if none waits.
create or replace function public.next_sms_due()
returns interval language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    select case when next.due_at <= smsretry.clock() then interval '0' else next.due_at - smsretry.clock() end
    from (select least(
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is null
         order by q.scheduled_for limit 1),
        (select q.scheduled_for from public.sms_retry_queue q
         where q.status = 'pending' and q.in_doubt_since is not null
         order by q.scheduled_for limit 1)) as due_at) next
$$;

revoke all on function public.next_sms_due from public, anon, authenticated;
grant execute on function public.next_sms_due to service_role;
