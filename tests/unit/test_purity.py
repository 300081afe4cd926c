"""The decisions can be imported without anything that acts."""

import subprocess
import sys

import pytest

import smsretry

ACTING = ("httpx", "prefect", "psycopg", "requests", "supabase", "twilio")
"""Libraries that reach for a network, a database or a server."""
PURE = [
    "smsretry",
    "smsretry.retry.backoff",
    "smsretry.quiet_hours.calendars",
    "smsretry.data",
    "smsretry.retry.decision",
    "smsretry.errors",
    "smsretry.retry.models",
    "smsretry.quiet_hours.openings",
    "smsretry.retry.outcome",
    "smsretry.phone",
    "smsretry.pipeline",
    "smsretry.retry.policy",
    "smsretry.ports",
    "smsretry.quiet_hours.check",
    "smsretry.quiet_hours.hours",
    "smsretry.quiet_hours.numbers",
    "smsretry.quiet_hours.rules",
    "smsretry.settings",
    "smsretry.adapters.twilio.errors",
    "smsretry.quiet_hours.week",
    "smsretry.quiet_hours.whereabouts",
    "smsretry.quiet_hours.windows",
]


def loaded_by(modules: list[str]) -> set[str]:
    """The acting libraries that a fresh interpreter has loaded once it has imported these modules."""
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script, *modules], capture_output=True, text=True, check=True)
    return set(answer.stdout.split()) & set(ACTING)


def test_the_public_names_and_the_decisions_load_nothing_that_acts() -> None:
    """The pipeline is among them: it knows its queue and sender by their shapes only."""
    assert loaded_by(PURE) == set()


def test_every_public_name_is_there_and_no_other() -> None:
    """They are imported on first use, so a misspelt one would be found by its user."""
    for name in smsretry.__all__:
        assert getattr(smsretry, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'send_mms'"):
        smsretry.send_mms  # noqa: B018


def test_who_asks_for_an_hour_need_not_wait_for_what_sends() -> None:
    """`pydantic` and the pipeline are half of the package's import time."""
    script = "import sys; from smsretry import check_quiet_hours; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert set(answer.stdout.split()) & {"pydantic", "smsretry.pipeline", "smsretry.retry.models"} == set()


@pytest.mark.parametrize(
    ("adapter", "libraries"),
    [
        ("smsretry.adapters.twilio.http", {"requests", "twilio"}),
        ("smsretry.adapters.supabase.queue", {"httpx", "supabase"}),
    ],
)
def test_the_check_sees_an_adapters_libraries(adapter: str, libraries: set[str]) -> None:
    """It would pass on misspelt names."""
    assert loaded_by([adapter]) == libraries
