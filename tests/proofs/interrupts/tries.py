"""One try: start the command, press Ctrl-C, look at what is left; and all of them."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, Literal, TypeAlias
from uuid import uuid4

import psutil

from smsretry.local.demo.run import ROOT
from smsretry.local.postgres.server import LOCK
from tests.proofs.town.report import Finding, Report, Verdict

Kind: TypeAlias = Literal["demo", "up", "up with data", "somebody else's directory"]
KINDS: Final[tuple[Kind, ...]] = ("demo", "up", "up with data")
BROKEN: Final = (
    "left running", "deleted that was not theirs", "tracebacks", "said twice that it ended", "left behind",
    "did not end", "wrong exit code",
)  # fmt: skip
_MARK: Final = "SMSRETRY_TEST_MARK"
_THEIRS: Final = "all of it"
_ENDS_SECONDS: Final = 90.0
_SETTLES_SECONDS: Final = 60.0
"""How long what was started may outlive the command: on a busy machine a part takes its time to end."""
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\)|Exception ignored|^  File \"", re.MULTILINE)
_OURS: Final = re.compile(r'File ".*/(?:smsretry/(?!__init__\.py)|flows/|site-packages/(?!_distutils|__editable))')


@dataclass(frozen=True, slots=True)
class Plan:
    """One try: what is started, and when it is interrupted."""

    kind: Kind
    after_guard: int | None
    """Wait until so many parts are being started; None: count from the start."""
    seconds: float
    """Then so long."""
    again_after: float | None = None
    """A second Ctrl-C, for want of patience."""


def plans(times: int, *, seed: str) -> list[Plan]:
    """The tries of a run: many in the first two seconds, and many just as a part is being started."""
    dice = Random(seed)
    return [_plan(dice) for _ in range(times)]


def aimed(times: int, *, seed: str) -> list[Plan]:
    """Each just as PostgreSQL is being started."""
    dice = Random(seed)
    return [Plan("up", 1, dice.uniform(0, 0.15)) for _ in range(times)]


def _plan(dice: Random) -> Plan:
    again = dice.uniform(0, 1) if dice.random() < 0.25 else None
    if dice.random() < 0.05:
        return Plan("somebody else's directory", None, dice.uniform(0, 2), again)
    kind, when = dice.choice(KINDS), dice.random()
    if when < 0.7:
        guard = dice.choice((1, 2, 3)) if when >= 0.4 else None
        return Plan(kind, guard, dice.uniform(0, 0.15 if guard else 2), again)
    return Plan(kind, None, dice.uniform(2, 20), again)


def _plant(kind: Kind, root: Path) -> list[Path]:
    """Other people's files in and around the directories that the command is given."""
    tmp, data = root / "tmp", root / "data"
    files = [root / "beside.txt", tmp / "theirs.txt", tmp / "smsretry-demo-theirs" / "thesis.txt"]
    if kind == "up with data":
        (data / "postgres").mkdir(parents=True)
        (data / "postgres" / LOCK).touch()  # it had it before, and somebody put things there since
        files += [data / "thesis.txt", data / "postgres-dump" / "all.sql"]
    if kind == "somebody else's directory":
        files += [data / "thesis.txt", data / "postgres" / "PG_VERSION"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_THEIRS)
    return files


def attempt(plan: Plan, *, mended: bool = True) -> list[Finding]:
    """Start the command, press Ctrl-C, and look at what is left. That is ended."""
    with tempfile.TemporaryDirectory(prefix="smsretry-interrupts-") as folder:
        root, mark = Path(folder), uuid4().hex
        root.chmod(0o755)
        planted = _plant(plan.kind, root)
        arguments = ["demo"] if plan.kind == "demo" else ["up", "--data-dir", str(root / "data")]
        command = subprocess.Popen(
            [sys.executable, "-m", "smsretry" if mended else "tests.proofs.interrupts.unmended", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, _MARK: mark, "TMPDIR": str(root / "tmp"), "PYTHONPATH": str(ROOT)},
            start_new_session=True,  # a process group of its own, to which a terminal sends Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        _wait_for(command, plan)
        _press(command)
        if plan.again_after is not None:
            time.sleep(plan.again_after)
            _press(command)
        try:
            output, code = command.communicate(timeout=_ENDS_SECONDS)[0].decode(errors="replace"), command.returncode
        except subprocess.TimeoutExpired:
            command.kill()
            output, code = command.communicate()[0].decode(errors="replace"), None
        logs = "".join(file.read_text(errors="replace") for file in root.rglob("postgres.log"))
        found = [
            *_said(plan, code, output, logs),
            *(("left running", name) for name in _left_running(mark, _SETTLES_SECONDS if mended else 3.0)),
        ]
        lost = [file for file in planted if not file.exists() or file.read_text() != _THEIRS]
        left = {path.name for path in (root / "tmp").iterdir() if not _is_pythons(path)}
    found += [("deleted that was not theirs", str(file)) for file in lost]
    return found + [("left behind", name) for name in left - {"theirs.txt", "smsretry-demo-theirs"}]


def _said(plan: Plan, code: int | None, output: str, logs: str) -> Iterable[Finding]:
    # Python itself may be interrupted as it starts, where no program can do anything about it.
    pythons_own = _TRACEBACK.search(output) is not None and _OURS.search(output) is None
    if (_TRACEBACK.search(output) and not pythons_own) or _TRACEBACK.search(logs):
        yield "tracebacks", f"{output[-1500:]}{logs[-500:]}"
    if output.count("Stopped.") > 1:
        yield "said twice that it ended", output[-500:]
    right = [130, *([-signal.SIGINT] if not output else [])]
    if plan.kind != "up":  # the demo may be faster, and another's directory is refused first
        right.append(1 if plan.kind == "somebody else's directory" else 0)
    if code is None:
        yield "did not end", output[-500:]
    elif code not in right and not pythons_own:
        yield "wrong exit code", f"{code}: {output[-500:]}"


def _wait_for(command: "subprocess.Popen[bytes]", plan: Plan) -> None:
    deadline = time.monotonic() + _ENDS_SECONDS
    while plan.after_guard is not None and command.poll() is None and time.monotonic() < deadline:
        if len(_guards(command.pid)) >= plan.after_guard:
            break
        time.sleep(0.005)
    time.sleep(plan.seconds)


def _guards(pid: int) -> list[psutil.Process]:
    try:
        return [child for child in psutil.Process(pid).children() if any("guard" in word for word in child.cmdline())]
    except psutil.Error:
        return []


def _press(command: "subprocess.Popen[bytes]") -> None:
    if command.poll() is None:
        os.killpg(command.pid, signal.SIGINT)


def _left_running(mark: str, seconds: float) -> list[str]:
    """The command lines of what still runs so much later; it is killed."""
    deadline = time.monotonic() + seconds
    while (
        left := [process for process in psutil.process_iter() if _has(process, mark)]
    ) and time.monotonic() < deadline:
        time.sleep(0.1)
    names = []
    for process in left:
        try:
            names.append(" ".join(process.cmdline())[:120])
            process.kill()
        except psutil.Error:
            continue
    return names


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return bool(process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _is_pythons(path: Path) -> bool:
    """Whether `tempfile` made it: at its first use it writes a few bytes, and removes them at once."""
    is_short = re.fullmatch("[a-z0-9_]{8}", path.name) is not None
    return is_short and path.is_file() and path.read_bytes() in (b"", b"blat")


def run(tries: list[Plan], *, jobs: int, mended: bool = True) -> Report:
    """Make all tries, so many at a time; or without what ends the parts."""
    verdict = Verdict(BROKEN)
    with ThreadPoolExecutor(jobs) as pool:
        for plan, found in zip(tries, pool.map(partial(attempt, mended=mended), tries), strict=True):
            verdict.add(found, name=str(plan))
    started = Counter(plan.kind for plan in tries)
    return Report({"tries": len(tries), **{f"  {kind}": n for kind, n in started.items()}}, verdict)
