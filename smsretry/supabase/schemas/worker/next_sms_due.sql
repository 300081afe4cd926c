-- In how many seconds a text, or a look for evidence, is due: 0 if one is, null if none waits. Suspect rows do not count. A text
-- whose sender is busy is due shortly before that one is free. sender: of the worker's environment; null: the one that was
-- seen last. without: senders whose texts do not count.
create or replace function public.next_sms_due(sender text default null, without text[] default '{}')
returns double precision language plpgsql stable security invoker
set search_path = pg_catalog, pg_temp set enable_sort = off as $$
#variable_conflict use_variable
declare
    k_from constant uuid := '00000000-0000-0000-0000-000000000000';
    v_now constant timestamptz := smsretry.clock();
    v_due timestamptz;
    v_turn record;
begin
    select q.scheduled_for into v_due from public.sms_retry_queue q
    where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
    order by q.scheduled_for limit 1;
    if v_due <= v_now and (
        cardinality(without) > 0 or exists (select from smsretry.sender_time t where t.free_at > v_now + smsretry.claims_ahead()))
    then
        sender := coalesce(sender, (select d.sent_by from smsretry.default_senders d order by d.seen_at desc limit 1));
        select * into v_turn from smsretry.turns_of_senders(v_now, k_from, 1, 200, sender, null, coalesce(without, '{}'));
        if cardinality(v_turn.businesses) = 0 and v_turn.passed is null then
            select least(q.scheduled_for, v_turn.free_at - smsretry.claims_ahead() / 2) into v_due
            from (select min(f.scheduled_for) as scheduled_for from (
                      select q.scheduled_for from public.sms_retry_queue q
                      where q.status = 'pending' and q.in_doubt_since is null and q.recover_count < smsretry.suspect_after()
                        and q.scheduled_for > v_now
                      order by q.scheduled_for limit 1) f) q;
        end if;
    end if;
    select least(v_due, (
        select q.scheduled_for from public.sms_retry_queue q
        where q.status = 'pending' and q.in_doubt_since is not null and q.recover_count < smsretry.suspect_after()
        order by q.scheduled_for limit 1)) into v_due;
    return extract(epoch from greatest(v_due - v_now, interval '0'))
        -- Greatest ignores a null.
        * case when v_due is not null then 1 end;
end
$$;
