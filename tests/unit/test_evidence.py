"""Which messages of the provider's list may be a text in doubt."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsretry.retry.evidence import matching_sids
from smsretry.retry.models import Sighting
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


def matches(*sightings: Sighting, body: str = BODY) -> list[str]:
    """The SIDs that may be the attempt's."""
    return matching_sids(sightings, phone=PHONE, body=body, begun_at=BEGUN, in_doubt_since=DOUBTED)


BODIES = [
    # what we sent, what the provider shows, whether it is the same text
    pytest.param(BODY, BODY, True, id="the same"),
    pytest.param(BODY, f" {BODY}\n", True, id="with other space around it"),
    pytest.param(f"{BODY}\n", BODY, True, id="trimmed by the provider"),
    pytest.param(f"  {BODY}", BODY, True, id="trimmed at its beginning"),
    pytest.param("Hi\nAnn", "Hi\nAnn", True, id="of two lines"),
    pytest.param(BODY, BODY.upper(), False, id="in other letters"),
    pytest.param(BODY, BODY[:-1], False, id="cut short"),
    pytest.param(BODY, f"{BODY} Reply STOP to end.", False, id="with more behind"),
    pytest.param(BODY, f"Dear customer: {BODY}", False, id="with some other prefix"),
    pytest.param(BODY, "", False, id="redacted"),
]


@pytest.mark.parametrize(("ours", "shown", "same"), BODIES)
def test_only_a_message_with_our_body_is_ours(ours: str, shown: str, same: bool) -> None:
    """Space at the ends is nobody's words; all else must be equal."""
    assert matches(sighting(body=shown), body=ours) == ([sid(1)] if same else [])


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
    assert matches() == []


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
    found = matches(*listed)
    assert set(found) == set(ours)
    assert [ours[each] for each in found] == sorted(ours.values())
