"""Which messages of the provider's list may be a text in doubt."""

from datetime import datetime, timedelta
from itertools import product
from typing import Any

from smsretry.retry.evidence import CLOCK_ERROR, Found, Sent, earliest_creation, find
from smsretry.retry.models import Look, Sighting
from tests.support.builders import BODY, NOON, PHONE
from tests.support.builders import sighting as listed_as

BEGUN = NOON + timedelta(milliseconds=900)
BEGUN_TO_THE_SECOND = BEGUN.replace(microsecond=0)
DOUBTED = BEGUN + timedelta(seconds=35)
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
AGO = BEGUN - 10 * MINUTE


def sid(number: int) -> str:
    """A SID."""
    return f"SM{number:032x}"


def sighting(
    number: int = 1,
    *,
    to: str | None = PHONE,
    body: str = BODY,
    created_at: datetime | None = BEGUN_TO_THE_SECOND,
    **more: Any,
) -> Sighting:
    """A message in the provider's list: our text, unless told otherwise."""
    return listed_as(sid(number), to=to, body=body, created_at=created_at, **more)


def found(
    *sightings: Sighting, body: str = BODY, clock_ahead: timedelta = timedelta(0), others: tuple[str, ...] = ()
) -> Found:
    """What the list has of the attempt."""
    look = Look(sightings=sightings, clock_ahead=clock_ahead)
    return find(look, Sent(PHONE, body, BEGUN, DOUBTED, others))


OURS, PERHAPS, NOT_OURS = Found((sid(1),), ()), Found((), (sid(1),)), Found((), ())
"""What is found of one message: it is the text, it may be, it is another's."""

# Words

CURLY = "Ann’s “check-up” – it’s due… «soon»"
FOOTER, PREFIX = " We look forward to it.", "Dear customer: "
SHORT = "Your code is 12345."
"""Nineteen characters."""
LINK, OTHER_LINK = "Your visit: https://maple.example/visits/12345", "Your visit: https://t.example/x7Q"
SAME = [
    # what we sent, what the provider shows: other space around it and in it, other line ends
    (BODY, f" {BODY}\n"),
    (f"  {BODY}", BODY),
    ("Hi\r\nAnn", "Hi\nAnn"),
    ("Hi\rAnn", "Hi\nAnn"),
    ("Hi  Ann", "Hi Ann"),
    *((f"at{space}noon", "at noon") for space in "\u00a0\u2007\u2009\u202f\u3000"),
    # Plain characters for smart ones, or smart ones for plain ones.
    (CURLY, 'Ann\'s "check-up" - it\'s due... "soon"'),
    ("10‑12 or 14−16", "10-12 or 14-16"),
    ("Ann`s and Bob´s", "Ann's and Bob's"),
    ("½ price", "1⁄2 price"),
    ("Cafe\u0301", "Café"),
    # Without what has no width.
    ("www.\u200bexample\u2060.com\ufeff Ann\u00adabel", "www.example.com Annabel"),
    # An opt-out instruction at the end, which services append.
    *((BODY, f"{BODY}{footer}") for footer in (" Reply STOP to unsubscribe", "\n\nTxt STOP to opt out")),
    *((BODY, f"{BODY}{footer}") for footer in (" Text STOP to opt-out.", " reply stop 2 end!", " Send STOP to cancel")),
]
CHANGED = [
    # what may be ours also at an unusual time: words added before or after it, cut short, redacted, another link
    (BODY, ""),
    (BODY, "   "),
    (BODY, f"{PREFIX}{BODY}{FOOTER}"),
    (BODY, f"{BODY}{FOOTER}"),
    (BODY, BODY[:-5]),
    (LINK, OTHER_LINK),
    ("", BODY),  # ours is not on record
    (" \u200b ", BODY),
]
UNLIKE = [
    (BODY, BODY.upper()),
    (BODY, "Your code is 123456"),
    (SHORT, f"{SHORT}{FOOTER}"),  # too short to be recognized in a longer one
    (LINK, "Your table is ready."),
]


def test_a_message_with_our_words_is_ours_whatever_its_way_did_to_them_and_with_others_it_may_be() -> None:
    """Smart encoding, other spaces and line ends: what providers are known to do.

    At another time, what may be our words holds the text; with wholly other words they are two strangers, or an
    application that records nothing would have each text in doubt held.
    """
    for ours, shown in SAME:
        assert found(sighting(body=shown), body=ours) == OURS, (ours, shown)
        assert found(sighting(body=shown, created_at=AGO), body=ours) == PERHAPS, (ours, shown)
    for ours, shown in CHANGED:
        assert found(sighting(body=shown), body=ours) == PERHAPS, (ours, shown)
        for step in (6 * SECOND, 130 * SECOND, 14 * HOUR, 2 * DAY):
            for created_at in (BEGUN_TO_THE_SECOND - step, DOUBTED + 2 * MINUTE + step):
                assert found(sighting(body=shown, created_at=created_at), body=ours) == PERHAPS, (step, ours, shown)
    for ours, shown in UNLIKE:
        assert found(sighting(body=shown), body=ours) == PERHAPS, (ours, shown)
        assert found(sighting(body=shown, created_at=AGO), body=ours) == NOT_OURS, (ours, shown)
    for shown in (
        f"{BODY} Reply YES to confirm",
        f"{BODY} Reply STOP",
        f"{BODY} Reply STOP to end, or call us",
    ):
        assert found(sighting(body=shown)) == PERHAPS, "no opt-out instruction, or not at the end"


LONGER = f"{BODY} See you tomorrow at 10:00."
WHOSE: list[tuple[str, tuple[str, ...], str, tuple[str, ...], Found]] = [
    # listed, that without words that services add, ours, other open texts', what it is
    (LONGER, (), BODY, (LONGER,), NOT_OURS),
    (LONGER, (), LONGER, (BODY,), OURS),
    (BODY, (), LONGER, (BODY,), NOT_OURS),
    (f" {LONGER}\n", (), BODY, (LONGER,), NOT_OURS),
    ("Hi!", (), BODY, ("Hi!",), NOT_OURS),
    ("Hi!", (), BODY, ("Ho!",), PERHAPS),
    ("", (), BODY, (LONGER,), PERHAPS),
    (BODY, (), BODY, (BODY, f"{BODY} "), OURS),
    (f"{BODY}+", (BODY,), BODY, (), OURS),
    (f"{BODY}+", (BODY,), BODY, (f"{BODY}+",), PERHAPS),
    (f"{BODY}+", (BODY,), f"{BODY}+", (BODY,), PERHAPS),
    (f"{LONGER}+", (LONGER,), BODY, (LONGER,), NOT_OURS),
]


def test_a_message_with_the_words_of_another_open_text_is_that_one_s() -> None:
    """One that began like ours was taken for it: ours was lost, and the other one was sent again."""
    for listed, bare, ours, others, whose in WHOSE:
        assert found(sighting(body=listed, bare=bare), body=ours, others=others) == whose, (listed, ours, others)
    for body in (LONGER, "Hi!"):  # at any time: it need not have been sent when ours was
        assert found(sighting(body=body, created_at=BEGUN - 2 * HOUR), others=(body,)) == NOT_OURS


# Whom and when

CLOCKS: list[tuple[timedelta, datetime, bool]] = [
    # the provider's clock minus ours, when its clock says the message was created, whether that is usual
    (timedelta(0), BEGUN - MINUTE, False),
    (timedelta(0), BEGUN_TO_THE_SECOND - 5 * SECOND - MICROSECOND, False),
    (timedelta(0), BEGUN_TO_THE_SECOND - 5 * SECOND, True),
    (timedelta(0), DOUBTED + 2 * MINUTE, True),
    (timedelta(0), DOUBTED + 2 * MINUTE + MICROSECOND, False),
    (2 * MINUTE, BEGUN + 2 * MINUTE, True),
    (2 * MINUTE, DOUBTED + 4 * MINUTE, True),
    (2 * MINUTE, DOUBTED + 4 * MINUTE + MICROSECOND, False),
    (-2 * MINUTE, BEGUN_TO_THE_SECOND - 2 * MINUTE - 5 * SECOND, True),
    (-2 * MINUTE, BEGUN_TO_THE_SECOND - 2 * MINUTE - 5 * SECOND - MICROSECOND, False),
    # Far between the two clocks: neither of them says so.
    (2 * HOUR, BEGUN + HOUR, False),
    (-2 * HOUR, BEGUN - HOUR, False),
    # The clock may have been set right since: what would fit without the difference fits as well.
    (2 * MINUTE, BEGUN_TO_THE_SECOND, True),
    (-2 * MINUTE, DOUBTED + 2 * MINUTE, True),
]


def test_a_message_is_ours_only_if_it_was_made_around_the_attempt_by_the_providers_clock_or_by_ours() -> None:
    """From five seconds before it began, for two clocks and whole seconds, to two minutes after its doubt began.

    None is ours that is dated more than three days from that: less than a week, so that weekly words hold nothing.
    """
    for ahead, created_at, usual in CLOCKS:
        assert found(sighting(created_at=created_at), clock_ahead=ahead) == (OURS if usual else PERHAPS)
        other_words = sighting(body="Something else", created_at=created_at)
        assert found(other_words, clock_ahead=ahead) == (PERHAPS if usual else NOT_OURS)
    before, after = BEGUN_TO_THE_SECOND - 5 * SECOND - CLOCK_ERROR, DOUBTED + 2 * MINUTE + CLOCK_ERROR
    assert found(sighting(created_at=before)) == found(sighting(created_at=after)) == PERHAPS
    for body, created_at in product((BODY, ""), (before - SECOND, after + SECOND)):
        assert found(sighting(body=body, created_at=created_at)) == NOT_OURS
    assert earliest_creation(BEGUN) == BEGUN_TO_THE_SECOND - 3 * DAY


def test_a_message_that_the_list_tells_only_half_of_may_be_ours_and_is_never_proved() -> None:
    """No date, no number or no sender, with our words or without any. To another number, it is not ours."""
    half: list[dict[str, Any]] = [{"created_at": None}, {"to": None}, {"certain": False}]
    for what in half:
        assert found(sighting(**what)) == found(sighting(body="", **what)) == PERHAPS
    undated = sighting(body="Something else", created_at=None)
    assert found(undated) == PERHAPS
    assert found(undated, others=("Something else",)) == found() == NOT_OURS
    for to in ("+12125550124", "+1212555012", "12125550123", "", "whatsapp:+12125550123"):
        assert found(sighting(to=to)) == found(sighting(to=to, body="")) == NOT_OURS


# Several


def test_what_is_ours_and_what_is_ambiguous_are_told_apart_and_each_is_in_order() -> None:
    """The oldest first. What has our words comes before what may have had them: a person is told of three."""
    listed = [
        sighting(1, created_at=BEGUN + 4 * SECOND),
        sighting(2, body="", created_at=BEGUN + 3 * SECOND),
        sighting(3, created_at=BEGUN + 2 * SECOND),
        sighting(4, body="Something else", created_at=BEGUN + SECOND),
        sighting(5, created_at=BEGUN - HOUR),
        sighting(6, created_at=BEGUN - 2 * HOUR),
        sighting(7, body="", created_at=BEGUN - 3 * HOUR),
    ]
    assert found(*listed) == Found((sid(3), sid(1)), (sid(6), sid(5), sid(7), sid(4), sid(2)))
