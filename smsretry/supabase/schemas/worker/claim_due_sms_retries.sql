-- Claim up to limit_count due rows (smsretry.rows_of_claim) for the application's own processor,
-- neither doubtful nor suspect ones; who was served longest ago goes first. The processor begins
-- nothing: if it dies, its claim counts as a send that may have been made. So what a begin would ask
-- is asked here (smsretry.refusals), and what may not go ends or waits. What may have gone out before
-- a restore is given to it all the same: after a restore, only begun sends are looked for first.
create or replace function public.claim_due_sms_retries(
    limit_count integer default null
)
returns setof smsretry.claimed_retry
language plpgsql set search_path = pg_catalog, pg_temp
-- As on Supabase: a claim whose caller has given up would keep its rows.
set statement_timeout = '8s' as $$
declare
    v_now constant timestamptz := smsretry.clock();
    v_texts record;
    v_claims smsretry.claimed_retry[];
    v_refusal record;
    v_row public.sms_retry_queue;
    v_taken uuid[];
begin
    select *
    into v_texts
    from smsretry.texts_in_turn(
        smsretry.rows_of_claim(limit_count),
        v_now,
        null,
        (
            select jsonb_object_agg(s.subject, 0)
            from smsretry.stops s
            where s.kind = 'business_stopped'
        )
    );
    v_claims := array(
        select r
        from smsretry.claimed_retry r
        join public.sms_retry_queue q on q.id = r.id
        where q.ctid = any (v_texts.rows) and r.customer_found
    );
    for v_refusal in
        select t.id, t.refused, t.refused_code, t.refused_held
        from rows from (unnest(v_claims), smsretry.refusals(v_claims, v_now)) t
        where t.refused is not null
    loop
        select *
        into v_row
        from public.sms_retry_queue q
        where q.id = v_refusal.id;
        if v_refusal.refused_held then
            v_row.held_since := coalesce(v_row.held_since, v_now);
            v_row.why := v_refusal.refused;
            v_row.why_code := v_refusal.refused_code;
            perform smsretry.save_row(v_row, v_now, due => v_now + smsretry.retry_delay(2));
        else
            perform smsretry.save_row(
                v_row,
                v_now,
                ended => 'cancelled',
                why => v_refusal.refused,
                why_code => v_refusal.refused_code
            );
        end if;
    end loop;
    -- A row that was refused has another ctid now; the others have kept theirs.
    v_taken := (
        select t.taken
        from smsretry.claim_rows(
            array(
                select q.ctid
                from public.sms_retry_queue q
                where q.ctid = any (v_texts.rows)
            ),
            v_now,
            true
        ) t
    );
    perform smsretry.note_served('texts', v_texts.served, v_now, v_texts.behind);
    return query
    select r.*
    from smsretry.claimed_retry r
    where r.id = any (v_taken)
    order by r.scheduled_for, r.id;
end
$$;
