"""Every command that there is: what it says when all is well, when nothing is there, and when something is wrong.

A new command fails these tests until its least arguments are written down here.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from typer.testing import Result

from smsretry.adapters.supabase import calls
from smsretry.cli.command import app
from smsretry.local.stack import Stack
from tests.integration.conftest import Command
from tests.integration.scene import Scene
from tests.support.builders import ACCOUNT, PHONE, SENDER
from tests.support.records import Record

_TOP: Final[Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
_COMMANDS: Final[Record] = {
    f"{name} {part}".strip(): command
    for name, one in _TOP.items()
    for part, command in getattr(one, "commands", {"": one}).items()
}
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
_ELSEWHERE = ("demo", "up", "serve", "deploy", "automations")
"""They start a stack, or become another process: tests/e2e."""
LEAST = {
    "explain": "{id}",
    "texts list": "--row {id}",
    "texts requeue": "--row {id}",
    "texts cancel": "--row {id}",
    "texts look-again": "--row {id}",
    "texts resolve": "--row {id} --went-out-as nothing --because Asked",
    "after-restore": "--backup-of 2027-01-12T03:00",
    "senders add": "{sender} --business {id} --account {account} --because Registered",
    "senders change": "{sender} --rate 2 --because Better",
    "senders list": "",
    "senders remove": "--business {id} --because Shared",
    "quiet-hours": "{phone} --at 2027-01-12T17:00",
    "stop": "LA --lift --because Over",
    "mark": "staging --because Copied",
    "consent": "{phone} --said opted_out --source telephone --because Called",
    "import-opt-outs": "{file} --business all",
    "migrate": "--db-url {database}",
    **dict.fromkeys(
        ("status", "preview", "report", "unread", "prune", "doctor", "process"), ""
    ),
}
"""What each needs at least."""
_TELLS = tuple(name for name in _COMMANDS if name not in (*_ELSEWHERE, "doctor"))
"""The doctor starts a process with Prefect: test_cli.py has its exit codes, and below it looks at a busy queue."""
_NOTHING_THERE = {
    "explain": 1,
    **dict.fromkeys(
        [
            f"texts {word}"
            for word in ("list", "requeue", "cancel", "look-again", "resolve")
        ],
        1,
    ),
    "after-restore": 1,
    "status": 1,
    "stop": 1,
    **dict.fromkeys([f"senders {order}" for order in ("add", "change", "remove")], 1),
}
"""The exit code in an empty database, where it is not 0; no run was made yet, and that is for a person."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a call is repeated."""
    monkeypatch.setattr(calls, "_PAUSES", (0, 0))


@pytest.fixture
def least(stack: Stack, tmp_path: Path) -> dict[str, list[str]]:
    """What each command needs at least, here. The id is nobody's."""
    file = tmp_path / "stops.csv"
    file.write_text(f"phone,at\n{PHONE},2026-11-01T10:00:00Z\n")
    here = {
        "id": "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11",
        "phone": PHONE,
        "sender": SENDER,
        "account": ACCOUNT,
        "database": stack.database_url,
        "file": file,
    }
    return {name: words.format_map(here).split() for name, words in LEAST.items()}


def test_without_settings_or_a_database_a_command_names_them(
    command: Command, least: dict[str, list[str]]
) -> None:
    """Exit code 1, and no half of an answer: a question, an order, a run, and what connects by itself."""
    nowhere = "http://127.0.0.1:9"
    for name in (
        "explain",
        "texts requeue",
        "senders add",
        "process",
        "import-opt-outs",
    ):
        for variables, words in (
            (
                {"SUPABASE_URL": None},
                "Settings are not complete: SUPABASE_URL: is not set",
            ),
            ({"SUPABASE_URL": nowhere}, f"Check SUPABASE_URL ({nowhere})"),
        ):
            result = command(
                *name.split(), *least[name], "--json", columns=80, **variables
            )
            assert (result.exit_code, result.stdout) == (1, ""), name
            _is_a_complaint(result, words)
    result = command(
        "migrate", "--db-url", "postgresql://app:hush@127.0.0.1:9/app", columns=80
    )
    assert (result.exit_code, result.stdout, "hush" in result.stderr) == (1, "", False)
    _is_a_complaint(result, "Check --db-url.")


@pytest.mark.parametrize("name", _TELLS)
def test_in_an_empty_database_each_command_ends_as_its_help_says(
    name: str, command: Command, least: dict[str, list[str]]
) -> None:
    """What is not found is said on standard error, and JSON is JSON all the same."""
    result = command(*name.split(), *least[name], columns=80)
    as_json = command(*name.split(), *least[name], "--json", columns=80)
    assert result.exit_code == as_json.exit_code == _NOTHING_THERE.get(name, 0)
    assert as_json.stderr == result.stderr
    assert as_json.stdout or result.exit_code == 1, (
        "nothing was found, so there is nothing to tell"
    )
    json.loads(as_json.stdout or "{}")
    code = "0 it may go out now" if name == "quiet-hours" else f"{result.exit_code} "
    assert code in " ".join(
        command(*name.split(), "--help").stdout.split("Exit codes:")[1].split()
    )


def test_what_each_command_tells_of_a_busy_queue_has_no_number_and_its_json_is_whole(
    scene: Scene, command: Command, least: dict[str, list[str]]
) -> None:
    """People and programs are told the same ids, of a text at each stage."""
    business = ["--business", str(scene.business.id)]
    asked = least | dict.fromkeys(
        ("texts list", "texts requeue", "texts cancel", "texts look-again"), business
    )
    asked["explain"] = [str(scene.business.row(scene.failed)["customer_id"])]
    asked["import-opt-outs"][2:] = business[1:]
    changes = "senders add", "senders change", "senders remove", "texts resolve", "stop"
    others = "mark", "consent", "migrate", "quiet-hours"
    for name in [one for one in asked if one not in (*changes, *others)]:
        result = command(*name.split(), *asked[name], columns=80)
        as_json = command(*name.split(), *asked[name], "--json")
        assert not re.search(r"\+1212555|\b212555", result.output + as_json.output), (
            name
        )
        assert all(
            len(line) <= 80 or len(line.split()) == 1
            for line in result.stdout.splitlines()
        ), name
        json.loads(as_json.stdout)
        ids = set(_UUID.findall(result.stdout))
        assert name == "process" or ids <= set(_UUID.findall(as_json.stdout)), name


def _is_a_complaint(result: Result, words: str) -> None:
    """A sentence on standard error, folded; no traceback, and no repr of anything."""
    said = " ".join(result.stderr.split())
    assert said.startswith("Error: ")
    assert words in said
    assert not re.search(r"Traceback|Exception|object at 0x|\[type=|<class", said)
    assert isinstance(result.exception, SystemExit)
    assert all(
        len(line) <= 80 or len(line.split()) == 1 for line in result.stderr.splitlines()
    )
