-- Whether a message that this row's look found may be another send to the same number: one without an answer yet, or begun
-- between the claim and now, so that the look did not know it. (One dated later began before a clock was set back.)
create or replace function smsretry.may_be_unanswered(retry public.sms_retry_queue, at timestamptz)
returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
    select exists (
        select 1 from public.sms_send_attempts ours
        join public.sms_send_attempts theirs on theirs.sent_to = ours.sent_to and theirs.id <> ours.id
        join public.sms_retry_queue q on q.id = theirs.retry_id
        where ours.id = may_be_unanswered.retry.attempt_id
          and (q.status = 'processing' and q.begun_at is not null and q.attempt_id = theirs.id
               or theirs.begun_at > may_be_unanswered.retry.claimed_at and theirs.begun_at <= may_be_unanswered.at))
$$;
