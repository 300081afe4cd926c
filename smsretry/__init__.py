"""smsretry sees texts through: exactly one, at a permitted hour, to someone who still consents, or a reason why not.

The decisions are pure functions (`next_retry_delay`, `check_quiet_hours`, `is_retryable_error`); what acts takes its
queue and sender as arguments. `smsretry.adapters` has the ones for Supabase and Twilio.
"""

from smsretry.backoff import next_retry_delay
from smsretry.models import Claim, ItemResult, Queued
from smsretry.pipeline import process_sms_retry_item, queue_sms_retry, send_sms
from smsretry.quiet_hours import QuietHoursCheck, check_quiet_hours
from smsretry.twilio_errors import is_retryable_error

__all__ = [
    "Claim",
    "ItemResult",
    "Queued",
    "QuietHoursCheck",
    "check_quiet_hours",
    "is_retryable_error",
    "next_retry_delay",
    "process_sms_retry_item",
    "queue_sms_retry",
    "send_sms",
]
