"""What the sender's rate makes of the hours to come."""

from datetime import timedelta
from uuid import UUID

from smsretry.desk.foresight import TOO_SLOW, Forecast, forecast
from smsretry.retry.models import Claim
from smsretry.retry.profile import Profile
from tests.builders import NOON, claim_with

HOUR = timedelta(hours=1)
BEFORE_CLOSING = NOON + 8.5 * HOUR
"""Half past eight in the evening: half an hour is left."""


def texts(count: int, *, due: timedelta = timedelta(0), body: str = "Hello") -> list[Claim]:
    """So many, due at the same moment."""
    return [claim_with(id=UUID(int=n), scheduled_for=BEFORE_CLOSING + due, body=body) for n in range(count)]


def ahead(claims: list[Claim], *, per_second: float | None, hours: int = 3) -> Forecast:
    """The hours from half past eight on."""
    return forecast(claims, now=BEFORE_CLOSING, hours=hours, profile=Profile(segments_per_second=per_second))


def test_without_a_rate_all_go_out_at_once() -> None:
    """Twilio takes them, and queues them."""
    assert [hour.texts for hour in ahead(texts(4000), per_second=None).hours] == [4000, 0, 0]


def test_what_the_rate_does_not_reach_before_closing_is_said_and_waits_for_the_next_opening() -> None:
    """At one a second, 29 minutes make 1,740 texts."""
    told = ahead(texts(4000), per_second=1, hours=2)
    (business,) = told.businesses
    assert 1700 <= business.go_out <= 1800
    assert business.why == {TOO_SLOW: business.wait_longer}
    assert business.go_out + business.wait_longer == 4000


def test_segments_are_counted_and_not_texts() -> None:
    """Half as many texts of two segments."""
    (one,), (two,) = (ahead(texts(4000, body="a" * n), per_second=1, hours=2).businesses for n in (160, 161))
    assert two.go_out == one.go_out // 2


def test_what_the_sender_is_free_for_goes_out_when_it_is_due() -> None:
    """A burst does not delay what comes when it is over."""
    told = ahead(
        [*texts(60), *(claim_with(id=UUID(int=99), scheduled_for=BEFORE_CLOSING + HOUR / 4) for _ in "1")], per_second=1
    )
    assert told.go_out == 61


def test_a_preview_of_one_business_knows_of_the_others_at_the_same_sender() -> None:
    """They send in turns: as many of the one as of the other."""
    others, ours = texts(1700), claim_with(id=UUID(int=9999), business_id=UUID(int=7), scheduled_for=BEFORE_CLOSING)
    told = forecast(
        [*others, *[ours.model_copy(update={"id": UUID(int=n)}) for n in range(10_000, 11_700)]],
        now=BEFORE_CLOSING,
        hours=2,
        profile=Profile(segments_per_second=1),
        business_id=ours.business_id,
    )
    (business,) = told.businesses
    assert business.business_id == ours.business_id
    assert 850 <= business.go_out == told.go_out <= 900
    assert business.why[TOO_SLOW] == 1700 - business.go_out


def test_a_few_texts_of_a_business_are_not_foreseen_behind_thousands_of_another_s() -> None:
    """As claims take turns: it had been said that the rate does not reach them."""
    ours = [
        claim_with(id=UUID(int=n), business_id=UUID(int=7), scheduled_for=BEFORE_CLOSING) for n in range(5000, 5020)
    ]
    told = ahead([*texts(4000), *ours], per_second=1, hours=2)
    by_business = {business.business_id: business.go_out for business in told.businesses}
    assert by_business[UUID(int=7)] == 20
