-- Claim up to limit_count due rows (smsretry.rows_of_claim) for the application's own processor,
-- neither doubtful nor suspect ones; who was served longest ago goes first. The processor begins
-- nothing: if it dies, its claim counts as a send that may have been made. So a text that a begin
-- would call sent ends here. What may have gone out before a restore is given to it all the same:
-- after a restore, only begun sends are looked for first.
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
    v_row public.sms_retry_queue;
    v_taken uuid[];
    v_claimed smsretry.claimed_retry;
begin
    select *
    into v_texts
    from smsretry.texts_in_turn(
        smsretry.rows_of_claim(limit_count),
        v_now,
        null,
        array(
            select s.subject::uuid
            from smsretry.stops s
            where s.kind = 'business_stopped'
        )
    );
    for v_row in
        select *
        from public.sms_retry_queue q
        where q.ctid = any (v_texts.rows)
    loop
        if exists (
            select from public.send_logs l
            where l.id = v_row.send_log_id
              and l.business_id is not distinct from v_row.business_id
              and smsretry.is_sent(l.provider_message_id, l.status::text)
        ) then
            perform smsretry.save_row(
                v_row,
                v_now,
                ended => 'cancelled',
                because => 'Already sent',
                why_code => 'already_sent'
            );
        end if;
    end loop;
    -- A row that has ended has another ctid now; the others have kept theirs.
    v_taken := (
        select t.taken
        from smsretry.mark_claimed(
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
    for v_claimed in
        select r.*
        from smsretry.claimed_retry r
        where r.id = any (v_taken)
        order by r.scheduled_for, r.id
    loop
        if exists (
            select from smsretry.standing_opt_outs o -- the processor goes by the customer's status
            where o.number_key = smsretry.number_key(
                v_claimed.business_id,
                v_claimed.phone
            )
        ) then
            v_claimed.sms_consent_status := 'opted_out';
        end if;
        return next v_claimed;
    end loop;
end
$$;
