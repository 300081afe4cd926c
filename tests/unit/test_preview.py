"""What becomes of what waits, and what the senders' rates make of the hours to come."""

from datetime import timedelta
from uuid import UUID

from smsretry.desk.questions.preview import Forecast, forecast
from smsretry.desk.questions.records import WaitingText
from smsretry.desk.questions.senders import SenderRecord
from smsretry.retry.models import AssignedSender
from smsretry.retry.profile import Profile
from tests.support.builders import ACCOUNT, NOON, SENDER, claim_with, listed

AT_ONCE = Profile(opening_spread=timedelta(0))


def waiting(number: int, **changes: object) -> WaitingText:
    """A text that may be sent at noon in New York, with the given fields changed."""
    return WaitingText.model_validate(
        {
            **claim_with().model_dump(),
            "id": UUID(int=number),
            "asked_at": NOON,
            **changes,
        }
    )


def of(sender: int, count: int, body: str = "Hello") -> list[WaitingText]:
    """Texts of a business of its own that go out from this sender, due at once."""
    assigned = AssignedSender(id=UUID(int=sender), account=ACCOUNT, sent_by=SENDER)
    return [
        waiting(
            100 * sender + n,
            business_id=UUID(int=sender),
            scheduled_for=NOON,
            sender=assigned,
            body=body,
        )
        for n in range(count)
    ]


def ahead(texts: list[WaitingText], *senders: SenderRecord) -> Forecast:
    """The two hours from noon on."""
    return forecast(texts, now=NOON, hours=2, profile=AT_ONCE, senders=senders)


def test_what_a_sender_s_rate_does_not_reach_is_named_and_limits_no_other() -> None:
    """In segments; without a rate all go out at once. A text of two segments counts twice."""
    fast, slow = of(1, 80), of(2, 30, body="a" * 161)
    for limits, words in (
        ({}, None),
        ({"segments_per_second": 0.02}, None),
        (
            {"segments_per_second": 0.01},
            "takes 36 segments in the hour from Tue 12 Jan 17:00 UTC, and 60 want to go",
        ),
    ):
        forecast = ahead([*fast, *slow], listed(1), listed(2, **limits))
        assert (sum(forecast.hours), len(forecast.too_slow)) == (
            110,
            1 if words else 0,
        ), limits
        assert words is None or words in forecast.too_slow[0]
