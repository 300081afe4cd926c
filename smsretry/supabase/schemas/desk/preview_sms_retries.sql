-- Preview waiting texts and scheduled sends as a claim would return them, each with what its begin
-- would find now. Nothing is claimed. Who may read no number gets smsretry.without_number.
--   until: only those that are due by then
--   after_due, after_id: of the last row of the page before
--   ids: only these, whenever they are due, and what waits for the same people
--   asked_at: when it is asked what a begin would find
--   reached_at: when texts may have reached the number, the newest first
--   default_sender: the sender of a text that has none of its own
--   refused, refused_code, refused_held: smsretry.refusals
--   stopped: why it is not sent, but for one text a run
create or replace function public.preview_sms_retries(
    until timestamptz,
    after_due timestamptz default null,
    after_id uuid default null,
    row_limit integer default null,
    ids uuid[] default null
)
returns setof json
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    v_limit constant integer := greatest(
        smsretry.rows_of_claim(coalesce(row_limit, 1000)),
        1
    );
    v_mismatch constant text := (
        select smsretry.mark_mismatch(r.send_to, r.address)
        from smsretry.runs r
        order by r.started_at desc
        limit 1
    );
    v_default_sender constant jsonb := (
        select t.sender
        from smsretry.claim_senders t
        where t.id = (smsretry.sender_of(null, null)).id
    );
    v_stops constant jsonb := (
        select jsonb_object_agg(s.kind || ' ' || s.subject, s.why)
        from smsretry.stops s
    );
    v_states constant text[] := (select s.states from smsretry.stopped_states s);
    v_now constant timestamptz := smsretry.clock();
    v_is_whole constant boolean := smsretry.may_read_numbers();
    v_ids uuid[];
    v_people uuid[];
    v_texts smsretry.claimed_retry[];
begin
    after_due := coalesce(after_due, '-infinity');
    after_id := coalesce(after_id, '00000000-0000-0000-0000-000000000000');
    if ids is null then
        v_ids := array(
            select w.id
            from (
                select n.id, n.scheduled_for
                from unnest('{texts,suspect}'::text[]) k (work)
                cross join lateral (
                    select q.id, q.scheduled_for
                    from public.sms_retry_queue q
                    where q.work = k.work
                      and q.in_doubt_since is null
                      and q.scheduled_for <= until
                      and (q.scheduled_for, q.id) > (after_due, after_id)
                    order by q.work, q.scheduled_for, q.id
                    limit v_limit
                ) n
                union all
                (
                    select s.id, s.scheduled_for
                    from public.scheduled_sends s
                    where s.status = 'scheduled'
                      and s.scheduled_for <= until
                      and (s.scheduled_for, s.id) > (after_due, after_id)
                    order by s.scheduled_for, s.id
                    limit v_limit
                )
            ) w
            order by w.scheduled_for, w.id
            limit v_limit
        );
    else
        v_people := array(
            select t.customer_id
            from smsretry.text_on_record t
            where t.retry_id = any (ids)
        );
        v_ids := ids || array(
            select q.id
            from public.sms_retry_queue q
            where q.customer_id = any (v_people) and q.work in ('texts', 'suspect')
            union all
            select s.id
            from public.scheduled_sends s
            where s.customer_id = any (v_people) and s.send_log_id is null
            limit v_limit
        );
    end if;
    v_texts := array(
        select c.line
        from (
            select r as line
            from smsretry.claimed_retry r
            where r.id = any (v_ids)
              and r.status = 'pending'
              and r.in_doubt_since is null
            -- a scheduled send as its claim will be once it is queued
            union all
            select p
            from public.scheduled_sends s
            left join public.customers c
                on c.id = s.customer_id
                  and c.business_id is not distinct from s.business_id
            left join public.businesses b on b.id = s.business_id
            cross join lateral jsonb_populate_record(
                null::smsretry.claimed_retry,
                jsonb_build_object(
                    'id', s.id,
                    'business_id', s.business_id,
                    'send_log_id', s.id,
                    'customer_id', s.customer_id,
                    'status', 'pending',
                    'attempt_count', 0,
                    'max_attempts', 3,
                    'scheduled_for', s.scheduled_for,
                    'due_since', s.scheduled_for,
                    'created_at', s.created_at,
                    'updated_at', s.updated_at,
                    'claim_no', 0,
                    'expires_at', s.not_after,
                    'held', s.held_since is not null,
                    'why', s.why,
                    'why_code', s.why_code,
                    'message_class', s.message_class,
                    'reconcile_count', 0,
                    'lost_messages', '[]'::jsonb,
                    'send_log_found', true,
                    'body', left(s.body, smsretry.longest_body() + 1),
                    'channel', 'sms',
                    'log_says_sent', false,
                    'customer_found', c.id is not null,
                    'phone', left(c.phone, 40),
                    'timezone', left(c.timezone, 100),
                    'sms_consent_status', smsretry.consent(c.sms_consent_status::text),
                    'business_timezone', left(b.timezone, 100),
                    'business_hours', left(b.sms_hours, 1000),
                    'business_cap', b.sms_daily_cap,
                    'sender', (
                        select t.sender
                        from smsretry.claim_senders t
                        where t.id = (
                            smsretry.sender_of(s.business_id, s.message_class)
                        ).id
                    )
                )
            ) p
            where s.id = any (v_ids) and s.status = 'scheduled'
        ) c
        order by (c.line).scheduled_for, (c.line).id
    );
    return query
    select case
        when v_is_whole then row_to_json(t)
        else smsretry.without_number(to_jsonb(t))::json
    end
    from (
        select
            c.*,
            v_now as asked_at,
            array(
                -- longer than any cap counts
                select smsretry.texts_reached(
                    c.business_id,
                    c.phone,
                    v_now - interval '2 days'
                )
            ) as reached_at,
            v_default_sender as default_sender,
            coalesce(
                'Sending is stopped: '
                    || coalesce(v_mismatch, v_stops ->> 'everybody '),
                'Its sender is stopped: ' || (
                    v_stops ->> (
                        'sender ' || (coalesce(c.sender, v_default_sender) ->> 'id')
                    )
                ),
                'Texts of its business come to nothing, and are tried one by one: '
                    || (v_stops ->> ('business ' || c.business_id))
            ) as stopped,
            smsretry.longest_body() as longest_body,
            coalesce(v_states, '{}') as stopped_states
        from rows from (unnest(v_texts), smsretry.refusals(v_texts)) c
    ) t;
end
$$;
