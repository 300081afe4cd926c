"""Which messages of the provider's list may be a text in doubt."""

from datetime import datetime, timedelta
from itertools import product

from smsretry.retry.evidence import (
    CLOCK_ERROR,
    Matches,
    all_in_one,
    earliest_creation,
    find,
)
from smsretry.retry.models import Attempt, Look, Sighting
from tests.support.builders import BODY, NOON, PHONE, attempt
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
    created_at: datetime = BEGUN_TO_THE_SECOND,
) -> Sighting:
    """A message in the provider's list: our text, unless told otherwise."""
    return listed_as(sid(number), to=to, body=body, created_at=created_at)


def verdict_on(
    *sightings: Sighting,
    body: str = BODY,
    clock_ahead: timedelta = timedelta(0),
    other_bodies: tuple[str, ...] = (),
) -> Matches:
    """What the list has of the attempt."""
    look = Look(sightings=sightings, clock_ahead=clock_ahead)
    sent = attempt(body=body, begun_at=BEGUN, other_bodies=other_bodies)
    return find(look, Attempt.model_validate(sent), doubted_at=DOUBTED)


OURS, PERHAPS, NOT_OURS = (
    Matches((sid(1),), ()),
    Matches((), (sid(1),)),
    Matches((), ()),
)
"""What is found of one message: it is the text, it may be, it is another's."""

# Words

CURLY = "Ann’s “check-up” – it’s due… «soon»"
FOOTER = " Reply STOP to unsubscribe"
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
]
NO_WORDS = [
    # what may be ours also at an unusual time: it is redacted, or ours is not on record
    (BODY, ""),
    (BODY, "   "),
    ("", BODY),
    (" \u200b ", BODY),
]
UNLIKE = [
    (BODY, BODY.upper()),
    (BODY, "Your code is 123456"),
    (BODY, f"{BODY}{FOOTER}"),
    (BODY, BODY[:-5]),
]


def test_a_message_with_our_words_is_ours_whatever_its_way_did_to_them_and_with_others_it_may_be() -> (
    None
):
    """Smart encoding, other spaces and line ends: what providers are known to do.

    At another time, our words or none hold the text; with other words they are two strangers, or an application that
    records nothing would have each text in doubt held.
    """
    for ours, listed in SAME:
        assert verdict_on(sighting(body=listed), body=ours) == OURS, (ours, listed)
        assert (
            verdict_on(sighting(body=listed, created_at=AGO), body=ours) == PERHAPS
        ), (
            ours,
            listed,
        )
    for ours, listed in NO_WORDS:
        assert verdict_on(sighting(body=listed), body=ours) == PERHAPS, (ours, listed)
        for step in (6 * SECOND, 130 * SECOND, 14 * HOUR, 2 * DAY):
            for created_at in (BEGUN_TO_THE_SECOND - step, DOUBTED + 2 * MINUTE + step):
                assert (
                    verdict_on(sighting(body=listed, created_at=created_at), body=ours)
                    == PERHAPS
                ), (step, ours, listed)
    for ours, listed in UNLIKE:
        assert verdict_on(sighting(body=listed), body=ours) == PERHAPS, (ours, listed)
        assert (
            verdict_on(sighting(body=listed, created_at=AGO), body=ours) == NOT_OURS
        ), (
            ours,
            listed,
        )


LONGER = f"{BODY} See you tomorrow at 10:00."
WHOSE: list[tuple[str, str, tuple[str, ...], Matches]] = [
    # listed, ours, other open texts', what it is
    (LONGER, BODY, (LONGER,), NOT_OURS),
    (LONGER, LONGER, (BODY,), OURS),
    (BODY, LONGER, (BODY,), NOT_OURS),
    (f" {LONGER}\n", BODY, (LONGER,), NOT_OURS),
    ("Hi!", BODY, ("Hi!",), NOT_OURS),
    ("Hi!", "", ("Hi!",), NOT_OURS),
    ("Hi!", BODY, ("Ho!",), PERHAPS),
    ("", BODY, (LONGER,), PERHAPS),
    (BODY, BODY, (BODY, f"{BODY} "), OURS),
]


def test_a_message_with_the_words_of_another_open_text_belongs_to_that_text() -> None:
    """One that began like ours was taken for it: ours was lost, and the other one was sent again."""
    for listed, ours, other_bodies, whose in WHOSE:
        assert (
            verdict_on(sighting(body=listed), body=ours, other_bodies=other_bodies)
            == whose
        ), (
            listed,
            ours,
            other_bodies,
        )
    for body in (
        LONGER,
        "Hi!",
    ):  # at any time: it need not have been sent when ours was
        assert (
            verdict_on(
                sighting(body=body, created_at=BEGUN - 2 * HOUR), other_bodies=(body,)
            )
            == NOT_OURS
        )


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


def test_a_message_is_ours_only_if_it_was_made_around_the_attempt_by_the_providers_clock_or_by_ours() -> (
    None
):
    """From five seconds before it began, for two clocks and whole seconds, to two minutes after its doubt began.

    None is ours that is dated more than three days from that: less than a week, so that weekly words hold nothing.
    """
    for ahead, created_at, usual in CLOCKS:
        assert verdict_on(sighting(created_at=created_at), clock_ahead=ahead) == (
            OURS if usual else PERHAPS
        )
        other_words = sighting(body="Something else", created_at=created_at)
        assert verdict_on(other_words, clock_ahead=ahead) == (
            PERHAPS if usual else NOT_OURS
        )
    before, after = (
        BEGUN_TO_THE_SECOND - 5 * SECOND - CLOCK_ERROR,
        DOUBTED + 2 * MINUTE + CLOCK_ERROR,
    )
    assert (
        verdict_on(sighting(created_at=before))
        == verdict_on(sighting(created_at=after))
        == PERHAPS
    )
    for body, created_at in product((BODY, ""), (before - SECOND, after + SECOND)):
        assert verdict_on(sighting(body=body, created_at=created_at)) == NOT_OURS
    assert earliest_creation(BEGUN) == BEGUN_TO_THE_SECOND - 3 * DAY


def test_a_message_whose_number_is_masked_may_be_ours_and_is_never_proved() -> None:
    """With our words or without any. To another number, it is not ours."""
    assert (
        verdict_on(sighting(to=None))
        == verdict_on(sighting(to=None, body=""))
        == PERHAPS
    )
    for to in (
        "+12125550124",
        "+1212555012",
        "12125550123",
        "",
        "whatsapp:+12125550123",
    ):
        assert (
            verdict_on(sighting(to=to))
            == verdict_on(sighting(to=to, body=""))
            == NOT_OURS
        )


# Several


def test_our_messages_and_ambiguous_ones_are_kept_apart_and_each_is_in_order() -> None:
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
    assert verdict_on(*listed) == Matches(
        (sid(3), sid(1)), (sid(6), sid(5), sid(7), sid(4), sid(2))
    )


def test_several_lists_prove_nothing_if_one_could_not_be_read() -> None:
    """The message may stand in that one. Those that were had are read as one."""
    look, second = (Look(sightings=(sighting(number),)) for number in (1, 2))
    assert all_in_one([look, None]) is None
    both = all_in_one([look, second])
    assert both is not None
    assert both.sightings == (*look.sightings, *second.sightings)
