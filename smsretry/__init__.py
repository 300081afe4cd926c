"""smsretry sees texts through: exactly one, at a permitted hour, to someone who still consents, or a reason why not.

The decisions are pure functions (`next_retry_delay`, `check_quiet_hours`, `is_retryable_error`); functions that act
take the queue and the sender as arguments. `smsretry.adapters` has the ones for Supabase and Twilio.

They are imported on first use (PEP 562), so asking for an hour does not load the sender.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from smsretry.adapters.twilio.errors import is_retryable_error
    from smsretry.quiet_hours.check import check_quiet_hours
    from smsretry.retry.backoff import next_retry_delay
    from smsretry.sending.entry import queue_sms_retry, schedule_sms, send_sms
    from smsretry.sending.pipeline import process_sms_retry_item

__all__ = [
    "check_quiet_hours",
    "is_retryable_error",
    "next_retry_delay",
    "process_sms_retry_item",
    "queue_sms_retry",
    "schedule_sms",
    "send_sms",
]

_HOMES: Final = {
    "check_quiet_hours": "quiet_hours.check",
    "is_retryable_error": "adapters.twilio.errors",
    "next_retry_delay": "retry.backoff",
    "process_sms_retry_item": "sending.pipeline",
}
"""The modules that have them; the others are in `sending.entry`."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'smsretry' has no attribute {name!r}")
    return getattr(import_module(f"smsretry.{_HOMES.get(name, 'sending.entry')}"), name)
