"""What the READMEs show runs: commands on the embedded stack, Python as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stdout
from inspect import signature
from io import StringIO
from pathlib import Path
from types import ModuleType

import pytest

from smsretry.cli.rules import EXIT_CODES
from smsretry.local.demo.run import ROOT
from smsretry.local.demo.senders import HARBOR, open_accounts
from smsretry.local.postgrest.keys import signing_key
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.e2e.commands import run_as_shown
from tests.e2e.documents import PLAYBOOKS, SERVED, Block, Document, documents
from tests.support.records import Record

DATABASE = "postgresql://postgres:…@db.<project>.supabase.co:5432/postgres"
OF_THEIR_OWN = {"demo", "up", "serve", "deploy", "automations"}
"""Tried elsewhere in this folder: they bring a stack of their own, or become another process."""


def blocks(language: str, containing: str = "") -> pytest.MarkDecorator:
    """Every block of one language that contains a text. The playbooks' are for troubles: test_playbooks.py."""
    shown = [
        block
        for document in documents()
        if document != PLAYBOOKS
        for block in document.blocks(language)
    ]
    found = [
        block
        for block in shown
        if containing in block.text and SERVED not in block.text
    ]
    return pytest.mark.parametrize("block", found, ids=lambda block: block.where)


@pytest.fixture
def environment(
    stack: Stack, business: Business, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The stack's settings, in the environment; and what stands for the placeholders of the documents."""
    for name, value in (stack.environment() | {"COLUMNS": "250"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("number.txt").write_text("+12125550100\n")
    Path("stops.csv").write_text("phone,date\n+12125550101,2026-03-02T10:00:00-05:00\n")
    customer = business.customer(phone="+12125550100")
    business.connection.execute(
        "select record_inbound_sms('+12125550100', %s, null, 'Please discontinue these')",
        ["SM" + "d" * 32],
    )
    open_accounts(stack)
    here = {
        "$BUSINESS": str(business.id),
        "<id>": str(business.id),
        "$CUSTOMER": str(customer),
    }
    return {
        **here,
        "$ACCOUNT": HARBOR.account,
        "$SERVICE": HARBOR.service,
        DATABASE: stack.database_url,
    }


@blocks("sh", containing="smsretry ")
def test_every_smsretry_command_of_a_shell_block_runs_on_the_stack(
    block: Block, environment: dict[str, str]
) -> None:
    """Where output is shown, it prints just that, perhaps with more in between."""
    run_as_shown(
        block, environment, {"quiet-hours": (0, EXIT_CODES["closed"])}, but=OF_THEIR_OWN
    )


@blocks("python")
def test_every_python_block_runs_and_prints_what_is_shown(
    block: Block,
    environment: dict[str, str],
    business: Business,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may use a text that was not sent yet, and another. A test that is shown runs as one."""
    texts = [business.send_log(business.customer()) for _ in range(2)]
    shown = ModuleType("shown")
    monkeypatch.setitem(
        sys.modules, "shown", shown
    )  # pydantic looks for a class's module there
    names = vars(shown)
    names.update(send_log_id=texts[0], other_send_log_id=texts[1])
    names.update(business_id=business.id, customer_id=business.customer())
    with redirect_stdout(StringIO()) as printed:
        _execute(block, names)
        for test in [
            value for name, value in names.items() if name.startswith("test_")
        ]:
            wanted = signature(test).parameters
            if (
                "flow" not in wanted
            ):  # the flow that it runs must be written first: see the next test
                if "sms_stack" in wanted:
                    request.getfixturevalue(
                        "sms_stack"
                    ).empty()  # as before each test of pytest's own
                test(
                    **{fixture: request.getfixturevalue(fixture) for fixture in wanted}
                )
    assert printed.getvalue() == block.output or not block.output


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl")
def test_the_documented_monitor_learns_the_state_and_may_do_nothing_else(
    stack: Stack,
) -> None:
    """A role of its own, its token by a key of either kind, and curl: an alarm, and then none."""
    readme = Document(ROOT / "flows" / "README.md")
    [role] = [block for block in readme.blocks("sql") if "sms_monitor" in block.text]
    [call] = [block for block in readme.blocks("sh") if "curl " in block.text]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SUPABASE_URL": stack.environment()["SUPABASE_URL"],
        "SUPABASE_PUBLISHABLE_KEY": stack.opaque_key("anon"),
        "SIGNING_KEY": json.dumps(signing_key(stack.jwt_secret)),
        "JWT_SECRET": stack.jwt_secret,
        "ROLE": "sms_monitor",
    }
    how_to = Document(ROOT / "flows" / "HOWTO.md")
    today, before = [
        block.text for block in how_to.blocks("sh") if "jwt.encode" in block.text
    ]

    def ask(text: str = f"{today}\n{call.text}") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-c", text],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    with stack.connect() as connection:
        connection.execute(role.text.encode())
        try:
            alarm = ask()
            assert (
                alarm.returncode,
                "no run has finished in 7 days" in alarm.stdout,
            ) == (22, True), alarm
            connection.execute(
                """insert into smsretry.runs (id, started_at, finished_at, summary)
                   select gen_random_uuid(), smsretry.clock(), smsretry.clock(), 'idle'"""
            )
            well = ask()
            assert re.sub(r"\d", "0", well.stdout.strip()) == re.sub(
                r"\d", "0", call.output.strip()
            )
            refused = ask(
                f"{today}\n{call.text}".replace(
                    "check_sms_retries?max_minutes=10", "sms_status"
                )
            )
            assert '"code":"42501"' in refused.stdout
            assert ask(f"{before}\n{call.text}").returncode == 0
            stack.rpc_faults.legacy_is_revoked = True
            assert ask(f"{before}\n{call.text}").returncode == 22
            assert ask().returncode == 0
        finally:
            connection.execute("drop owned by sms_monitor; drop role sms_monitor")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd")
@blocks("ini", containing="ExecStart")
def test_systemd_finds_nothing_amiss_in_the_units_shown(
    block: Block, tmp_path: Path
) -> None:
    """Each setting is known, and what is started is there: in this environment, in place of the server's."""
    unit = tmp_path / Path(block.text.splitlines()[0].removeprefix("# ")).name
    unit.write_text(
        block.text.replace("/opt/smsretry/.venv/bin", str(Path(sys.executable).parent)),
        encoding="utf-8",
    )
    result = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (
        result.returncode,
        [line for line in result.stderr.splitlines() if unit.name in line],
    ) == (0, [])


def _execute(block: Block, names: Record) -> None:
    exec(compile(block.text, block.where, "exec"), names)
