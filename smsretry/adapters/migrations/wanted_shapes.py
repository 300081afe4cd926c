"""What smsretry needs in the application's own tables: columns, their types, and the values that a CHECK must allow.

The types of the columns that smsretry adds are read from the schema files instead.
"""

from collections.abc import Mapping, Sequence
from typing import Final

READ: Final = "text, only read"
"""Text that smsretry only reads: any text type will do."""
LABEL: Final = "text or enum, only read"
COLUMNS: Final[Mapping[str, dict[str, str]]] = {
    "businesses": {"id": "uuid", "user_id": "uuid", "timezone": READ},
    "customers": {
        "id": "uuid",
        "business_id": "uuid",
        "phone": READ,
        "phone_status": "text",
        "timezone": READ,
        "sms_consent_status": "text",
        "sms_consent_at": "timestamp with time zone",
        "sms_consent_source": "text",
    },
    "send_logs": {
        "id": "uuid",
        "business_id": "uuid",
        "customer_id": "uuid",
        "channel": LABEL,
        "subject": READ,
        "status": "text",
        "error_message": "text",
        "provider_message_id": "jsonb",
        "created_at": "timestamp with time zone",
        "updated_at": "timestamp with time zone",
    },
    "scheduled_sends": {
        "id": "uuid",
        "business_id": "uuid",
        "scheduled_for": "timestamp with time zone",
        "status": "text",
    },
    "sms_retry_queue": {
        "id": "uuid",
        "business_id": "uuid",
        "send_log_id": "uuid",
        "customer_id": "uuid",
        "status": "text",
        "attempt_count": "integer",
        "max_attempts": "integer",
        "scheduled_for": "timestamp with time zone",
        "last_attempted_at": "timestamp with time zone",
        "last_error": "text",
        "reason": "text",
        "created_at": "timestamp with time zone",
        "updated_at": "timestamp with time zone",
    },
}
NULLABLE: Final = {
    ("send_logs", "error_message"), ("sms_retry_queue", "reason"), ("sms_retry_queue", "last_error"),
    ("sms_retry_queue", "last_attempted_at"), ("scheduled_sends", "not_after"), ("scheduled_sends", "send_log_id"),
    ("scheduled_sends", "created_by"), ("scheduled_sends", "why"), ("scheduled_sends", "held_since"),
    ("scheduled_sends", "look_at"),
}  # fmt: skip
"""Columns that smsretry sets to null."""
INSERTED: Final = {
    "business_id", "send_log_id", "customer_id", "status", "attempt_count", "max_attempts", "scheduled_for",
    "created_at", "updated_at",
}  # fmt: skip
"""The columns that every insert into the queue sets."""
BY_DEFAULT: Final[Mapping[tuple[str, str], str]] = {
    ("send_logs", "status"): "'pending'",
    ("sms_retry_queue", "status"): "'pending'",
    ("send_logs", "provider_message_id"): "'{}'",
}
"""Columns that smsretry or the application leaves to their default, each with a default that means a waiting text."""
SENT: Final = ("sent", "delivered", "undelivered")
"""The send log statuses of a text that was sent, as in `smsretry.is_sent`."""
VALUES: Final[Mapping[tuple[str, str], Sequence[str]]] = {
    ("customers", "phone_status"): ("invalid", "not_mobile"),
    ("customers", "sms_consent_status"): ("opted_in", "opted_out"),
    ("send_logs", "channel"): ("sms",),
    ("send_logs", "status"): ("sent", "failed"),
    ("scheduled_sends", "message_class"): ("marketing", "transactional"),
    ("scheduled_sends", "status"): ("scheduled", "queued", "cancelled", "failed"),
    ("sms_retry_queue", "status"): ("pending", "processing", "completed", "failed", "cancelled"),
    ("sms_retry_queue", "reason"): ("quiet_hours", "twilio_error", "rate_limit"),
}
"""The values that smsretry writes into a column. A CHECK must allow them."""
