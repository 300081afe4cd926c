"""Of the queue's entry."""

from typing import Final

from tests.proofs.breaks.one_line import Break

ENTRY: Final = {
    "what was sent is not queued": Break(
        "public.queue_sms_retry", "smsretry.is_sent(v_log.provider_message_id, v_log.status::text)", "false"
    ),
    "one text has one live row": Break(
        "public.queue_sms_retry",
        "on conflict (send_log_id) where status in ('pending', 'processing') do nothing",
    ),
    "the log is locked while its text is queued": Break(
        "public.queue_sms_retry",
        "where l.id = queue_sms_retry.send_log_id for update",
        "where l.id = queue_sms_retry.send_log_id",
    ),
    "attempts that are used up are not queued": Break(
        "public.queue_sms_retry", "if queue_sms_retry.attempt_count >= queue_sms_retry.max_attempts", "if false"
    ),
    "quiet hours cost no attempt": Break(
        "public.queue_sms_retry", "and queue_sms_retry.reason is distinct from 'quiet_hours' then", "then"
    ),
    "no class is marketing": Break(
        "public.queue_sms_retry",
        "coalesce(queue_sms_retry.message_class, 'marketing')",
        "coalesce(queue_sms_retry.message_class, 'transactional')",
    ),
    "a customer of another business is not queued for": Break(
        "smsretry.check_queueable", "c.id = log.customer_id and c.business_id <> log.business_id", "false"
    ),
    "what is no SMS is not queued": Break("smsretry.check_queueable", "if log.channel <> 'sms' then", "if false then"),
    "only an application's claim is superseded": Break("smsretry.supersede", " and q.claimed_by_application"),
    "the same try again supersedes nothing": Break(
        "smsretry.supersede", " and q.attempt_count < supersede.attempt_count"
    ),
    "another business supersedes nothing": Break("smsretry.supersede", " and q.business_id = supersede.business_id"),
    "an insert past the function supersedes, too": Break(
        "smsretry.before_insert", "perform smsretry.supersede(new.send_log_id, new.business_id, new.attempt_count);"
    ),
    "an upsert that inserts nothing changes nothing": Break(
        "smsretry.before_insert",
        "if new.status = 'pending' and not exists (select 1 from public.sms_retry_queue q where q.id = new.id) then",
        "if new.status = 'pending' then",
    ),
}
