-- Waiting texts and scheduled sends that are due by `until`, as a claim would return them now,
-- without claiming, in pages (after the due time and id of the last row); or only those with these
-- ids. Each with what its begin would find now:
--   refused, refused_code, refused_held: smsretry.refusal · stopped: why it is not sent, but for one text a run
create or replace function public.preview_sms_retries(
    until timestamptz,
    after_due timestamptz default null,
    after_id uuid default null,
    row_limit integer default null,
    ids uuid[] default null
)
returns setof jsonb
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_custom_plan as $$
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
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
    v_refusal record;
begin
    v_ids := coalesce(
        ids,
        array(
            select w.id
            from (
                (
                    select q.id, q.scheduled_for
                    from public.sms_retry_queue q
                    where q.work in ('texts', 'suspect')
                      and q.in_doubt_since is null
                      and q.scheduled_for <= until
                      and (
                          after_due is null
                          or (q.scheduled_for, q.id) > (after_due, after_id)
                      )
                    order by q.scheduled_for, q.id
                    limit v_limit
                )
                union all
                (
                    select s.id, s.scheduled_for
                    from public.scheduled_sends s
                    where s.status = 'scheduled'
                      and s.scheduled_for <= until
                      and (
                          after_due is null
                          or (s.scheduled_for, s.id) > (after_due, after_id)
                      )
                    order by s.scheduled_for, s.id
                    limit v_limit
                )
            ) w
            order by w.scheduled_for, w.id
            limit v_limit
        )
    );
    for v_claim in
        select r.*
        from smsretry.claimed_retry r
        where r.id = any (v_ids)
          and r.status = 'pending'
          and r.in_doubt_since is null
        -- a scheduled send as its claim will be once it is queued
        union all
        select f.*
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
                'other_bodies', '{}'::text[],
                'lost_messages', '[]'::jsonb,
                'send_log_found', true,
                'body', left(s.body, smsretry.longest_body() + 1),
                'channel', 'sms',
                'log_says_sent', false,
                'customer_found', c.id is not null,
                'phone', left(c.phone, 40),
                'timezone', left(c.timezone, 100),
                'sms_consent_status', left(c.sms_consent_status::text, 40),
                'business_timezone', left(b.timezone, 100),
                'business_hours', left(b.sms_hours, 1000),
                'business_cap', b.sms_daily_cap
            )
        ) f
        where s.id = any (v_ids) and s.status = 'scheduled'
        order by scheduled_for, id
    loop
        v_claim.claimed_at := smsretry.clock();
        v_claim.sender := (
            select t.told
            from smsretry.told_senders t
            where t.id = (
                smsretry.sender_of(v_claim.business_id, v_claim.message_class)
            ).id
        );
        select r.*
        into v_refusal
        from smsretry.refusal(
            v_claim.log_says_sent,
            v_claim.sms_consent_status,
            v_claim.business_id,
            v_claim.phone,
            v_claim.message_class
        ) r;
        return next to_jsonb(v_claim)
            || jsonb_build_object(
                'refused', v_refusal.why,
                'refused_code', v_refusal.why_code,
                'refused_held', v_refusal.held,
                'stopped', coalesce(
                    'Sending is stopped: ' || v_mismatch,
                    (
                        select case x.kind
                            when 'everybody' then 'Sending is stopped: '
                            when 'sender' then 'Its sender is stopped: '
                            else 'Texts of its business come to nothing, and are tried one by one: '
                        end || x.why
                        from smsretry.stops x
                        where x.kind = 'everybody'
                          or x.kind = 'sender'
                              and x.subject = v_claim.sender ->> 'id'
                          or x.kind = 'business'
                              and x.subject = v_claim.business_id::text
                        order by array_position(
                            '{everybody,sender,business}',
                            x.kind
                        )
                        limit 1
                    )
                ),
                'longest_body', smsretry.longest_body(),
                'stopped_states', coalesce(
                    (select to_jsonb(s.states) from smsretry.stopped_states s),
                    '[]'
                )
            );
    end loop;
end
$$;
