"""Which clock differs from the database's, by which texts are due and permitted."""

from datetime import timedelta

from smsretry.doctor.clocks import clock_findings

RIGHT, LATE = timedelta(seconds=2), timedelta(minutes=10)
CLOCKS: list[tuple[dict[str, timedelta], list[tuple[bool, str]]]] = [
    # by how much each is ahead of this machine's, what is said, and whether it is in order
    ({}, []),
    ({"Twilio": LATE}, []),
    (
        {"the database": RIGHT, "Twilio": -RIGHT},
        [(True, "clocks of the database, this machine, Twilio: None")],
    ),
    (
        {"the database": LATE, "Twilio": RIGHT},
        [
            (True, "clock of this machine: is 10 min behind the database's, "),
            (False, "clock of Twilio: is 10 min "),
        ],
    ),
    (
        {"the database": RIGHT, "Prefect": LATE},
        [(True, "clock of Prefect: is 10 min ahead of the database's")],
    ),
]


def test_each_clock_that_differs_from_the_database_s_is_named() -> None:
    """Twilio's is right. Where it contradicts the database's, texts go out at the wrong hour; a stack keeps its own."""
    for ahead, expected in CLOCKS:
        findings = list(clock_findings(ahead))
        assert [finding.ok for finding in findings] == [ok for ok, _ in expected]
        for finding, (_, begins) in zip(findings, expected, strict=True):
            assert f"{finding.subject}: {finding.advice}".startswith(begins)
    rehearsal = list(
        clock_findings({"the database": LATE, "Twilio": RIGHT}, rehearsal=True)
    )
    assert all(
        finding.ok and "smsretry up" in (finding.advice or "") for finding in rehearsal
    )
