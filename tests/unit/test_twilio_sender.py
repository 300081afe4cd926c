"""What a request to Twilio carries besides number and body."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.twilio.sender import _validity_period, _with_attempt

HOUR = timedelta(hours=1)
PERIODS = [
    # how long Twilio may keep the text, the seconds it is told
    (-HOUR, 1),
    (timedelta(0), 1),
    (timedelta(milliseconds=999), 1),
    (timedelta(seconds=10), 10),
    (timedelta(seconds=10, milliseconds=999), 10),
    (9 * HOUR, 32_400),
    (10 * HOUR, 36_000),
    (10 * HOUR + timedelta(seconds=1), 36_000),
    (48 * HOUR, 36_000),
]


@pytest.mark.parametrize(("valid_for", "seconds"), PERIODS)
def test_a_validity_period_is_one_second_to_ten_hours(valid_for: timedelta, seconds: int) -> None:
    """What Twilio takes; rounded down, so that no text leaves after its end."""
    assert _validity_period(valid_for) == seconds


CALLBACKS = [
    ("https://example.com/twilio", "https://example.com/twilio?attempt="),
    ("https://example.com/twilio?shop=5", "https://example.com/twilio?shop=5&attempt="),
    ("https://example.com/twilio?empty=", "https://example.com/twilio?empty=&attempt="),
    ("https://example.com/twilio?note=a%20b", "https://example.com/twilio?note=a+b&attempt="),
]


@pytest.mark.parametrize(("url", "called"), CALLBACKS)
def test_the_callback_url_carries_the_attempts_id_and_keeps_what_it_had(url: str, called: str) -> None:
    """Twilio calls it even when its answer to us was lost."""
    assert _with_attempt(url, UUID(int=5)) == f"{called}{UUID(int=5)}"
