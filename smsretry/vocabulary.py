"""The words stored in columns and settings, one spelling for Python and SQL. This module imports nothing of ours.

One word has one meaning. A new word goes here and into the column's check constraint. A new reason goes into one of the
types that `WhyCode` joins, and `python -m tests.record_schema` tells SQL.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

RowStatus: TypeAlias = Literal[
    "pending", "processing", "completed", "failed", "cancelled"
]
"""What a row of the queue is, as stored in `sms_retry_queue.status`: the application's words."""

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

ConsentWord: TypeAlias = Literal["opted_out", "opted_in", "unsure", "unchanged", "seen"]
"""What was said, as stored in `smsretry.consents.said`.

unsure: it may mean stop. unchanged: a person read it, and it means neither. seen: a number was looked at.
"""

TurnKind: TypeAlias = Literal["texts", "doubtful", "scheduled", "deliveries", "cursor"]
"""For what a business was served, as stored in `smsretry.turns.kind`. cursor: where a claim stopped looking."""

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
    "ClaimLost",
    "Error",
]
"""What one claim of a row came to. Badges, events and the numbers of a run are made from it.

Sent: the provider accepted it. Deferred: waits for a reason that is no failure. Held: waits because of something that a
person can mend, and says what. RetryScheduled: failed for a moment. InDoubt: may or may not have gone out. GivenBack:
not tried by this run, which stopped sending, or lets others go first. Failed: given up. Cancelled: no longer wanted.
ClaimLost: another worker has it. Error: its processing itself went wrong.
"""

Reconciled: TypeAlias = Literal["applied", "ended", "claim_lost", "sid_taken", "wait"]
"""The answer of `reconcile_sms_retry`.

applied: recorded. ended: its life was over, so it failed. claim_lost: another worker has the row. sid_taken: the
message belongs to another attempt. wait: a send to the same number has no answer yet, so the message may be that one's.
"""

OutcomeName: TypeAlias = Literal["accepted", "rejected", "not_sent", "in_doubt"]
"""An outcome as stored in `sms_send_attempts.outcome`."""

SettledBy: TypeAlias = Literal[
    "response", "callback", "reconcile", "operator", "application"
]
"""Who told a send's outcome, as stored in `sms_send_attempts.settled_by`."""

PlaceCode: TypeAlias = Literal[
    "quiet_hours",
    "daily_cap",
    "number_spelling",
    "no_time_zone",
    "no_opening",
    "hours_unreadable",
]
"""It waits; decided from number, zones and hours. It is looked at anew as soon as one of them is corrected.

daily_cap: the recipient has had all texts of a day. number_spelling: the number is not written as E.164. no_opening: no
permitted hour within days. hours_unreadable: a zone or hours are not understood.
"""

SenderTrouble: TypeAlias = Literal[
    "sender_paused", "no_credentials", "account_refused", "sending_stopped"
]
"""It waits; somebody must mend the sender.

sender_paused: by a person. no_credentials: the runner has none for its account. sending_stopped: sending or its sender
has stopped.
"""

SenderLimit: TypeAlias = Literal["sender_rate", "day_spent"]
"""It waits; time ends it, or whoever raises the sender's own rate or day. day_spent: perhaps the carrier's day."""

PassingCode: TypeAlias = Literal[
    "business_trouble", "unreachable", "locked", "database_trouble", "data_changed"
]
"""It waits; it may be over at any moment, and a look shows whether it is.

business_trouble: its business's texts come to nothing, and others' go out. unreachable: the request never left. locked:
by another transaction. data_changed: what the decision was made from has changed.
"""

PersonsCode: TypeAlias = Literal[
    "words_unread",
    "consent_unclear",
    "state_stopped",
    "business_stopped",
    "mark_mismatch",
    "destination_refused",
]
"""It waits; a person's word ends it.

words_unread: the customer wrote what may mean stop, and nobody has read it. consent_unclear: the application's word for
the customer's consent is none that we know. state_stopped, business_stopped: a person stopped them. mark_mismatch: the
worker texts everybody and the database is no production here, or the other way round. destination_refused: the account
may not text this number, or perhaps nobody.
"""

DoubtCode: TypeAlias = Literal[
    "in_doubt",
    "worker_died",
    "restored",
    "no_evidence",
    "list_unavailable",
    "ambiguous",
]
"""It is in doubt, and why. worker_died: after a send began, or several times before one. The last three say what a look
for evidence came to."""

ClaimCode: TypeAlias = Literal["at_capacity", "already_queued", "claim_lost"]
"""This worker leaves it to another. at_capacity: as many sends of its business or sender are under way as may be."""

AnswerCode: TypeAlias = Literal[
    "rate_limited",
    "refused_for_now",
    "refused",
    "attempts_used_up",
    "undelivered",
    "delivery_open",
]
"""The provider answered or reported it. The first two go out later; delivery_open: when it is known that an earlier
message of it does not arrive. The others have failed."""

UnwantedCode: TypeAlias = Literal[
    "opted_out",
    "not_consented",
    "already_sent",
    "expired",
    "not_listed",
    "operator",
    "application",
    "superseded",
]
"""It is cancelled.

not_consented: nobody said yes. not_listed: whoever is not listed gets no text from here. operator, application: a
person or the application said so. superseded: its next try is another row.
"""

TextFault: TypeAlias = Literal[
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
    "unforeseen",
]
"""It has failed, unless somebody can mend it: then it is held.

bad_row: a worker cannot read its row. id_taken: a scheduled send has the id of another send log. row_refused: a trigger
or a rule of the application's refuses the row. unforeseen: a bug, or trouble of the machine.
"""

WhyCode: TypeAlias = Literal[
    PlaceCode,
    SenderTrouble,
    SenderLimit,
    PassingCode,
    PersonsCode,
    DoubtCode,
    ClaimCode,
    AnswerCode,
    UnwantedCode,
    TextFault,
]
"""The reason in a word for programs. Beside it, `why` is a sentence for people, and its words may change."""

WHY_CODES_OF: Final[Mapping[str, tuple[WhyCode, ...]]] = {
    "place": get_args(PlaceCode),
    "sender": get_args(SenderTrouble),
    "sender_limit": get_args(SenderLimit),
    "passing": get_args(PassingCode),
}
"""The reasons that SQL treats alike, as `smsretry.why_codes_of` has them."""

DeliveryStatus: TypeAlias = Literal[
    "accepted",
    "scheduled",
    "queued",
    "sending",
    "sent",
    "undelivered",
    "failed",
    "canceled",
    "partially_delivered",
    "delivered",
    "read",
]
"""How far an accepted message has come, in the provider's words. `sms_send_attempts.delivery_status` holds them, and
`unknown`: nothing final was reported for long enough.

sent: a carrier has it, and no later report may come. undelivered: the carrier says that it did not arrive.
failed, canceled: it never left the provider. delivered: the carrier says that it arrived. partially_delivered: some of
it did. read: all of it, and was read.
"""

Delivery: TypeAlias = Literal["delivered", "undelivered", "unknown", "open"]
"""Whether an accepted text arrived, as `smsretry.delivery_of` says. unknown: nothing final was ever reported. open:
nothing final has been reported yet."""

SendResult: TypeAlias = Literal[OutcomeName, "under_way", Delivery]
"""What a send came to: its outcome, unless it is under way; or whether its text arrived."""

ScheduledStatus: TypeAlias = Literal["scheduled", "queued", "cancelled", "failed"]
"""What a scheduled send is, as stored in `scheduled_sends.status`: the application's words."""

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

Followed: TypeAlias = Literal["applied", "claim_lost", "changed"]
"""The answer of `finish_sms_delivery`.

applied: recorded. claim_lost: another run looks after it. changed: the message has changed since the decision, and is
looked after again.
"""


def spaced(word: str) -> str:
    """Write a stored word as people do, such as not sent for not_sent."""
    return word.replace("_", " ")
