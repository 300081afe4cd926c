"""Stages of a text's life, each by the steps that lead there. Around each of them everything is tried."""

from typing import Final

CLAIM = ("claim due",)
BEGUN = (*CLAIM, "worker 1 begin")
NEVER_ARRIVED = (*BEGUN, "worker 1 sends: unheard", "worker 1 finish")
ARRIVED = (*BEGUN, "worker 1 sends: accepted unheard", "worker 1 finish")
_COMPLETED = (*BEGUN, "worker 1 sends: accepted", "worker 1 finish")
LOST = (*_COMPLETED, "message 1 is lost", "Twilio reports message 1: lost")
PUT_BACK = (
    *LOST,
    "a delivery is looked after",
    "look 1 after a message asks about a message",
    "look 1 after a message follow",
)


def look(claim: int, minutes: str) -> tuple[str, ...]:
    """Such a claim, after so many minutes, finds what there is."""
    name = f"worker {claim}"
    return (
        f"{minutes} min go by",
        "claim doubtful",
        f"{name} reads the list",
        f"{name} reconcile",
    )


FAILED_IN_DOUBT = (
    *(*ARRIVED, "a text's life goes by", "claim doubtful"),
    *("worker 2 gets no list", "worker 2 reconcile"),
)
PROCESSOR = "the application's processor claims"
PROCESSOR_DIED = (
    *(
        PROCESSOR,
        "the application's processor sends: accepted",
        "the application's processor dies",
    ),
    *("a lease goes by", "recover"),
)
ALIKE = "another text has the same words"
_BEGINS_ALIKE = "another text begins alike"
OTHER_SENT = (
    *CLAIM,
    "worker 1 of the other text begin",
    "worker 1 of the other text sends: accepted",
)
"""And not written down."""
BOTH_IN_DOUBT = (
    *(ALIKE, *ARRIVED, *CLAIM),
    *(
        f"worker 1 of the other text {step}"
        for step in ("begin", "sends: unheard", "finish")
    ),
)


_WORDS = "the customer texts what may mean stop"
STAGES: Final[dict[str, tuple[str, ...]]] = {
    "due": (),
    "claimed": CLAIM,
    "begun": BEGUN,
    "accepted, and not written down": (*BEGUN, "worker 1 sends: accepted"),
    "its worker died before it began": (*CLAIM, "a lease goes by", "recover"),
    "its worker died after it was accepted": (
        *BEGUN,
        "worker 1 sends: accepted",
        "a lease goes by",
        "recover",
    ),
    "in doubt, and accepted": ARRIVED,
    "in doubt, and looked for": (*ARRIVED, "1 min go by", "claim doubtful"),
    "in doubt, and never arrived": NEVER_ARRIVED,
    "before the third look": (*NEVER_ARRIVED, *look(2, "1"), *look(3, "5")),
    "to be sent again": (*NEVER_ARRIVED, *look(2, "1"), *look(3, "5"), *look(4, "15")),
    "completed": _COMPLETED,
    "lost by a carrier": LOST,
    "looked after, and lost": (
        *LOST,
        "a delivery is looked after",
        "look 1 after a message asks about a message",
    ),
    "put back, because it was lost": PUT_BACK,
    "refused for now": (
        *BEGUN,
        "worker 1 sends: refused for now",
        "worker 1 slow_down",
        "worker 1 finish",
    ),
    "failed": (*BEGUN, "worker 1 sends: refused for good", "worker 1 finish"),
    "opted out": ("the customer texts STOP",),
    "in doubt, and opted out": (*ARRIVED, "the customer texts STOP"),
    "with unread words": (_WORDS,),
    "with unread words, and claimed": (*CLAIM, _WORDS),
    "with words while its number is written otherwise": (
        "the application writes the number otherwise",
        _WORDS,
    ),
    "with words while its customer is away": (
        "the application deletes the customer",
        _WORDS,
    ),
    "beside unread words of another number": (
        "somebody else texts what may mean stop",
    ),
    "transactional, with unread words": (
        "it is transactional",
        *CLAIM,
        _WORDS,
    ),
    "cancelled": ("a person cancels it",),
    "failed in doubt": FAILED_IN_DOUBT,
    "failed in doubt, and queued anew": (
        *FAILED_IN_DOUBT,
        "the application queues the text anew",
    ),
    "of use for an hour, and claimed": ("it is of use for an hour", *CLAIM),
    "planned": ("it is planned",),
    "planned, and queued": ("it is planned", "planned texts are queued"),
    "with the application's processor": (PROCESSOR,),
    "sent by the application's processor, which died": PROCESSOR_DIED,
    "beside one of the same words": (ALIKE,),
    "beside one of the same words, and in doubt": (ALIKE, *NEVER_ARRIVED),
    "beside one of the same words, both in doubt": BOTH_IN_DOUBT,
    "beside one that begins alike, and in doubt": (_BEGINS_ALIKE, *NEVER_ARRIVED),
    "beside one that begins alike, which is sent": (
        *(_BEGINS_ALIKE, *NEVER_ARRIVED, *OTHER_SENT),
    ),
}
