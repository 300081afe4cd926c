"""Which clock is wrong, told by those that agree."""

from datetime import timedelta

import pytest

from smsretry.doctor.clocks import clock_findings

RIGHT, LATE = timedelta(seconds=2), timedelta(minutes=10)


@pytest.mark.parametrize(
    ("ahead", "told"),
    [
        ({}, []),
        (
            {"the database": RIGHT, "Twilio": -RIGHT, "Prefect": RIGHT},
            [(True, "clocks of this machine, the database, Twilio and Prefect")],
        ),
        ({"the database": LATE, "Twilio": RIGHT}, [(False, "clock of the database: is 10 min ahead of ")]),
        ({"the database": -LATE, "Twilio": -LATE}, [(False, "clock of this machine: is 10 min ahead of the database")]),
        ({"the database": RIGHT, "Twilio": LATE, "Prefect": RIGHT}, [(False, "clock of Twilio: is 10 min ahead of ")]),
        (
            {"the database": LATE, "Twilio": LATE, "Prefect": RIGHT},
            [(False, "clock of this machine: is 10 min behind "), (False, "clock of Prefect: is 10 min behind ")],
        ),
        ({"the database": LATE}, [(False, "clocks of this machine and the database: are 10 min apart, and ")]),
        (
            {"the database": LATE, "Twilio": -LATE},
            [(False, "clock of this machine: is 10 min ahead of "), (False, "clock of the database: is 20 min ahead ")],
        ),
    ],
)
def test_the_clock_that_others_contradict_is_named(ahead: dict[str, timedelta], told: list[tuple[bool, str]]) -> None:
    """If as many say one thing as another, Twilio is believed. Of two nobody knows which is wrong."""
    found = list(clock_findings(ahead))
    assert [one.ok for one in found] == [ok for ok, _ in told]
    for finding, (_, begins) in zip(found, told, strict=True):
        assert f"{finding.subject}: {finding.advice}".startswith(begins)


def test_a_stack_of_ones_own_may_keep_another_clock() -> None:
    """Where Twilio is a stand-in: it is said, and is no trouble."""
    [clock] = clock_findings({"the database": LATE, "Twilio": LATE}, rehearsal=True)
    assert clock.ok
    assert "smsretry up" in (clock.advice or "")
