"""Which messages of the provider's list may be a text in doubt."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsretry.retry.evidence import CLOCK_ERROR, Found, Sent, earliest_creation, find
from smsretry.retry.models import Look, Sighting
from tests.support.builders import BODY, NOON, PHONE
from tests.support.builders import sighting as listed_as

BEGUN = NOON + timedelta(milliseconds=900)
BEGUN_TO_THE_SECOND = BEGUN.replace(microsecond=0)
DOUBTED = BEGUN + timedelta(seconds=35)
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


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


def matches(*sightings: Sighting, body: str = BODY) -> list[str]:
    """The SIDs that are the attempt's, unless another owns them."""
    return list(found(*sightings, body=body).ours)


CURLY = "Ann’s “check-up” – it’s due… «soon»"
NO_BREAK_SPACES = ("\u00a0", "\u2007", "\u2009", "\u202f", "\u3000")
"""No-break, figure, thin, narrow no-break and ideographic space."""
FOOTER, PREFIX = " We look forward to it.", "Dear customer: "
SHORT = "Your code is 12345."
"""Nineteen characters."""

SAME = [
    # what we sent, what the provider shows
    pytest.param(BODY, BODY, id="the same"),
    pytest.param(BODY, f" {BODY}\n", id="with other space around it"),
    pytest.param(f"{BODY}\n", BODY, id="trimmed by the provider"),
    pytest.param(f"  {BODY}", BODY, id="trimmed at its beginning"),
    pytest.param("Hi\nAnn", "Hi\nAnn", id="of two lines"),
    pytest.param("Hi\r\nAnn", "Hi\nAnn", id="with other line ends"),
    pytest.param("Hi\rAnn", "Hi\nAnn", id="with the line ends of old"),
    pytest.param("Hi  Ann", "Hi Ann", id="with fewer spaces"),
    pytest.param(CURLY, 'Ann\'s "check-up" - it\'s due... "soon"', id="with plain quotes, dashes and dots"),
    pytest.param('Ann\'s "check-up" - due...', "Ann’s “check-up” — due…", id="with smart ones instead of plain ones"),
    pytest.param("10‑12 or 14−16", "10-12 or 14-16", id="with a no-break hyphen and a minus"),
    pytest.param("Ann`s and Bob´s", "Ann's and Bob's", id="with accents for quotes"),
    *[
        pytest.param(f"at{space}noon", "at noon", id=f"with U+{ord(space):04X} made a space")
        for space in NO_BREAK_SPACES
    ],
    pytest.param("www.\u200bexample\u2060.com\ufeff", "www.example.com", id="without what has no width"),
    pytest.param("Ann\u00adabel", "Annabel", id="without soft hyphens"),
    pytest.param("½ price", "1⁄2 price", id="with a fraction spelled out"),
    pytest.param("Cafe\u0301", "Café", id="with an accent composed"),
    pytest.param("Bis später 👋🏽", "Bis später 👋🏽", id="with characters beyond GSM-7"),
]
DIFFERENT = [
    pytest.param(BODY, BODY.upper(), id="in other letters"),
    pytest.param(BODY, BODY[:-1], id="cut short"),
    pytest.param(BODY, f"{BODY}{FOOTER}", id="with words behind it"),
    pytest.param(BODY, f"{PREFIX}{BODY}", id="with words before it"),
    pytest.param(BODY, f"{PREFIX}{BODY}{FOOTER}", id="with words before and behind"),
    pytest.param(BODY, "", id="redacted"),
    pytest.param(BODY, "   ", id="blank"),
    pytest.param(BODY, "Your code is 123456", id="another text"),
    pytest.param("Your code is 123456", "Your code is 123457", id="of another number"),
    pytest.param(SHORT, f"{SHORT}{FOOTER}", id="too short to be recognized in a longer one"),
    pytest.param(" \u200b ", BODY, id="when ours is blank"),
    pytest.param("", "", id="redacted, when ours is not on record"),
]


@pytest.mark.parametrize(("ours", "shown"), SAME)
def test_a_message_with_our_body_is_ours_whatever_its_way_did_to_it(ours: str, shown: str) -> None:
    """Smart encoding, other spaces and line ends: what providers are known to do."""
    assert found(sighting(body=shown), body=ours) == Found((sid(1),), ())


@pytest.mark.parametrize(("ours", "shown"), DIFFERENT)
def test_a_message_with_another_body_may_be_ours_and_is_ambiguous(ours: str, shown: str) -> None:
    """To that number, from that sender, at that time: neither taken for the text nor for its absence."""
    assert found(sighting(body=shown), body=ours) == Found((), (sid(1),))


def test_what_is_ours_and_what_is_ambiguous_are_told_apart_and_each_is_in_order() -> None:
    """What is surely ours goes first; whether it has another owner, only the queue knows."""
    times = [BEGUN + seconds * SECOND for seconds in (4, 3, 2, 1)]
    bodies = [BODY, "", BODY, "Something else"]
    listed = [
        sighting(number, body=body, created_at=at)
        for number, (body, at) in enumerate(zip(bodies, times, strict=True), start=1)
    ]
    assert found(*listed) == Found((sid(3), sid(1)), (sid(4), sid(2)))


@pytest.mark.parametrize("body", [BODY, ""])
@pytest.mark.parametrize(
    "elsewhere",
    [{"to": "+12125550124"}, {"created_at": BEGUN - timedelta(days=4)}, {"created_at": BEGUN + timedelta(days=4)}],
    ids=["to another number", "days before", "days after"],
)
def test_a_message_to_somebody_else_or_of_another_time_is_not_even_ambiguous(
    body: str, elsewhere: dict[str, Any]
) -> None:
    """It would otherwise hold the text of everybody who is ever texted."""
    assert found(sighting(body=body, **elsewhere)) == Found((), ())


TIMES = [
    # created, whether it is the attempt's and not only may be
    pytest.param(BEGUN - timedelta(minutes=1), False, id="a minute before"),
    pytest.param(BEGUN_TO_THE_SECOND - 5 * SECOND - MICROSECOND, False, id="just over five seconds before"),
    pytest.param(BEGUN_TO_THE_SECOND - 5 * SECOND, True, id="five seconds before, in whole seconds"),
    pytest.param(BEGUN_TO_THE_SECOND, True, id="in the same second"),
    pytest.param(DOUBTED, True, id="when the doubt began"),
    pytest.param(DOUBTED + timedelta(minutes=2), True, id="two minutes later"),
    pytest.param(DOUBTED + timedelta(minutes=2) + MICROSECOND, False, id="just over two minutes later"),
]


@pytest.mark.parametrize(("created_at", "near"), TIMES)
def test_a_message_is_ours_only_if_it_was_made_around_the_attempt(created_at: datetime, near: bool) -> None:
    """From five seconds before it began, for two clocks and whole seconds, to two minutes after its doubt began.

    With our words it may be ours all the same: by a clock that was wrong then, or created late.
    """
    assert found(sighting(created_at=created_at)) == (Found((sid(1),), ()) if near else Found((), (sid(1),)))


UNUSUAL = [timedelta(seconds=6), timedelta(seconds=130), timedelta(minutes=10), timedelta(hours=14), timedelta(days=2)]
LINK, OTHER_LINK = "Your visit: https://maple.example/visits/12345", "Your visit: https://t.example/x7Q"
MAY_BE = [
    pytest.param(BODY, BODY, id="the same"),
    pytest.param(BODY, "", id="redacted"),
    pytest.param(BODY, f"{PREFIX}{BODY}", id="with words before it"),
    pytest.param(BODY, f"{BODY}{FOOTER}", id="with words behind it"),
    pytest.param(BODY, f"{PREFIX}{BODY}{FOOTER}", id="with words before and behind"),
    pytest.param(BODY, BODY[:-5], id="cut short"),
    pytest.param(LINK, OTHER_LINK, id="with a short link"),
    pytest.param("", BODY, id="when ours is not on record"),
]


@pytest.mark.parametrize("step", UNUSUAL, ids=str)
@pytest.mark.parametrize("sign", [-1, 1], ids=["before", "after"])
@pytest.mark.parametrize(("ours", "shown"), MAY_BE)
def test_a_message_of_an_unusual_time_that_may_have_our_words_may_be_ours(
    ours: str, shown: str, sign: int, step: timedelta
) -> None:
    """The clock may have been wrong when the send began. Nothing else was sent again and again, ten times of ten."""
    created_at = BEGUN_TO_THE_SECOND - step if sign < 0 else DOUBTED + timedelta(minutes=2) + step
    assert found(sighting(body=shown, created_at=created_at), body=ours) == Found((), (sid(1),))


@pytest.mark.parametrize("shown", ["Your table is ready.", "Your visit: tomorrow", "Hi", BODY.upper()])
def test_other_words_of_an_unusual_time_are_somebody_elses(shown: str) -> None:
    """Otherwise an application that records nothing would have each text in doubt held."""
    assert found(sighting(body=shown, created_at=BEGUN - timedelta(minutes=10))) == Found((), ())
    assert found(sighting(body=shown, created_at=BEGUN - timedelta(minutes=10)), body=LINK) == Found((), ())


def test_no_message_is_ours_that_is_dated_more_than_three_days_from_the_attempt() -> None:
    """Less than a week, so that weekly words hold nothing."""
    before, after = BEGUN_TO_THE_SECOND - 5 * SECOND - CLOCK_ERROR, DOUBTED + timedelta(minutes=2) + CLOCK_ERROR
    assert found(sighting(created_at=before)) == found(sighting(created_at=after)) == Found((), (sid(1),))
    assert found(sighting(created_at=before - SECOND)) == found(sighting(created_at=after + SECOND)) == Found((), ())
    assert timedelta(days=6) > CLOCK_ERROR


UNREADABLE: list[dict[str, Any]] = [{"created_at": None}, {"to": None}, {"certain": False}]


@pytest.mark.parametrize("what", UNREADABLE, ids=["no date", "no number", "no sender"])
def test_a_message_that_the_list_tells_only_half_of_may_be_ours_and_is_never_proved(what: dict[str, Any]) -> None:
    """With our words or without any."""
    assert found(sighting(**what)) == found(sighting(body="", **what)) == Found((), (sid(1),))


def test_a_message_without_a_date_may_be_ours_with_any_words() -> None:
    """Nothing says that it is another's, but its words may be."""
    undated = sighting(body="Something else", created_at=None)
    assert found(undated) == Found((), (sid(1),))
    assert found(undated, others=("Something else",)) == Found((), ())


LONGER = f"{BODY} See you tomorrow at 10:00."
WHOSE = [
    # listed, with these words known as somebody's addition; ours; other open texts'; what it is
    pytest.param(LONGER, (), BODY, (LONGER,), Found((), ()), id="the longer one is the other's"),
    pytest.param(LONGER, (), LONGER, (BODY,), Found((sid(1),), ()), id="the longer one is ours"),
    pytest.param(BODY, (), LONGER, (BODY,), Found((), ()), id="the shorter one is the other's"),
    pytest.param(f" {LONGER}\n", (), BODY, (LONGER,), Found((), ()), id="the other's, by whatever became of it"),
    pytest.param("Hi!", (), BODY, ("Hi!",), Found((), ()), id="wholly other words, and the other's"),
    pytest.param("Hi!", (), BODY, ("Ho!",), Found((), (sid(1),)), id="wholly other words, and nobody's"),
    pytest.param("", (), BODY, (LONGER,), Found((), (sid(1),)), id="redacted: nobody can say whose"),
    pytest.param(BODY, (), BODY, (BODY, f"{BODY} "), Found((sid(1),), ()), id="the same words twice"),
    pytest.param(f"{BODY}+", (BODY,), BODY, (), Found((sid(1),), ()), id="ours with a known addition"),
    pytest.param(
        f"{BODY}+", (BODY,), BODY, (f"{BODY}+",), Found((), (sid(1),)), id="ours with it, the other's without"
    ),
    pytest.param(
        f"{BODY}+", (BODY,), f"{BODY}+", (BODY,), Found((), (sid(1),)), id="ours without it, the other's with"
    ),
    pytest.param(f"{LONGER}+", (LONGER,), BODY, (LONGER,), Found((), ()), id="the other's with a known addition"),
]


@pytest.mark.parametrize(("listed", "bare", "ours", "others", "whose"), WHOSE)
def test_a_message_with_the_words_of_another_open_text_is_that_one_s(
    listed: str, bare: tuple[str, ...], ours: str, others: tuple[str, ...], whose: Found
) -> None:
    """One that began like ours was taken for it: ours was lost, and the other one was sent again."""
    assert found(sighting(body=listed, bare=bare), body=ours, others=others) == whose


@pytest.mark.parametrize("body", [LONGER, "Hi!"])
def test_the_words_of_another_open_text_are_its_own_at_any_time(body: str) -> None:
    """It need not have been sent when ours was."""
    assert found(sighting(body=body, created_at=BEGUN - timedelta(hours=2)), others=(body,)) == Found((), ())


def test_what_has_our_words_is_told_before_what_may_have_had_them() -> None:
    """A person is told of three."""
    hours = timedelta(hours=1)
    listed = [
        sighting(1, body="", created_at=BEGUN - 3 * hours),
        sighting(2, created_at=BEGUN - hours),
        sighting(3, body="Something else"),
        sighting(4, created_at=BEGUN - 2 * hours),
    ]
    assert found(*listed).ambiguous == (sid(4), sid(2), sid(1), sid(3))


OPT_OUTS = [
    (" Reply STOP to unsubscribe", True),
    ("\n\nTxt STOP to opt out", True),
    (" Text STOP to opt-out.", True),
    (" reply stop 2 end!", True),
    (" Send STOP to cancel", True),
    (" Reply YES to confirm", False),
    (" Reply STOP", False),
    (" Reply STOP to unsubscribe, or call us", False),
    (" at 10:00. Please bring your card.", False),
]


def test_an_opt_out_instruction_at_the_end_is_known_and_nothing_else_is() -> None:
    """Services append it. With any other words behind it, the message may be the text."""
    for footer, known in OPT_OUTS:
        assert found(sighting(body=f"{BODY}{footer}")) == (Found((sid(1),), ()) if known else Found((), (sid(1),)))


# the provider's clock minus ours, when its clock says the message was created, whether it may be the attempt's
CLOCKS = [
    pytest.param(timedelta(minutes=2), BEGUN + timedelta(minutes=2), True, id="ahead by two minutes"),
    pytest.param(timedelta(minutes=2), DOUBTED + timedelta(minutes=4), True, id="ahead, at the end"),
    pytest.param(timedelta(minutes=2), DOUBTED + timedelta(minutes=4) + MICROSECOND, False, id="ahead, past the end"),
    pytest.param(-timedelta(minutes=2), BEGUN - timedelta(minutes=2), True, id="behind by two minutes"),
    pytest.param(
        -timedelta(minutes=2),
        BEGUN_TO_THE_SECOND - timedelta(minutes=2, seconds=5),
        True,
        id="behind, at the beginning",
    ),
    pytest.param(
        -timedelta(minutes=2),
        BEGUN_TO_THE_SECOND - timedelta(minutes=2, seconds=5) - MICROSECOND,
        False,
        id="behind, before the beginning",
    ),
    # Far between the two clocks: neither of them says so.
    pytest.param(timedelta(hours=2), BEGUN + timedelta(hours=1), False, id="ahead by hours, and in between"),
    pytest.param(-timedelta(hours=2), BEGUN - timedelta(hours=1), False, id="behind by hours, and in between"),
    # The clock may have been set right since: what would fit without the difference fits as well.
    pytest.param(timedelta(minutes=2), BEGUN_TO_THE_SECOND, True, id="ahead only since"),
    pytest.param(-timedelta(minutes=2), DOUBTED + timedelta(minutes=2), True, id="behind only since"),
]


@pytest.mark.parametrize(("ahead", "created_at", "near"), CLOCKS)
def test_the_providers_clock_may_be_ahead_or_behind(ahead: timedelta, created_at: datetime, near: bool) -> None:
    """Its answer says what time it has. By that clock or by ours, and not by one in between."""
    listed = found(sighting(created_at=created_at), clock_ahead=ahead)
    assert listed == (Found((sid(1),), ()) if near else Found((), (sid(1),)))


@pytest.mark.parametrize(("ahead", "created_at", "near"), CLOCKS)
def test_a_message_with_wholly_other_words_may_be_ours_at_the_usual_time_of_either_clock(
    ahead: timedelta, created_at: datetime, near: bool
) -> None:
    """Nobody knows what a provider makes of a body."""
    listed = found(sighting(body="Something else", created_at=created_at), clock_ahead=ahead)
    assert listed == Found((), (sid(1),) if near else ())


def test_a_look_reaches_back_as_far_as_a_clock_may_have_been_wrong() -> None:
    """Three days before the second in which the send began."""
    assert earliest_creation(BEGUN) == BEGUN_TO_THE_SECOND - timedelta(days=3)


def test_the_oldest_of_several_comes_first() -> None:
    """In whatever order the list had them."""
    times = [BEGUN + seconds * SECOND for seconds in (3, 1, 2)]
    listed = [sighting(number, created_at=at) for number, at in enumerate(times, start=1)]
    assert matches(*listed) == [sid(2), sid(3), sid(1)]


@pytest.mark.parametrize("to", ["+12125550124", "+1212555012", "12125550123", "", "whatsapp:+12125550123"])
def test_a_message_to_another_number_is_not_ours(to: str) -> None:
    """The provider was asked for this number only, and is checked."""
    assert matches(sighting(1, to=to), sighting(2)) == [sid(2)]


def test_an_empty_list_has_no_evidence() -> None:
    """Nor does it raise."""
    assert found() == Found((), ())


@given(seconds=st.lists(st.floats(-30, 300), max_size=8), strangers=st.lists(st.booleans(), min_size=8, max_size=8))
def test_what_matches_is_ours_in_order_and_nothing_of_it_is_left_out(
    seconds: list[float], strangers: list[bool]
) -> None:
    """Whatever the list looks like."""
    listed = [
        sighting(number, to="+12125550199" if stranger else PHONE, created_at=BEGUN + after * SECOND)
        for number, (after, stranger) in enumerate(zip(seconds, strangers, strict=False))
    ]
    first, last = BEGUN_TO_THE_SECOND - 5 * SECOND, DOUBTED + timedelta(minutes=2)
    ours = {
        each.sid: each.created_at
        for each in listed
        if each.to == PHONE and each.created_at and first <= each.created_at <= last
    }
    matched = matches(*listed)
    assert set(matched) == set(ours)
    assert [ours[each] for each in matched] == sorted(ours.values())
    redacted = [each.model_copy(update={"body": ""}) for each in listed]
    assert set(found(*redacted).ambiguous) == {each.sid for each in listed if each.to == PHONE}
