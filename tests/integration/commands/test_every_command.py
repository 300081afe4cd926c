"""Every command that there is: what it says when all is well, when nothing is there, and when something is wrong.

A new command fails these tests until its least arguments are written down here.
"""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
from typer.testing import Result

from smsretry.adapters.supabase import calls
from smsretry.cli.command import app
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import ACCOUNT, PHONE, SENDER

_TOP: Final[Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
_COMMANDS: Final[dict[str, Any]] = {
    f"{name} {part}".strip(): command
    for name, one in _TOP.items()
    for part, command in getattr(one, "commands", {"": one}).items()
}
_HOUR: Final = timedelta(hours=1)
_ID: Final = "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CUT_UUID: Final = re.compile(r"[0-9a-f]{8}-(?![0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_LEAST: Final[dict[str, list[str]]] = {
    "explain": ["--row", _ID],
    "status": [],
    "preview": [],
    "texts list": ["--row", _ID],
    "texts requeue": ["--row", _ID],
    "texts cancel": ["--row", _ID],
    "texts look-again": ["--row", _ID],
    "texts resolve": ["--row", _ID, "--send-again", "--because", "Asked"],
    "after-restore": ["--backup-of", "2027-01-12T03:00"],
    "prune": [],
    "senders list": [],
    "senders add": [SENDER, "--business", _ID, "--account", ACCOUNT, "--because", "Registered"],
    "senders change": [SENDER, "--rate", "2", "--because", "Better"],
    "senders pause": [SENDER, "--because", "Suspended"],
    "senders resume": [SENDER, "--because", "Mended"],
    "senders remove": ["--business", _ID, "--because", "Shared"],
    "senders check": [],
    "quiet-hours": [PHONE, "--at", "2027-01-12T17:00"],
    "stop": ["LA", "--lift"],
    "mark": ["staging", "--because", "A copy"],
    "consent": [PHONE, "--said", "opted_out", "--source", "telephone", "--because", "She called"],
    "import-opt-outs": ["{file}", "--all-businesses"],
    "demo": [],
    "up": [],
    "migrate": ["--db-url", "{database}"],
    "doctor": [],
    "process": [],
    "serve": [],
    "deploy": [],
    "automations": [],
}
"""What each needs at least. The id is nobody's."""
_ELSEWHERE: Final = ("demo", "up", "serve", "deploy", "automations")
"""They start a stack, or become another process: tests/e2e."""
_TELLS: Final = tuple(name for name in _COMMANDS if name not in _ELSEWHERE)
_NOTHING_THERE: Final = {
    "explain": 1,
    **dict.fromkeys([f"texts {word}" for word in ("list", "requeue", "cancel", "look-again", "resolve")], 1),
    "after-restore": 1,
    "status": 1,
    **dict.fromkeys([f"senders {order}" for order in ("add", "change", "pause", "resume", "remove")], 1),
}
"""The exit code in an empty database, where it is not 0; no run was made yet, and that is for a person."""


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause before a call is repeated."""
    monkeypatch.setattr(calls, "_PAUSES", (0, 0))


@pytest.fixture
def opt_outs(tmp_path: Path) -> str:
    """A file of one opt-out."""
    file = tmp_path / "stops.csv"
    file.write_text(f"phone\n{PHONE}\n")
    return str(file)


@pytest.fixture
def least(stack: Stack, opt_outs: str) -> dict[str, list[str]]:
    """What each command needs at least, here."""
    here = {"{database}": stack.database_url, "{file}": opt_outs}
    return {name: [here.get(word, word) for word in words] for name, words in _LEAST.items()}


def test_each_command_is_here() -> None:
    """And none that is gone."""
    assert set(_LEAST) == set(_COMMANDS)


def test_what_makes_no_sense_is_one_sentence_and_where_to_look(command: Command) -> None:
    """Exit code 64, before anything is started or connected."""
    for name in _COMMANDS:
        for words in ([*_LEAST[name], "--nonsense"], ["one", "argument", "too", "many"]):
            refused = command(*name.split(), *words, columns=80)
            assert (refused.exit_code, refused.stdout) == (64, ""), name
            _is_a_complaint(refused, "")
            assert refused.stderr.endswith((f"Try: smsretry {name} --help\n", "Try: smsretry --help\n")), name


def test_without_settings_or_a_database_a_command_names_them(command: Command, least: dict[str, list[str]]) -> None:
    """Exit code 1, and no half of an answer: a question, an order, a run, and what connects by itself."""
    nowhere = "http://127.0.0.1:9"
    for name in ("explain", "texts requeue", "senders add", "process", "import-opt-outs"):
        for variables, words in (
            ({"SUPABASE_URL": None}, "Settings are not complete: SUPABASE_URL is not set"),
            ({"SUPABASE_URL": nowhere}, f"Check SUPABASE_URL ({nowhere})"),
        ):
            told = command(*name.split(), *least[name], "--json", columns=80, **variables)
            assert (told.exit_code, told.stdout) == (1, ""), name
            _is_a_complaint(told, words)
    told = command("migrate", "--db-url", "postgresql://app:hush@127.0.0.1:9/app", columns=80)
    assert (told.exit_code, told.stdout, "hush" in told.stderr) == (1, "", False)
    _is_a_complaint(told, "Check --db-url.")


@pytest.mark.parametrize("name", _TELLS)
def test_in_an_empty_database_each_command_ends_as_its_help_says(
    name: str, command: Command, least: dict[str, list[str]]
) -> None:
    """What is not found is said on standard error, and JSON is JSON all the same."""
    told, as_json = (
        command(*name.split(), *least[name], columns=80),
        command(*name.split(), *least[name], "--json", columns=80),
    )
    assert told.exit_code == as_json.exit_code == _NOTHING_THERE.get(name, 0)
    assert as_json.stderr == told.stderr
    if not (found := as_json.stdout):
        assert told.exit_code == 1, "nothing was found, so there is nothing to tell"
    else:
        json.loads(found)
    code = "0 it may go out now" if name == "quiet-hours" else f"{told.exit_code} "
    assert code in " ".join(command(*name.split(), "--help").stdout.split("Exit codes:")[1].split())


@pytest.fixture
def busy(stack: Stack, business: Business, command: Command, opt_outs: str) -> dict[str, list[str]]:
    """A queue with a text that failed, one that waits and one that is due; and which of them each command is for."""
    failed = business.due_text()
    stack.twilio.fail(JsonError(21612, http_status=400))
    command("process")
    stack.twilio.heal()
    business.due_text(phone="+19075550123", timezone="America/Anchorage")
    waiting = business.due_text(due=_HOUR)
    unreached = business.due_text(due=_HOUR)
    business.connection.execute(
        "update sms_retry_queue set (why, why_code) = ('Not reached', 'unreachable') where id = %s", [unreached]
    )
    business.due_text()
    doubtful = business.due_text(due=_HOUR)
    business.connection.execute(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome)
           values (%s, %s, 1, 1, smsretry.clock(), smsretry.clock(), 'in_doubt')""",
        [doubtful, doubtful],
    )
    business.connection.execute(
        "update sms_retry_queue set in_doubt_since = smsretry.clock(), attempt_id = id, claim_no = 1 where id = %s",
        [doubtful],
    )
    customer = str(business.row(failed)["customer_id"])
    settings = stack.settings()
    account, number = settings.twilio_account_sid, settings.twilio_sender
    own = Business(business.connection, business.now).open()
    business.connection.execute(
        "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'Its own')", [own.id, account, number]
    )
    [sender] = business.connection.execute("select id from smsretry.senders").fetchall()
    of_sender = {
        f"senders {order}": [str(sender["id"]), *_LEAST[f"senders {order}"][1:]]
        for order in ("change", "pause", "resume")
    }
    found = {
        "explain": ["--customer", customer],
        "texts list": ["--business", str(business.id)],
        "texts requeue": ["--row", str(failed)],
        "texts cancel": ["--row", str(waiting)],
        "texts look-again": ["--row", str(unreached)],
        "texts resolve": ["--row", str(doubtful), *_LEAST["texts resolve"][2:]],
        "migrate": ["--db-url", stack.database_url],
        "senders add": [number, "--business", str(business.id), "--account", account, "--because", "Shared"],
        "senders remove": ["--business", str(own.id), "--because", "Shared"],
        **of_sender,
        "import-opt-outs": [opt_outs, "--business", str(business.id)],
    }
    return {name: found.get(name, words) for name, words in _LEAST.items()}


_ONCE: Final = ("process", "migrate", "senders remove", "texts resolve")
"""They do something, and the second time something else."""


@pytest.mark.parametrize(("name", "columns"), [(name, 80 if n % 2 else 160) for n, name in enumerate(_TELLS)])
def test_what_each_command_tells_fits_the_terminal_and_its_json_has_the_same_ids_whole(
    name: str, columns: int, command: Command, busy: dict[str, list[str]]
) -> None:
    """Only a word that is longer than a line, such as an address, may reach beyond it. JSON is told alone."""
    ids: set[str] = set()
    if name not in _ONCE:
        told = command(*name.split(), *busy[name], columns=columns)
        assert (told.exit_code, PHONE in told.output) == (0, False)
        for line in _lines(told):
            assert len(line) <= columns or len(line.split()) == 1, line
            assert not _CUT_UUID.search(line), line
        ids = set(_UUID.findall(command(*name.split(), *busy[name]).stdout))
    as_json = command(*name.split(), *busy[name], "--json", columns=80)
    assert (as_json.exit_code, as_json.stderr, PHONE in as_json.output) == (0, "", False)
    json.loads(as_json.stdout)
    assert ids <= set(_UUID.findall(as_json.stdout))


def _is_a_complaint(told: Result, words: str) -> None:
    """A sentence on standard error, folded; no traceback, and no repr of anything."""
    said = " ".join(told.stderr.split())
    assert said.startswith("Error: ")
    assert words in said
    assert not re.search(r"Traceback|Exception|object at 0x|\[type=|<class", said)
    assert isinstance(told.exception, SystemExit)
    assert all(len(line) <= 80 or len(line.split()) == 1 for line in told.stderr.splitlines())


def _lines(told: Result) -> Iterator[str]:
    yield from told.stdout.splitlines()
    yield from told.stderr.splitlines()
