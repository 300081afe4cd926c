"""Stages of a text's life, each by the steps that lead there. Around each of them everything is tried."""

from typing import Final

CLAIM: Final = ("claim due",)
BEGUN: Final = (*CLAIM, "worker 1 begin")
_NEVER_ARRIVED: Final = (*BEGUN, "worker 1 sends: unheard", "worker 1 finish")
ARRIVED: Final = (*BEGUN, "worker 1 sends: accepted unheard", "worker 1 finish")
_COMPLETED: Final = (*BEGUN, "worker 1 sends: accepted", "worker 1 finish")
_LOST: Final = (*_COMPLETED, "message 1 is lost", "Twilio reports message 1: lost")


def look(claim: int, minutes: str) -> tuple[str, ...]:
    """Such a claim, after so many minutes, finds what there is."""
    who = f"worker {claim}"
    return (f"{minutes} min go by", "claim doubtful", f"{who} reads the list", f"{who} reconcile")


STAGES: Final[dict[str, tuple[str, ...]]] = {
    "due": (),
    "claimed": CLAIM,
    "begun": BEGUN,
    "accepted, and not written down": (*BEGUN, "worker 1 sends: accepted"),
    "its worker died before it began": (*CLAIM, "a lease goes by", "recover"),
    "its worker died after it was accepted": (*BEGUN, "worker 1 sends: accepted", "a lease goes by", "recover"),
    "in doubt, and accepted": ARRIVED,
    "in doubt, and looked for": (*ARRIVED, "1 min go by", "claim doubtful"),
    "in doubt, and never arrived": _NEVER_ARRIVED,
    "before the third look": (*_NEVER_ARRIVED, *look(2, "1"), *look(3, "5")),
    "to be sent again": (*_NEVER_ARRIVED, *look(2, "1"), *look(3, "5"), *look(4, "15")),
    "completed": _COMPLETED,
    "lost by a carrier": _LOST,
    "put back, because it was lost": (*_LOST, "deliveries are looked after"),
    "refused for now": (*BEGUN, "worker 1 sends: refused for now", "worker 1 finish"),
    "failed": (*BEGUN, "worker 1 sends: refused for good", "worker 1 finish"),
    "opted out": ("the customer texts STOP",),
    "in doubt, and opted out": (*ARRIVED, "the customer texts STOP"),
    "cancelled": ("a person cancels it",),
}
