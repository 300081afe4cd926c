"""What the senders' rates make of the hours to come."""

from datetime import timedelta
from uuid import UUID

from smsretry.desk.questions.forecast import Forecast, forecast
from smsretry.desk.questions.records import WaitingText
from smsretry.desk.questions.senders import SenderRecord, Stops
from smsretry.retry.models import AssignedSender
from smsretry.retry.profile import DEFAULT, Profile
from tests.support.builders import ACCOUNT, NOON, SENDER, claim_with

HOUR = timedelta(hours=1)
BEFORE_CLOSING = NOON + 8.5 * HOUR
"""Half past eight in the evening: half an hour is left."""


def waiting(**changes: object) -> WaitingText:
    """A text that may be sent at noon in New York, with the given fields changed."""
    return WaitingText.model_validate(claim_with().model_dump() | changes)


def texts(count: int, *, due: timedelta = timedelta(0), body: str = "Hello") -> list[WaitingText]:
    """So many, due at the same moment."""
    return [waiting(id=UUID(int=n), scheduled_for=BEFORE_CLOSING + due, body=body) for n in range(count)]


def ahead(claims: list[WaitingText], *, per_second: float | None, hours: int = 3) -> Forecast:
    """The hours from half past eight on."""
    return forecast(at_rate(claims, per_second), now=BEFORE_CLOSING, hours=hours, profile=DEFAULT)


def at_rate(claims: list[WaitingText], per_second: float | None) -> list[WaitingText]:
    """Those without a sender of their own go out from the environment's, at this rate."""
    shared = AssignedSender(id=UUID(int=4), account=ACCOUNT, sent_by=SENDER, segments_per_second=per_second)
    return [one if one.sender else one.model_copy(update={"sender": shared}) for one in claims]


def test_without_a_rate_all_go_out_at_once() -> None:
    """Twilio takes them, and queues them."""
    assert [hour.texts for hour in ahead(texts(400), per_second=None).hours] == [400, 0, 0]


def test_an_hour_that_the_rate_does_not_reach_is_named() -> None:
    """At one in ten seconds, an hour takes 360 segments; texts of two segments are two."""
    assert ahead(texts(360), per_second=0.1).too_slow == ()
    [slow] = ahead(texts(400, body="a" * 161), per_second=0.1, hours=2).too_slow[:1]
    assert (slow.segments, slow.takes, slow.of) == (800, 360, "hour")
    assert str(slow).startswith("the sender of the environment takes 360 segments in the hour from ")


def test_what_waits_is_predicted_again_for_when_it_has_waited() -> None:
    """By then it may be too late for it, or it may still not go out."""
    night = NOON + 10 * HOUR
    told = forecast(
        [
            waiting(id=UUID(int=1), scheduled_for=night, refused="Customer opted out"),
            waiting(id=UUID(int=2), scheduled_for=night),
        ],
        now=night,
        hours=24,
        profile=Profile(opening_spread=timedelta(0)),
    )
    (business,) = told.businesses
    assert (business.go_out, business.end, business.why) == (1, 1, {"Customer opted out": 1})


def test_while_sending_is_stopped_nothing_is_promised() -> None:
    """Only one text of each run tries."""
    told = forecast(texts(3), now=BEFORE_CLOSING, hours=1, profile=Profile(), stops=Stops("Twilio is down"))
    (business,) = told.businesses
    assert (told.go_out, business.wait_longer) == (0, 3)
    assert business.why == {"Sending is stopped: Twilio is down": 3}


OWN = AssignedSender(id=UUID(int=5), account=ACCOUNT, sent_by=SENDER, segments_per_second=1)
SLOW = OWN.model_copy(update={"id": UUID(int=6), "segments_per_second": 0.01})


def of(sender: AssignedSender | None, count: int, first: int) -> list[WaitingText]:
    """Texts of one business that go out from this sender, due at once."""
    business_id = UUID(int=first)
    return [
        waiting(id=UUID(int=first + n), business_id=business_id, scheduled_for=NOON, sender=sender)
        for n in range(count)
    ]


def test_each_sender_has_its_own_rate() -> None:
    """A slow one and the environment's limit neither each other nor the fast one."""
    mixed = [*of(None, 50, 1000), *of(OWN, 300, 2000), *of(SLOW, 50, 3000)]
    records = [record(segments_per_second=1), record(sender_id=SLOW.id, segments_per_second=0.01)]
    told = forecast(at_rate(mixed, 0.01), now=NOON, hours=1, profile=DEFAULT, senders=records)
    assert {(one.takes, one.segments) for one in told.too_slow} == {(36, 50)}
    assert len(told.too_slow) == 2


def record(**values: object) -> SenderRecord:
    """What `sms_senders` says of OWN."""
    blank: dict[str, object] = dict.fromkeys(SenderRecord.model_fields)
    numbers = {"businesses": 1, "due": 0, "waiting": 0, "held": 0, "used_by": (), "events": ()}
    given = {
        "sender_id": OWN.id,
        "account": ACCOUNT,
        "sender": SENDER,
        "day_ends_at": NOON + 2 * HOUR,
        "asked_at": NOON,
    }
    return SenderRecord.model_validate({**blank, **numbers, **given, **values})


def test_what_a_sender_s_day_has_no_room_for_is_named() -> None:
    """Three of ten are left today."""
    capped, known = of(OWN, 12, 2000), record(segments_per_day=10, used_today=7)
    [slow] = forecast(capped, now=NOON, hours=2, profile=Profile(), senders=[known]).too_slow
    assert (slow.segments, slow.takes, slow.of) == (12, 3, "day")


def test_while_one_sender_is_stopped_the_texts_of_the_others_are_promised() -> None:
    """All of them while everybody is stopped."""
    texts = [*of(None, 2, 1000), *of(OWN, 3, 2000), *of(SLOW, 1, 3000)]

    def go_out(stops: Stops) -> dict[int, int]:
        told = forecast(texts, now=NOON, hours=1, profile=Profile(), stops=stops)
        return {one.business_id.int: one.go_out for one in told.businesses}

    refused = [record(stopped_at=NOON, stopped_because="Refused")]
    assert go_out(Stops.of(None, refused)) == {1000: 2, 2000: 0, 3000: 1}
    assert go_out(Stops("Twilio is down")) == {1000: 0, 2000: 0, 3000: 0}
