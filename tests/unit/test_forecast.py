"""What the senders' rates make of the hours to come."""

from datetime import timedelta
from uuid import UUID

from smsretry.desk.questions.forecast import Forecast, forecast
from smsretry.desk.questions.records import WaitingText
from smsretry.desk.questions.senders import SenderRecord, Stops
from smsretry.desk.questions.turns import SPENT, TOO_SLOW
from smsretry.retry.models import AssignedSender
from smsretry.retry.profile import Profile
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
    return forecast(claims, now=BEFORE_CLOSING, hours=hours, profile=Profile(segments_per_second=per_second))


def test_without_a_rate_all_go_out_at_once() -> None:
    """Twilio takes them, and queues them."""
    assert [hour.texts for hour in ahead(texts(400), per_second=None).hours] == [400, 0, 0]


def test_what_the_rate_does_not_reach_before_closing_is_said_and_waits_for_the_next_opening() -> None:
    """At one in ten seconds, 29 minutes make 174 texts."""
    told = ahead(texts(400), per_second=0.1, hours=2)
    (business,) = told.businesses
    assert 170 <= business.go_out <= 180
    assert business.why == {TOO_SLOW: business.wait_longer}
    assert business.go_out + business.wait_longer == 400


def test_segments_are_counted_and_not_texts() -> None:
    """Half as many texts of two segments."""
    (one,), (two,) = (ahead(texts(400, body="a" * n), per_second=0.1, hours=2).businesses for n in (160, 161))
    assert abs(two.go_out - one.go_out / 2) <= 1


def test_what_the_sender_is_free_for_goes_out_when_it_is_due() -> None:
    """A burst does not delay what comes when it is over."""
    told = ahead(
        [*texts(60), *(waiting(id=UUID(int=99), scheduled_for=BEFORE_CLOSING + HOUR / 4) for _ in "1")], per_second=1
    )
    assert told.go_out == 61


def test_a_preview_of_one_business_knows_of_the_others_at_the_same_sender() -> None:
    """They take turns. It had been predicted as if it were alone, and what the rate does not reach had been said to go
    out.
    """
    ours = [waiting(id=UUID(int=n), business_id=UUID(int=7), scheduled_for=BEFORE_CLOSING) for n in range(9000, 9170)]

    def go_out(mine: list[WaitingText], business_id: UUID | None) -> int:
        profile = Profile(segments_per_second=0.1)
        told = forecast([*texts(170), *mine], now=BEFORE_CLOSING, hours=2, profile=profile, business_id=business_id)
        assert sum(business.go_out for business in told.businesses) == told.go_out
        return told.go_out

    assert go_out(ours[:20], UUID(int=7)) == 20
    half = go_out(ours, UUID(int=7))
    assert 85 <= half <= 90
    assert half + go_out(ours, UUID(int=9)) == go_out(ours, None)


def test_what_the_rate_reaches_only_after_these_hours_waits_longer_and_does_not_end() -> None:
    """It was counted among those that end."""
    told = ahead([text.model_copy(update={"scheduled_for": NOON}) for text in texts(400)], per_second=0.05, hours=1)
    (business,) = told.businesses
    assert (business.end, business.go_out + business.wait_longer) == (0, 400)


def test_a_text_that_misses_its_window_by_seconds_waits_for_the_next() -> None:
    """A minute of lateness had been taken for none: 150 of 150 were promised where 93 went out."""
    last = BEFORE_CLOSING + 28.5 * timedelta(minutes=1)
    told = forecast(
        [waiting(id=UUID(int=n), scheduled_for=last) for n in range(150)],
        now=last,
        hours=1,
        profile=Profile(segments_per_second=1),
    )
    (business,) = told.businesses
    assert business.go_out == 20
    assert business.why == {TOO_SLOW: 130}


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


def test_texts_that_go_out_count_against_the_cap_of_those_after_them() -> None:
    """Florida: three texts in 24 hours."""
    told = forecast(
        [
            waiting(id=UUID(int=n), scheduled_for=NOON, phone="+13055550123", timezone="America/New_York")
            for n in range(5)
        ],
        now=NOON,
        hours=2,
        profile=Profile(opening_spread=timedelta(0)),
    )
    (business,) = told.businesses
    assert (business.go_out, business.wait_longer) == (3, 2)


OWN = AssignedSender(id=UUID(int=5), account=ACCOUNT, sent_by=SENDER, segments_per_second=1)
SLOW = OWN.model_copy(update={"id": UUID(int=6), "segments_per_second": 0.01})


def of(sender: AssignedSender | None, count: int, first: int) -> list[WaitingText]:
    """Texts of one business that go out from this sender, due at once."""
    business_id = UUID(int=first)
    return [
        waiting(id=UUID(int=first + n), business_id=business_id, scheduled_for=NOON, sender=sender)
        for n in range(count)
    ]


def test_each_sender_sends_at_its_own_rate() -> None:
    """A slow one and the environment's limit neither each other nor the fast one."""
    mixed = [*of(None, 50, 1000), *of(OWN, 300, 2000), *of(SLOW, 50, 3000)]
    told = forecast(mixed, now=NOON, hours=1, profile=Profile(segments_per_second=0.01))
    assert {one.business_id.int: one.go_out for one in told.businesses} == {1000: 36, 2000: 300, 3000: 36}


def test_a_rate_of_the_environment_does_not_slow_a_sender_without_one() -> None:
    """It is as fast as its provider takes the texts."""
    free = OWN.model_copy(update={"segments_per_second": None})
    told = forecast(of(free, 300, 2000), now=NOON, hours=1, profile=Profile(segments_per_second=0.01))
    assert told.go_out == 300


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


def test_what_a_sender_s_day_has_no_room_for_goes_out_when_the_day_turns_over() -> None:
    """Three of ten are left today, and the next day has ten."""
    capped = OWN.model_copy(update={"segments_per_day": 10})
    senders = {OWN.id: record(segments_per_day=10, used_today=7)}

    def ahead(hours: int) -> Forecast:
        return forecast(of(capped, 12, 2000), now=NOON, hours=hours, profile=Profile(), senders=senders)

    (one,) = ahead(2).businesses
    assert (one.go_out, one.why, one.why_codes) == (3, {SPENT: 9}, {"day_spent": 9})
    assert [hour.texts for hour in ahead(3).hours] == [3, 0, 9]


def test_while_one_sender_is_stopped_the_texts_of_the_others_are_promised() -> None:
    """And while the environment's is, those of the businesses with one of their own."""
    texts = [*of(None, 2, 1000), *of(OWN, 3, 2000), *of(SLOW, 1, 3000)]

    def go_out(stops: Stops) -> dict[int, int]:
        told = forecast(texts, now=NOON, hours=1, profile=Profile(), stops=stops)
        return {one.business_id.int: one.go_out for one in told.businesses}

    assert go_out(Stops.of(None, None, [record(stopped_at=NOON, stopped_because="Refused")])) == {
        1000: 2,
        2000: 0,
        3000: 1,
    }
    assert go_out(Stops(environment="Refused")) == {1000: 0, 2000: 3, 3000: 1}
    assert go_out(Stops("Twilio is down")) == {1000: 0, 2000: 0, 3000: 0}
