-- Warnings about what somebody may have meant, or may have stopped and forgotten. Each is ok, with advice.
create or replace function smsretry.check_reminders()
returns table (subject text, ok boolean, advice text)
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
    with tables as (
        select r.oid, r.relname, r.relrowsecurity from pg_catalog.pg_class r
        where r.relnamespace = 'public'::regnamespace and r.relname = 'scheduled_sends'
    )
    select * from smsretry.check_leaks()
    union all
    select 'policies of scheduled_sends', true,
           'let nobody who is signed in read a row, although a grant does: revoke the grant, or run: create policy '
               || '"Owners read their scheduled sends" on public.scheduled_sends for select to authenticated '
               || 'using (business_id in (select b.id from public.businesses b where b.user_id = (select auth.uid())))'
    from tables r
    where r.relname = 'scheduled_sends' and r.relrowsecurity and has_table_privilege('authenticated', r.oid, 'select')
      and not exists (
          select 1 from pg_policy y join pg_roles g on g.rolname = 'authenticated'
          where y.polrelid = r.oid and y.polpermissive and y.polcmd in ('r', '*')
            and (y.polroles @> array[0::oid] or g.oid = any(y.polroles)))
    union all
    select 'sending', true, 'had stopped: ' || c.why from smsretry.circuits() c where not c.own
    union all
    (select 'texts of business ' || s.business_id, true,
            'come last in each claim, one at a time, since ' || to_char(s.at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC. ' || s.why
     from smsretry.set_apart s order by s.at limit 20)
    union all
    select 'texts that come in', true,
           'named no sender that is known, ' || count(*) || ' times in a week. Such a STOP counts at every business, and such a START at '
               || 'none: let the webhook pass To, MessagingServiceSid and AccountSid on (record_inbound_sms)'
    from smsretry.inbound_texts t
    where t.senders is null and t.heard_at > smsretry.clock() - interval '7 days'
      and exists (select 1 from smsretry.senders s where s.created_at < t.heard_at)
    having count(*) > 0
    union all
    select 'texts to ' || s.state, true, 'are stopped since ' || to_char(s.stopped_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
           || ' UTC (' || s.why || '); `smsretry stop ' || s.state || ' --lift` lets them go'
    from smsretry.stopped_states s
$$;
