-- Waiting texts and scheduled sends as a claim would return them now, without claiming. Either those due by `until`, in
-- pages (after the due time and id of the last row), or these rows by id. Each with what its begin would find now:
--   refused, refused_code: smsretry.refusal
--   texts_at: when the texts that count against a cap reached the number, within cap_window, newest first
create or replace function public.preview_sms_retries(
    until timestamptz default null, after_due timestamptz default null, after_id uuid default null,
    retry_ids uuid[] default null, row_limit integer default null, cap_window interval default null
)
returns setof jsonb
language plpgsql stable security invoker set search_path = pg_catalog, pg_temp as $$
declare
    v_limit constant integer := greatest(smsretry.rows_of_claim(coalesce(preview_sms_retries.row_limit, 1000)), 1);
    v_ids uuid[];
    v_claim smsretry.claimed_retry;
    v_at timestamptz;
    v_refused record;
    v_texts_at timestamptz[];
begin
    if num_nonnulls(preview_sms_retries.until, preview_sms_retries.retry_ids) <> 1 then
        raise exception 'until or retry_ids must be given: which texts to preview' using errcode = 'SR422';
    end if;
    v_ids := array(
        select w.id from (
            (select q.id, q.scheduled_for from public.sms_retry_queue q
             where q.work in ('texts', 'suspect') and q.in_doubt_since is null
               and (preview_sms_retries.retry_ids is null or q.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or q.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (q.scheduled_for, q.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by q.scheduled_for, q.id limit v_limit)
            union all
            (select s.id, s.scheduled_for from public.scheduled_sends s
             where s.status = 'scheduled'
               and (preview_sms_retries.retry_ids is null or s.id = any (preview_sms_retries.retry_ids))
               and (preview_sms_retries.until is null or s.scheduled_for <= preview_sms_retries.until)
               and (preview_sms_retries.after_due is null
                    or (s.scheduled_for, s.id) > (preview_sms_retries.after_due, preview_sms_retries.after_id))
             order by s.scheduled_for, s.id limit v_limit)
        ) w
        order by w.scheduled_for, w.id
        limit v_limit);
    for v_claim in
        select r.* from smsretry.claimed_retry r where r.id = any (v_ids)
        union all
        select s.* from smsretry.scheduled_claim s where s.id = any (v_ids)
        order by scheduled_for, id
    loop
        v_claim.claimed_at := smsretry.clock();
        select r.why, r.why_code into v_refused
        from smsretry.refusal(
            v_claim.log_says_sent, v_claim.sms_consent_status, smsretry.number_key(v_claim.business_id, v_claim.phone)) r;
        v_texts_at := '{}';
        while preview_sms_retries.cap_window is not null and cardinality(v_texts_at) < 20 loop
            v_at := smsretry.cap_reached_at(
                v_claim.business_id, v_claim.phone, cardinality(v_texts_at) + 1,
                v_claim.claimed_at - preview_sms_retries.cap_window);
            exit when v_at is null;
            v_texts_at := v_texts_at || v_at;
        end loop;
        return next to_jsonb(v_claim) || jsonb_build_object(
            'business', (select left(b.name, 200) from public.businesses b where b.id = v_claim.business_id),
            'refused', v_refused.why, 'refused_code', v_refused.why_code, 'texts_at', to_jsonb(v_texts_at),
            'sender', coalesce(v_claim.sender, smsretry.told_sender(smsretry.sender_of(v_claim.business_id, v_claim.message_class))),
            'longest_body', smsretry.longest_body(), 'stopped_states', coalesce((select to_jsonb(s.states) from smsretry.stopped_states s), '[]'));
    end loop;
end
$$;
