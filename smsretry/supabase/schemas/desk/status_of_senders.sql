-- The businesses' own senders: the lines senders (how many send, are paused, stopped, or have used their day) and sender (one
-- each for those that keep texts waiting or do not send; texts: how many wait) of sms_status.
create or replace function smsretry.status_of_senders(at timestamptz)
returns table (part text, name text, business_id uuid, texts bigint, oldest timestamptz, next_at timestamptz, told text, why_code text)
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
#variable_conflict use_column
declare
    -- Held, and not only by the pause of their sender: few, from an index. `at is not null`, because a statement without a variable
    -- is planned once, whatever plan_cache_mode says.
    v_held constant uuid[] := array(
        select distinct q.business_id from public.sms_retry_queue q
        where q.held_since is not null and status_of_senders.at is not null
          and q.status = 'pending' and q.why_code in ('no_credentials', 'account_refused'));
begin
    return query
    with states as materialized (
        select s.*, c.opened_at, c.why,
               case when s.paused_at is not null then 'paused' when c.opened_at is not null then 'stopped'
                    when s.segments_per_day is not null
                        and (smsretry.day_used(s, status_of_senders.at)).segments >= s.segments_per_day then 'spent'
                    else 'sending' end as state
        from smsretry.senders s
        left join smsretry.circuit c on c.sender = s.sent_by
    ),
    suspected as (
        select t.id from states t where t.state <> 'sending'
        union
        select b.sender_id from smsretry.business_senders b where b.business_id = any (v_held)
    ),
    waiting as materialized (
        select w.sender_id, sum(w.due + w.waiting + w.held)::bigint as texts,
               min(w.why_code) filter (where w.why_code in ('no_credentials', 'account_refused')) as why_code,
               min(w.why) filter (where w.why_code in ('no_credentials', 'account_refused')) as why
        from smsretry.texts_by_sender(array(
            select b.business_id from smsretry.business_senders b where b.sender_id in (select u.id from suspected u)), status_of_senders.at) w
        where w.sender_id is not null
        group by w.sender_id
    )
    (select 'senders', t.state, null::uuid, count(*), null::timestamptz, null::timestamptz, null::text, null::text
     from states t group by t.state order by t.state)
    union all
    (select 'sender', smsretry.shown_sender(t.sent_by), case when cardinality(smsretry.users_of(t.id)) = 1 then (smsretry.users_of(t.id))[1] end,
            coalesce(w.texts, 0), coalesce(t.paused_at, t.opened_at), case t.state when 'spent' then (smsretry.carriers_day(status_of_senders.at)).ends end,
            'account ' || t.account || ': ' || case t.state
                when 'paused' then 'paused: ' || smsretry.numberless(t.paused_because)
                when 'stopped' then 'stopped: ' || t.why
                when 'spent' then 'has used its day'
                else coalesce(w.why, 'texts wait') end,
            case t.state when 'paused' then 'sender_paused' when 'stopped' then 'sending_stopped' when 'spent' then 'day_spent'
                 else w.why_code end
     from states t
     left join waiting w on w.sender_id = t.id
     where t.state in ('paused', 'stopped') or t.state = 'spent' and w.texts > 0 or w.why_code in ('no_credentials', 'account_refused')
     order by coalesce(w.texts, 0) desc, t.id limit 50);
end
$$;
