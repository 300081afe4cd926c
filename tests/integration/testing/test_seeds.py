"""Each seed comes to what its docstring says, all in one run."""

import pytest

from smsretry import next_retry_delay
from smsretry.testing import Clock, QueuedText, Seeds, SmsStack, Twilio
from smsretry.vocabulary import Fate, WhyCode

COMES_TO: dict[str, tuple[Fate, WhyCode | None, str]] = {
    "sent": ("Sent", None, "completed"),
    "deferred": ("Deferred", "quiet_hours", "pending"),
    "retried": ("RetryScheduled", "refused_for_now", "pending"),
    "failed": ("Failed", "refused", "failed"),
    "used_up": ("Failed", "attempts_used_up", "failed"),
    "opted_out": ("Cancelled", "opted_out", "cancelled"),
    "blocked": ("Failed", "opted_out", "failed"),
    "in_doubt": ("InDoubt", "in_doubt", "pending"),
    "held": ("Held", "no_time_zone", "pending"),
    "expired": ("Cancelled", "expired", "cancelled"),
    "without_number": ("Failed", "no_phone", "failed"),
    "too_long": ("Failed", "body_too_long", "failed"),
    "abandoned": ("Sent", None, "completed"),
}
NO_TEXTS = {"business", "phone"}
FOR_ALL = {"rate_limited"}
"""What strikes the sender, and so every other text of it."""


def test_every_seed_comes_to_what_it_says_beside_all_the_others(sms_stack: SmsStack) -> None:
    """In one run: none has anything to do with another."""
    texts: dict[str, QueuedText] = {name: getattr(sms_stack.seeds, name)() for name in COMES_TO}
    result = sms_stack.run()
    assert result.errors == []
    came_to = {
        name: (result.of(text).fate, result.of(text).why_code, text.row["status"]) for name, text in texts.items()
    }
    assert came_to == COMES_TO
    accepted = {texts[name].phone for name in ("sent", "abandoned", "in_doubt")}
    assert {message.to for message in sms_stack.twilio.sent} == accepted


def test_no_seed_is_missing_from_the_table() -> None:
    """A new one must say what it comes to."""
    public = {name for name in vars(Seeds) if not name.startswith("_")}
    assert public - NO_TEXTS - FOR_ALL == set(COMES_TO)


def test_somewhere_it_is_always_night(sms_stack: SmsStack) -> None:
    """In the night of London, of Honolulu and of Tokyo."""
    for hour in (2, 10, 18):
        sms_stack.clock.set(f"2027-01-13T{hour:02d}:30:00Z")
        text = sms_stack.seeds.deferred()
        assert sms_stack.run().of(text).fate == "Deferred", hour


def test_a_text_in_doubt_is_found_or_sent_once_more(
    sms_stack: SmsStack, sms_seeds: Seeds, sms_clock: Clock, sms_twilio: Twilio
) -> None:
    """One that went out is found in Twilio's list; one that did not is sent after three looks. Each arrives once."""
    found, lost = sms_seeds.in_doubt(), sms_seeds.in_doubt(went_out=False)
    for minutes in (2, 6, 16, 16):
        sms_stack.run()
        sms_clock.move(minutes=minutes)
    sms_stack.run()
    assert (found.row["status"], lost.row["status"]) == ("completed", "completed")
    assert sorted(message.to for message in sms_twilio.sent) == sorted(str(text.phone) for text in (found, lost))


def test_a_rate_limit_costs_no_attempt_and_gives_the_others_back(sms_stack: SmsStack) -> None:
    """It is the sender's trouble: the texts wait a minute, and all go out."""
    text = sms_stack.seeds.rate_limited()
    result = sms_stack.run()
    assert (result.of(text).fate, result.of(text).why_code) == ("RetryScheduled", "rate_limited")
    assert text.row["attempt_count"] == 0
    sms_stack.clock.move(minutes=2)
    assert sms_stack.run().of(text).fate == "Sent"


def test_a_held_text_goes_out_when_somebody_has_mended_what_it_waits_for(sms_stack: SmsStack) -> None:
    """Here its customer's time zone."""
    text = sms_stack.seeds.held()
    sms_stack.run()
    sms_stack.connection().execute("update customers set timezone = 'America/New_York' where phone = %s", [text.phone])
    sms_stack.clock.move(minutes=16)
    assert sms_stack.run().of(text).fate == "Sent"


def test_a_retried_text_goes_out_once_its_delay_is_over(sms_stack: SmsStack) -> None:
    """The fault strikes once, and no sooner run takes the text."""
    text = sms_stack.seeds.retried()
    sms_stack.run()
    sms_stack.clock.move(seconds=next_retry_delay(1).total_seconds() - 60)
    with pytest.raises(LookupError, match="did not take row"):
        sms_stack.run().of(text)
    sms_stack.clock.move(minutes=2)
    assert sms_stack.run().of(text).fate == "Sent"
    assert (text.log["status"], len(text.attempts)) == ("sent", 2)
