"""What becomes of each message after Twilio took it: decided by the seed, the text and which message of it this is."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from tests.proofs.faults.orders import dice, pick

RETRIES: Final = 1
"""How often a text is sent again that a carrier lost for a passing reason: the deployed default."""
PASSING: Final = (30003, 30008, 30450, 30453)
"""Twilio's codes of a failure that passes. They and no others lead to another message."""
LASTING: Final = (30004, 30005)
OF_THE_NUMBER: Final = {30006: "not_mobile"}
"""Codes that mark the number, and the `phone_status` of it."""
OF_A_STOP: Final = (30630,)
"""Codes that say that the number has opted out."""
OF_THE_SENDER: Final = (30007, 30018)
FAILURES: Final = ("undelivered", "failed", "canceled")

Way = Literal[
    "delivered", "lost", "lost, then delivered", "refused", "refused, then delivered", "number", "sender", "canceled",
    "silent",
]  # fmt: skip
_DELIVERED: Final[tuple[Way, ...]] = ("delivered",) * 36
_OTHERS: Final[tuple[Way, ...]] = (
    *("lost, then delivered",) * 3, "refused", "refused, then delivered", "number", "sender", "canceled", "silent",
)  # fmt: skip
_FIRST: Final[tuple[Way, ...]] = (*_DELIVERED, *("lost",) * 2, *_OTHERS)
"""Text by text, so that each is there in a run of 47."""
_LATER: Final[tuple[Way, ...]] = ("delivered",) * 4 + ("lost",) * 2 + ("refused", "number", "silent")


@dataclass(frozen=True, slots=True)
class Stage:
    """Twilio learns this of a message, so long after it accepted it."""

    after: timedelta
    status: str
    code: int | None = None


def journey(seed: str, text: int, nth: int) -> list[Stage]:
    """What becomes of the nth message of a text, from 0. The last stage is all that Twilio ever learns of it."""

    def lot(what: str) -> float:
        return dice(seed, what, text, nth)

    way: Way = pick(_LATER, seed, "way", text, nth) if nth else _FIRST[text * 7 % len(_FIRST)]
    early = (("queued", 0.0, 0.25), ("sending", 1.0, 0.15), ("sent", 2.0, 0.4))
    stages = [Stage(timedelta(seconds=at), status) for status, at, share in early if lot(status) < share]
    if way == "silent":
        return stages
    slow = timedelta(hours=4) if lot("slow") < 0.1 else timedelta(minutes=20) if lot("slow") < 0.3 else timedelta(0)
    at = timedelta(seconds=5 + 55 * lot("at")) + slow * lot("at")
    if way == "delivered":
        return [*stages, Stage(at, "read" if lot("read") < 0.05 else "delivered")]
    if way == "canceled":
        return [*stages[:1], Stage(at, "canceled")]
    codes = {
        "lost": PASSING, "lost, then delivered": PASSING, "sender": OF_THE_SENDER,
        "number": (*OF_THE_NUMBER, *OF_A_STOP),
    }.get(way, LASTING)  # fmt: skip
    failure = Stage(at, pick(FAILURES[:2], seed, "failure", text, nth), pick(codes, seed, "code", text, nth))
    if way == "lost, then delivered":
        return [*stages, failure, Stage(at + timedelta(minutes=2 + 18 * lot("after all")), "delivered")]
    if way == "refused, then delivered":
        return [*stages, failure, Stage(at + timedelta(hours=1 + 39 * lot("after all")), "delivered")]
    return [*stages, failure]
