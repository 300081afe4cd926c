"""The judge of the long proof sees what it is there to see. The proof itself: `python -m tests.proofs.side_by_side`."""

from datetime import timedelta
from typing import Any

from tests.proofs.side_by_side.judge import (
    LOST,
    SLACK_SECONDS,
    amiss,
    delayed,
    miscounted,
    next_run,
    runs_of,
    silent_after,
    soon_after,
    spread,
)
from tests.proofs.side_by_side.stands import RETRIES, deaths, patience
from tests.proofs.side_by_side.texts import plan
from tests.support.builders import NOON

MINUTE = timedelta(minutes=1)


def test_a_schedule_that_is_later_beside_the_other_than_alone_is_said_to_be_delayed() -> None:
    """By its median or its 95th percentile, and by more than the slack."""
    alone = spread([second / 10 for second in range(100)])
    assert delayed("texts", alone, alone) == []
    assert delayed("texts", spread([second / 10 + SLACK_SECONDS / 2 for second in range(100)]), alone) == []
    assert len(delayed("texts", spread([second / 10 + 2 * SLACK_SECONDS for second in range(100)]), alone)) == 2
    a_tail = [*(second / 10 for second in range(90)), *[60.0] * 10]
    [told] = delayed("texts", spread(a_tail), alone)
    assert told.startswith("texts: 95th percentile 60.0 s")


def test_each_text_goes_out_once_and_one_that_a_carrier_lost_may_go_out_again() -> None:
    """What is missing, doubled, or nobody's is counted."""
    assert miscounted(["a", "b", "c"], {"a": ["delivered"], "b": [LOST, "sent"], "c": [LOST]}) == []
    assert miscounted(["a", "b"], {"a": ["sent", "delivered"]}) == ["1 texts never went out", "1 texts went out twice"]
    assert miscounted([], {"a": ["sent"]}) == ["1 texts went out and were nobody's"]


def test_a_kill_after_which_no_run_completes_is_told() -> None:
    """A run that completed before it says nothing."""
    assert silent_after([NOON], [NOON - MINUTE, NOON + MINUTE], 2 * MINUTE) == []
    assert len(silent_after([NOON, NOON + 9 * MINUTE], [NOON - MINUTE, NOON + 3 * MINUTE], 2 * MINUTE)) == 2


def test_only_what_came_due_near_a_kill_may_be_late_because_of_it() -> None:
    """Until the next minute's run has started."""
    due = [-60, -3, 0, 70, 80]
    assert [soon_after(NOON + timedelta(seconds=second), [NOON]) for second in due] == [False, True, True, True, False]


def test_the_next_run_of_a_schedule_is_at_its_second_of_the_minute() -> None:
    """In this minute or the next; a moment that is on the schedule is its own."""
    second = timedelta(seconds=1)
    assert [next_run(NOON + after * second, 20) for after in (0, 19.5, 20, 20.5)] == [
        NOON + 20 * second,
        NOON + 20 * second,
        NOON + 20 * second,
        NOON + 80 * second,
    ]


def test_runs_that_are_missing_failed_crashed_by_themselves_or_never_ended_are_told() -> None:
    """A killed run explains one that crashed."""
    good = [_run("COMPLETED") for _ in range(9)]
    summed = runs_of([*good, _run("CRASHED")], expected=10, killed=1)
    assert (amiss(summed), summed.start.median) == ([], 2.0)
    assert amiss(runs_of([*good, _run("CRASHED")], expected=10, killed=0)) == ["1 runs crashed, and 0 were killed"]
    assert amiss(runs_of([*good, _run("FAILED")], expected=10, killed=0)) == ["1 runs failed"]
    assert amiss(runs_of([*good, _run("RUNNING")], expected=10, killed=1)) == [
        "1 runs were late, cancelled, or never ended"
    ]
    assert amiss(runs_of(good, expected=60, killed=1)) == ["9 runs ended, and the schedule asked for 60"]


def _run(state: str) -> dict[str, Any]:
    return {
        "state_type": state,
        "expected_start_time": NOON.isoformat(),
        "start_time": (NOON + timedelta(seconds=2)).isoformat(),
        "end_time": (NOON + MINUTE).isoformat(),
    }


def test_each_stack_gets_the_same_texts_and_the_same_deaths() -> None:
    """A number is one text's; a death leaves time to see what comes after it."""
    texts = plan(60, 30, seed=1)
    assert texts == plan(60, 30, seed=1) != plan(60, 30, seed=2)
    assert len({text.phone for text in texts}) == len(texts) == 2 * 60 * 30
    last = 3600 - patience(RETRIES).total_seconds()
    times = deaths(RETRIES, last, seed=1)
    assert times == deaths(RETRIES, last, seed=1) == sorted(times)
    assert 10 < len(times) < 25
    assert times[-1] < last
