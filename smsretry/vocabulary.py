"""The words stored in columns and settings, one spelling for Python and SQL. Imports nothing of ours.

One word has one meaning. A new word goes here and into the column's check constraint.
"""

from typing import Final, Literal, TypeAlias

Reason: TypeAlias = Literal["quiet_hours", "twilio_error", "rate_limit"]
"""Why a row waits, as stored in `sms_retry_queue.reason`."""

MessageClass: TypeAlias = Literal["marketing", "transactional"]
"""Which rules bind a text: all of them, or 08:00–21:00 on the recipient's clock and no state's rule.

Engineering guidance, not legal advice.
"""

RuleSet: TypeAlias = Literal["federal", "us_states"]
"""federal: 08:00–21:00 everywhere. us_states: the states' rules and the other countries' windows, too."""

InDoubtPolicy: TypeAlias = Literal["resend", "hold"]
"""What becomes of a text in doubt when the quarantine ends without evidence: sent again, or held for a person."""

Fate: TypeAlias = Literal[
    "Sent", "Deferred", "Held", "RetryScheduled", "InDoubt", "GivenBack", "Failed", "Cancelled", "Lost"
]
"""What one claim of a row came to. The names are the Prefect state names.

Sent: the provider accepted it. Deferred: waits for a reason that is no failure. Held: waits because of something that a
person can mend, and says what. RetryScheduled: failed for a moment.
InDoubt: may or may not have gone out. GivenBack: not tried, because the run stopped sending. Failed: given up.
Cancelled: no longer wanted. Lost: another worker has it.
"""

Reconciled: TypeAlias = Literal["applied", "lost", "sid_taken", "wait"]
"""The answer of `reconcile_sms_retry`.

applied: recorded. lost: another worker has the row. sid_taken: the message belongs to another attempt. wait: a send to
the same number has no answer yet, so the message may be that one's.
"""

OutcomeName: TypeAlias = Literal["accepted", "rejected", "not_sent", "in_doubt"]
"""An outcome as stored in `sms_send_attempts.outcome`."""

NextStatus: TypeAlias = Literal["completed", "pending", "failed"]
"""Where a row goes after a send."""

DeliveryStatus: TypeAlias = Literal[
    "accepted", "scheduled", "queued", "sending", "sent", "undelivered", "failed", "canceled", "delivered", "read"
]
"""How far an accepted message has come, in the provider's words, as stored in `sms_send_attempts.delivery_status`.

sent: a carrier has it, which may be the last that is ever heard. undelivered: the carrier says that it did not arrive.
failed, canceled: it never left the provider. delivered: the carrier says that it arrived. read: likewise, and was read.
"""

MESSAGE_SID: Final = r"^(SM|MM)[0-9a-fA-F]{32}$"
"""The provider's name for a message, as stored in `sms_send_attempts.twilio_sid` (Twilio's OpenAPI description)."""

Followed: TypeAlias = Literal["applied", "lost", "changed"]
"""The answer of `finish_sms_delivery`.

applied: recorded. lost: another run looks after it. changed: what was decided about is no longer so, and it is looked
after again.
"""
