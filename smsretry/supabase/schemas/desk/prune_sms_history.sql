-- Delete one batch of what ended more than keep_days ago: texts with their attempts and events, and
-- runs. Call it until it deletes nothing. Opt-outs that stand, send logs, scheduled sends and texts
-- in doubt stay. SIDs of incoming STOPs stay for k_stops_known at least and those of STARTs for good,
-- because a repeated webhook is recognized by them. security definer: nobody else may delete
-- history.
--   dry_run: only count all texts and runs of that age
create or replace function public.prune_sms_history(
    keep_days integer,
    batch integer default 1000,
    dry_run boolean default false
)
returns table (texts integer, runs integer)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
    -- A repeated one would end the consent of whoever opted in again.
    k_stops_known constant interval := '90 days';
    v_before timestamptz;
    v_ids uuid[];
begin
    if (
        prune_sms_history.keep_days between 7 and 36500
        and prune_sms_history.batch between 1 and 10000
    ) is not true
    then
        raise exception 'keep_days is 7 or more, batch 1 to 10000'
            using errcode = 'SR422',
                  hint = 'The last days are evidence: texts in doubt are settled by them, and daily caps count them.';
    end if;
    v_before := smsretry.clock() - make_interval(
        days => prune_sms_history.keep_days
    );
    if dry_run then
        texts := (
            select count(*)
            from public.sms_retry_queue t
            where t.status in ('completed', 'failed', 'cancelled')
              and t.updated_at < v_before
        );
        runs := (
            select count(*)
            from smsretry.runs r
            where r.started_at < v_before
        );
        return next;
        return;
    end if;
    v_ids := array(
        select t.id
        from public.sms_retry_queue t
        where t.status in ('completed', 'failed', 'cancelled')
          and t.updated_at < v_before
          and (
              smsretry.earlier_doubt(t.send_log_id, t.business_id)
          ).attempt_id is null -- else it is evidence still
        limit prune_sms_history.batch
        for update skip locked
    );
    delete from public.sms_retry_queue q
    where q.id = any (v_ids);
    get diagnostics texts = row_count;
    delete from smsretry.runs r
    where r.id = any (
        array(
            select o.id
            from smsretry.runs o
            where o.started_at < v_before
            order by o.started_at
            limit prune_sms_history.batch
        )
    );
    get diagnostics runs = row_count;
    -- What something has lifted, and only then what lifted it. A date is needed while it could lift
    -- an opt-out.
    delete from smsretry.consents c
    where c.id = any (
        array(
            select o.id
            from smsretry.consents i
            join smsretry.consents o
                on o.subject_key = i.subject_key
                  and o.said in ('opted_out', 'unsure')
                  and o.id < i.id
            where i.said <> 'seen'
              and i.at < v_before
              and (o.business_id is not null or o.at < smsretry.clock() - k_stops_known)
              and not exists (
                  select from smsretry.standing_words s
                  where s.subject_key = o.subject_key and s.id = o.id
              )
            limit 10 * prune_sms_history.batch
        )
    );
    delete from smsretry.consents c
    where c.id = any (
        array(
            select i.id
            from smsretry.consents i
            where i.said in ('opted_in', 'unchanged', 'seen')
              and greatest(i.at, i.dated) < v_before
              and (i.twilio_sid is null or i.business_id is not null)
              and not exists (
                  select from smsretry.consents o
                  where o.subject_key = i.subject_key
                    and o.said in ('opted_out', 'unsure')
                    and (i.said <> 'seen' and o.id < i.id or o.dated < i.dated)
              )
              and not exists (
                  -- nor where the number is new; there it stands until somebody says START
                  select from smsretry.standing_words o
                  where o.subject_key = i.number_key and o.id < i.id
              )
            limit 10 * prune_sms_history.batch
        )
    );
    -- the number of whom nobody has as a customer any more
    update smsretry.consents w
    set phone = null
    where w.phone is not null
      and w.at < v_before
      and not exists (
          select from public.customers k
          where k.phone = w.phone
          offset 0
      );
    delete from smsretry.events e
    where e.id = any (
        array(
            select o.id
            from smsretry.events o
            where o.at < v_before
              and not exists (
                  select from public.sms_retry_queue q
                  where q.id = o.about
              )
              and not exists (
                  select from smsretry.senders s
                  where s.id = o.about
              )
            order by o.id
            limit 10 * prune_sms_history.batch
        )
    );
    delete from smsretry.turns t
    where t.served < smsretry.clock() - interval '7 days';
    delete from smsretry.stops s
    where s.kind = 'business'
      and s.since < smsretry.clock() - interval '7 days';
    return next;
end
$$;
