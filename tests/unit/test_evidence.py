"""Which messages of the provider's list may be a text in doubt."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsretry.retry.evidence import Found, ambiguous_why, earliest_creation, find
from smsretry.retry.models import Look, Sighting
from tests.builders import BODY, NOON, PHONE
from tests.builders import sighting as listed_as

BEGUN = NOON + timedelta(milliseconds=900)
BEGUN_TO_THE_SECOND = BEGUN.replace(microsecond=0)
DOUBTED = BEGUN + timedelta(seconds=35)
SECOND, MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)


def sid(number: int) -> str:
    """A SID."""
    return f"SM{number:032x}"


def sighting(
    number: int = 1, *, to: str = PHONE, body: str = BODY, created_at: datetime = BEGUN_TO_THE_SECOND
) -> Sighting:
    """A message in the provider's list: our text, unless told otherwise."""
    return listed_as(sid(number), to=to, body=body, created_at=created_at)


def found(*sightings: Sighting, body: str = BODY, clock_ahead: timedelta = timedelta(0)) -> Found:
    """What the list has of the attempt."""
    look = Look(sightings=sightings, clock_ahead=clock_ahead)
    return find(look, phone=PHONE, body=body, begun_at=BEGUN, in_doubt_since=DOUBTED)


def matches(*sightings: Sighting, body: str = BODY) -> list[str]:
    """The SIDs that are the attempt's, unless another owns them."""
    return list(found(*sightings, body=body).ours)


CURLY = "Ann’s “check-up” – it’s due… «soon»"
NO_BREAK_SPACES = ("\u00a0", "\u2007", "\u2009", "\u202f", "\u3000")
"""No-break, figure, thin, narrow no-break and ideographic space."""
FOOTER, PREFIX = " Reply STOP to end.", "Dear customer: "
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
    pytest.param(BODY, f"{BODY}{FOOTER}", id="with a footer"),
    pytest.param(BODY, f"{BODY}\n\nTxt STOP to opt out", id="with a footer of its own lines"),
    pytest.param(BODY, f"{PREFIX}{BODY}", id="with words before it"),
    pytest.param(BODY, f"Sent from your Twilio trial account - {BODY}", id="with the words of a trial account"),
    pytest.param(f"{SHORT}.", f"{SHORT}.{FOOTER}", id="just long enough to be recognized, with a footer"),
    pytest.param("Bis später 👋🏽", "Bis später 👋🏽", id="with characters beyond GSM-7"),
]
DIFFERENT = [
    pytest.param(BODY, BODY.upper(), id="in other letters"),
    pytest.param(BODY, BODY[:-1], id="cut short"),
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
    """Smart encoding, other spaces and line ends, words before it, a footer: what providers are known to do."""
    assert found(sighting(body=shown), body=ours) == Found((sid(1),), ())


@pytest.mark.parametrize(("ours", "shown"), DIFFERENT)
def test_a_message_with_another_body_may_be_ours_and_is_ambiguous(ours: str, shown: str) -> None:
    """To that number, from that sender, at that time: neither taken for the text nor for its absence."""
    assert found(sighting(body=shown), body=ours) == Found((), (sid(1),))


def test_what_is_ours_and_what_is_ambiguous_are_told_apart_and_each_is_in_order() -> None:
    """What is surely ours goes first; whether it has another owner, only the queue knows."""
    times = [BEGUN + seconds * SECOND for seconds in (4, 3, 2, 1)]
    bodies = [BODY, "", f"{BODY}{FOOTER}", "Something else"]
    listed = [
        sighting(number, body=body, created_at=at)
        for number, (body, at) in enumerate(zip(bodies, times, strict=True), start=1)
    ]
    assert found(*listed) == Found((sid(3), sid(1)), (sid(4), sid(2)))


@pytest.mark.parametrize("body", [BODY, ""])
@pytest.mark.parametrize(
    "elsewhere",
    [{"to": "+12125550124"}, {"created_at": BEGUN - timedelta(minutes=5)}, {"created_at": BEGUN + timedelta(hours=1)}],
    ids=["to another number", "before", "long after"],
)
def test_a_message_to_somebody_else_or_of_another_time_is_not_even_ambiguous(
    body: str, elsewhere: dict[str, Any]
) -> None:
    """It would otherwise hold the text of everybody who is ever texted."""
    assert found(sighting(body=body, **elsewhere)) == Found((), ())


TIMES = [
    # created, whether it may be the attempt's
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
    """From five seconds before it began, for two clocks and whole seconds, to two minutes after its doubt began."""
    assert matches(sighting(created_at=created_at)) == ([sid(1)] if near else [])


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
    # The clock may have been set right since: what would fit without the difference fits as well.
    pytest.param(timedelta(minutes=2), BEGUN_TO_THE_SECOND, True, id="ahead only since"),
    pytest.param(-timedelta(minutes=2), DOUBTED + timedelta(minutes=2), True, id="behind only since"),
]


@pytest.mark.parametrize(("ahead", "created_at", "near"), CLOCKS)
@pytest.mark.parametrize("body", [BODY, ""], ids=["our body", "redacted"])
def test_the_providers_clock_may_be_ahead_or_behind(
    ahead: timedelta, created_at: datetime, near: bool, body: str
) -> None:
    """Its answer says what time it has; the window is widened by the difference and never narrowed."""
    listed = found(sighting(body=body, created_at=created_at), clock_ahead=ahead)
    assert listed.ours + listed.ambiguous == ((sid(1),) if near else ())


def test_a_look_reaches_back_as_far_as_the_provider_clock_is_behind() -> None:
    """To the whole second, less five seconds."""
    assert earliest_creation(BEGUN) == BEGUN_TO_THE_SECOND - 5 * SECOND
    assert earliest_creation(BEGUN, timedelta(minutes=1)) == BEGUN_TO_THE_SECOND - 5 * SECOND
    assert earliest_creation(BEGUN, -timedelta(minutes=1)) == BEGUN_TO_THE_SECOND - 65 * SECOND


def test_a_person_is_told_which_messages_may_be_the_text_and_what_to_do() -> None:
    """By the provider's names for them, three at most: neither number nor body."""
    told = ambiguous_why([sid(number) for number in range(1, 6)])
    assert told == (
        f"In doubt: 5 message(s) to the number may be this text with a changed body "
        f"({sid(1)}, {sid(2)}, {sid(3)}). Say which with `smsretry resolve`, or that none is"
    )


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
    ours = {
        each.sid: each.created_at
        for each in listed
        if each.to == PHONE and BEGUN_TO_THE_SECOND - 5 * SECOND <= each.created_at <= DOUBTED + timedelta(minutes=2)
    }
    matched = matches(*listed)
    assert set(matched) == set(ours)
    assert [ours[each] for each in matched] == sorted(ours.values())
    redacted = [each.model_copy(update={"body": ""}) for each in listed]
    assert found(*redacted) == Found((), tuple(matched))
