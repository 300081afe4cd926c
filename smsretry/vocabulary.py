"""The words stored in columns and settings, one spelling for Python and SQL. This module imports nothing of ours.

One word has one meaning. A new word goes here and into the column's check constraint; a new reason goes into its kind,
and `python -m tests.record_schema` tells SQL.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

Reason: TypeAlias = Literal["quiet_hours", "twilio_error", "rate_limit"]
"""Why a row waits, as stored in `sms_retry_queue.reason`."""

MessageClass: TypeAlias = Literal["marketing", "transactional"]
"""Which rules bind a text: all of them, or 08:00–21:00 on the recipient's clock and no state's rule.

Engineering guidance, not legal advice.
"""

SendTo: TypeAlias = Literal["all", "listed", "nobody"]
"""Whom a runner texts: everybody, only the numbers of a list, or nobody."""

Mark: TypeAlias = Literal["production", "staging"]
"""What a person said that a database is. Only production's workers text everybody, and only in its one place."""

StopKind: TypeAlias = Literal[
    "everybody", "sender", "business", "state", "business_stopped"
]
"""What may have stopped, as stored in `smsretry.stops.kind`. The last two are a person's orders: a state's marketing
texts, and all of a business."""

RuleSet: TypeAlias = Literal["federal", "us_states"]
"""federal: 08:00–21:00 everywhere. us_states: the states' rules and the other countries' windows, too."""

InDoubtPolicy: TypeAlias = Literal["resend", "hold"]
"""What becomes of a text in doubt when the quarantine ends without evidence: sent again, or held for a person."""

Fate: TypeAlias = Literal[
    "Sent",
    "Deferred",
    "Held",
    "RetryScheduled",
    "InDoubt",
    "GivenBack",
    "Failed",
    "Cancelled",
    "Lost",
    "Error",
]
"""What one claim of a row came to. Badges, events and the numbers of a run are made from it.

Sent: the provider accepted it. Deferred: waits for a reason that is no failure. Held: waits because of something that a
person can mend, and says what. RetryScheduled: failed for a moment. InDoubt: may or may not have gone out. GivenBack:
not tried by this run, which stopped sending, or lets others go first. Failed: given up. Cancelled: no longer wanted.
Lost: another worker has it. Error: its processing itself went wrong.
"""

Reconciled: TypeAlias = Literal["applied", "ended", "lost", "sid_taken", "wait"]
"""The answer of `reconcile_sms_retry`.

applied: recorded. ended: its life was over, so it failed. lost: another worker has the row. sid_taken: the message
belongs to another attempt. wait: a send to the same number has no answer yet, so the message may belong to that send.
"""

OutcomeName: TypeAlias = Literal["accepted", "rejected", "not_sent", "in_doubt"]
"""An outcome as stored in `sms_send_attempts.outcome`."""

PlaceReason: TypeAlias = Literal[
    "quiet_hours",
    "daily_cap",
    "number_spelling",
    "no_time_zone",
    "no_opening",
    "hours_unreadable",
]
"""Decided from number, zones and hours: a text is looked at anew as soon as one of them is corrected."""

SenderTrouble: TypeAlias = Literal[
    "sender_paused", "no_credentials", "account_refused", "sending_stopped"
]
"""Somebody must mend the sender."""

SenderLimit: TypeAlias = Literal["sender_rate", "day_spent"]
"""The sender's own rate and day: time ends it, or whoever raises them."""

PassingReason: TypeAlias = Literal[
    "business_trouble", "unreachable", "locked", "database_trouble", "data_changed"
]
"""It may be over at any moment, and a look shows whether it is."""

WhyCode: TypeAlias = Literal[
    PlaceReason,
    SenderTrouble,
    SenderLimit,
    PassingReason,
    "no_send_log",
    "not_sms",
    "no_customer",
    "no_phone",
    "number_invalid",
    "no_body",
    "body_too_long",
    "bad_row",
    "id_taken",
    "row_refused",
    "opted_out",
    "words_unread",
    "already_sent",
    "expired",
    "not_listed",
    "operator",
    "application",
    "superseded",
    "state_stopped",
    "business_stopped",
    "mark_mismatch",
    "at_capacity",
    "already_queued",
    "claim_lost",
    "rate_limited",
    "destination_refused",
    "refused_for_now",
    "refused",
    "attempts_used_up",
    "undelivered",
    "delivery_open",
    "in_doubt",
    "worker_died",
    "restored",
    "no_evidence",
    "list_unavailable",
    "ambiguous",
    "unforeseen",
]
"""The reason in a word for programs. Beside it, `why` is a sentence for people, and its words may change.

The text itself: bad_row: a worker cannot read its row. id_taken: a scheduled send has the id of another send log.
row_refused: a trigger or a rule of the application's refuses the row. No longer wanted: opted_out: consent is not
`opted_in`. not_listed: whoever is not listed gets no text from here. operator, application: a person or the application
said so. superseded: its next try is another row. Waiting: number_spelling: the number is not written as E.164.
hours_unreadable: a zone or hours are not understood. words_unread: the customer wrote what may mean stop, and nobody
has read it. state_stopped, business_stopped: by a person. no_opening: no permitted hour within days. mark_mismatch: the
worker texts everybody and the database is no production here, or the other way round. locked: by another transaction.
data_changed: what the decision was made from has changed. sending_stopped: sending or its sender has stopped.
at_capacity: others of its business or sender are under way. business_trouble: its business's texts come to nothing,
others' go out. sender_rate: the sender is too slow. sender_paused: a person paused it. day_spent: it has used its day,
or the carrier's. no_credentials: the runner has none for its account. The provider: unreachable: the request never
left. destination_refused: its account may not text this number, or perhaps nobody. refused_for_now, refused: it may go
out later, or never. delivery_open: an earlier message of it may still arrive. In doubt: worker_died: after a send
began, or several times before. restored: from a backup. no_evidence, list_unavailable, ambiguous: what a look for
evidence came to.
"""

REASONS_OF: Final[Mapping[str, tuple[WhyCode, ...]]] = {
    "place": get_args(PlaceReason),
    "sender": get_args(SenderTrouble),
    "sender_limit": get_args(SenderLimit),
    "passing": get_args(PassingReason),
}
"""The words of each kind, as `smsretry.reasons_of` has them."""

DeliveryStatus: TypeAlias = Literal[
    "accepted",
    "scheduled",
    "queued",
    "sending",
    "sent",
    "undelivered",
    "failed",
    "canceled",
    "delivered",
    "read",
]
"""How far an accepted message has come, in the provider's words. `sms_send_attempts.delivery_status` holds them, and
`unknown`: nothing final was reported for long enough.

sent: a carrier has it, and no later report may come. undelivered: the carrier says that it did not arrive.
failed, canceled: it never left the provider. delivered: the carrier says that it arrived. read: likewise, and was read.
"""

ScheduledResult: TypeAlias = Literal["queued", "cancelled", "failed", "held", "later"]
"""What became of a scheduled send whose time was near, in the order in which it is shown.

queued: its text waits in the queue. held: something must be mended first. later: its business is locked now.
"""

TextState: TypeAlias = Literal[
    "scheduled",
    "due",
    "waiting",
    "held",
    "under_way",
    "in_doubt",
    "sent",
    "failed",
    "cancelled",
]
"""The state of a text in a word, as in `smsretry.text_state`. scheduled: it is not in the queue yet."""

MESSAGE_ID: Final = r"^(?=.*[A-Za-z])[A-Za-z0-9_.-]{8,64}$"
"""A provider's id of a message, as `smsretry.is_message_id` has it. Its exact shape is the adapter's; no phone number
looks like one."""

Followed: TypeAlias = Literal["applied", "lost", "changed"]
"""The answer of `finish_sms_delivery`.

applied: recorded. lost: another run looks after it. changed: the message has changed since the decision, and is
looked after again.
"""
