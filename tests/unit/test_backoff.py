"""How long a text waits before it is tried again."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from smsretry.retry.backoff import MAX_RETRY_AFTER, next_retry_delay, uncounted_delay

RETRY_SCHEDULE = [
    # sends made from the queue so far, minutes until the next one
    (0, 1),
    (1, 5),
    (2, 15),
    (3, 15),
    (4, 15),
    (100, 15),
]


@pytest.mark.parametrize(("sends_so_far", "minutes"), RETRY_SCHEDULE)
def test_a_text_is_tried_again_after_1_then_5_then_15_minutes(sends_so_far: int, minutes: int) -> None:
    """The last delay repeats for as long as the text is tried."""
    assert next_retry_delay(sends_so_far) == timedelta(minutes=minutes)


@pytest.mark.parametrize(("sends_so_far", "minutes"), RETRY_SCHEDULE)
def test_a_try_that_made_no_send_is_repeated_after_as_long(sends_so_far: int, minutes: int) -> None:
    """By a schedule of its own."""
    assert uncounted_delay(sends_so_far) == timedelta(minutes=minutes)


ASKED = [
    # sends so far, seconds that the provider asks for, seconds that the text waits
    (0, None, 60),
    (0, 0, 60),
    (0, 59, 60),
    (0, 61, 61),
    (0, 900, 900),
    (0, 901, 900),
    (0, 86_400, 900),
    (1, 61, 300),
    (1, 301, 301),
    (2, 899, 900),
    (100, 86_400, 900),
]


@pytest.mark.parametrize(("sends_so_far", "asked", "waits"), ASKED)
def test_a_provider_is_given_the_time_it_asks_for_up_to_a_quarter_of_an_hour(
    sends_so_far: int, asked: int | None, waits: int
) -> None:
    """And never less than the schedule says."""
    retry_after = None if asked is None else timedelta(seconds=asked)
    assert uncounted_delay(sends_so_far, retry_after=retry_after) == timedelta(seconds=waits)


def test_a_quarter_of_an_hour_is_the_longest_that_a_provider_is_given() -> None:
    """No header keeps a text for a day."""
    assert timedelta(minutes=15) == MAX_RETRY_AFTER


@pytest.mark.parametrize("delay", [next_retry_delay, uncounted_delay])
def test_a_negative_number_of_sends_is_refused(delay: Callable[[int], timedelta]) -> None:
    """The message names the parameter and the value."""
    with pytest.raises(ValueError, match="attempt_count must be 0 or more, not -1"):
        delay(-1)
