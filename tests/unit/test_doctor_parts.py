"""Parts that are asked at once: in their order, and none stops another."""

from collections.abc import Iterator
from threading import Barrier, Event

from smsretry.doctor.parts import examine_parts
from smsretry.retry.models import Finding


def fine(subject: str) -> Iterator[Finding]:
    """A part with nothing to say."""
    yield Finding(subject=subject, ok=True)


def broken() -> Iterator[Finding]:
    """A part that finds something, and then breaks with words that nobody may read."""
    yield Finding(subject="first", ok=True)
    raise ValueError("secret")


def test_parts_run_at_once_and_one_that_breaks_is_reported_and_stops_no_other() -> None:
    """Each waits for the other, or the barrier breaks. What it had found is told before, and no word of the error."""
    both = Barrier(2, timeout=60)

    def part(findings: Iterator[Finding]) -> Iterator[Finding]:
        both.wait()
        yield from findings

    findings = list(
        examine_parts(
            {"breaks": lambda: part(broken()), "other": lambda: part(fine("other"))}
        )
    )
    assert [(finding.subject, finding.ok) for finding in findings] == [
        ("first", True),
        ("breaks", False),
        ("other", True),
    ]
    assert "ValueError" in str(findings[1].advice)
    assert "secret" not in str(findings)


def test_a_part_that_does_not_end_is_reported_and_no_longer_waited_for() -> None:
    """And so is what others found meanwhile."""
    end = Event()

    def hangs() -> Iterator[Finding]:
        yield Finding(subject="first", ok=True)
        end.wait()

    findings = list(
        examine_parts({"hangs": hangs, "other": lambda: fine("other")}, seconds=5)
    )
    end.set()
    assert [(finding.subject, finding.ok) for finding in findings] == [
        ("first", True),
        ("hangs", False),
        ("other", True),
    ]
