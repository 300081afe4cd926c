"""What an import loads, and the public names. What may import what is linted: .importlinter."""

import subprocess
import sys
from collections.abc import Iterable

import pytest

import smsretry

ACTING = {"httpx", "prefect", "psycopg", "requests", "supabase", "twilio"}
"""Libraries that reach for a network, a database or a server."""


def loaded(modules: Iterable[str]) -> set[str]:
    """All that a fresh interpreter has loaded once it has imported these modules."""
    script = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-c", script, *modules],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(answer.stdout.split())


def test_what_is_not_needed_is_not_loaded() -> None:
    """Most minutes have nothing due, and Twilio's SDK, the rules of hours, or pydantic are a good part of a start.

    Every pytest run of an environment that has the package loads its plugin, and no module of ours beside it.
    """
    for modules, unwanted in (
        (
            [
                "smsretry.retry.models",
                "smsretry.retry.decision",
                "smsretry.sending.ports",
            ],
            ("smsretry.quiet_hours",),
        ),
        (
            ["smsretry.wiring", "smsretry.sending.run"],
            ("twilio", "requests", "psycopg"),
        ),
        (
            ["smsretry.quiet_hours.check"],
            ("pydantic", "smsretry.sending", "smsretry.retry"),
        ),
        (
            ["smsretry.cli.command"],
            ("httpx", "twilio", "supabase", "psycopg", "rich", "smsretry.settings"),
        ),
        (
            ["pytest", "smsretry.testing.plugin"],
            (*ACTING, "smsretry.settings", "smsretry.local", "smsretry.retry"),
        ),
    ):
        needless = {
            name
            for name in loaded(modules)
            if any(f"{name}.".startswith(f"{package}.") for package in unwanted)
        }
        assert needless == set(), modules


def test_every_public_name_is_there_and_no_other() -> None:
    """They are imported on first use, so a misspelt one would be found by its user."""
    for name in smsretry.__all__:
        assert getattr(smsretry, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'send_mms'"):
        smsretry.send_mms  # noqa: B018
