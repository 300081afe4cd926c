"""How long a text waits before it is tried again."""

from datetime import timedelta

import pytest

from smsretry.retry.backoff import next_retry_delay

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


def test_a_negative_number_of_sends_is_refused() -> None:
    """The message names the parameter and the value."""
    with pytest.raises(ValueError, match="attempt_count must be 0 or more, not -1"):
        next_retry_delay(-1)
