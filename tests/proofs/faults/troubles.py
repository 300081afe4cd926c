"""What may go wrong in a round: how Twilio fails, and which of the database's answers are lost."""

from datetime import timedelta
from typing import Final

from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    BrokenAnswer,
    DropUnaccepted,
    Fault,
    FetchError,
    HtmlError,
    JsonError,
    ListError,
    ListLag,
)

READ_SECONDS: Final = 1.0
"""How long the workers wait for an answer of Twilio's where some come later than that, in place of 35 s."""

# Each strikes some requests of one round. (fault, most times a round; None: all of them)
_PASSING: Final[tuple[tuple[Fault, int], ...]] = (
    (AcceptThenDrop(), 4),
    (DropUnaccepted(), 4),
    (AcceptThenWait(timedelta(seconds=READ_SECONDS * 1.5)), 2),
    (BrokenAnswer.EMPTY, 2),
    (BrokenAnswer.HTML, 2),
    (BrokenAnswer.TRUNCATED, 2),
    (BrokenAnswer.WITHOUT_SID, 2),
    (HtmlError(http_status=502, accepted=True), 2),
    (JsonError(20500, http_status=500, accepted=True), 2),
    (JsonError(20429, http_status=429, retry_after=timedelta(seconds=90)), 30),
    (ListError(), 10),
    (ListError(20429, http_status=429), 10),
)
_PASSING_LOOKS: Final[tuple[tuple[Fault, int], ...]] = ((FetchError(), 10), (FetchError(20429, http_status=429), 10))
# Each lasts for rounds.
LASTING: Final[tuple[Fault, ...]] = (
    HtmlError(http_status=503),
    JsonError(20500, http_status=500),
    JsonError(20429, http_status=429),
    ListLag(timedelta(minutes=3)),
    ListLag(timedelta(minutes=9)),
    ListError(20503, http_status=503),
)
_CALLS: Final = (
    "claim_sms_texts", "begin_sms_attempt", "finish_sms_attempt", "group_sms_calls",
    "reconcile_sms_retry", "defer_sms_retry", "recover_stuck_sms_retries", "end_sms_retry", "queue_scheduled_sms",
)  # fmt: skip
_DELIVERY_CALLS: Final = ("claim_sms_deliveries", "finish_sms_delivery", "settle_sms_attempt")


def passing(*, looks: bool) -> tuple[tuple[Fault, int], ...]:
    """What strikes some requests; with `looks`, also those that ask what became of a message."""
    return _PASSING + _PASSING_LOOKS if looks else _PASSING


def calls(*, looks: bool) -> tuple[str, ...]:
    """The functions whose answers may be lost; with `looks`, also those about deliveries."""
    return _CALLS + _DELIVERY_CALLS if looks else _CALLS
