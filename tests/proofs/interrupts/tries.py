"""One try: start the command, press Ctrl-C, look at what is left."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Final
from uuid import uuid4

import psutil

from smsretry.local.demo.run import ROOT
from tests.proofs.interrupts.plans import Plan
from tests.proofs.interrupts.sandbox import Sandbox

_MARK: Final = "SMSRETRY_TEST_MARK"
_ENDS_SECONDS: Final = 90.0
_SETTLES_SECONDS: Final = 60.0
"""How long what was started may outlive the command: on a busy machine a part takes its time to end."""
_LEFT_SECONDS: Final = 3.0
"""Likewise without the mending, where something is to be left."""
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\)|Exception ignored|^  File \"", re.MULTILINE)
_OURS: Final = re.compile(r'File ".*/(?:smsretry/(?!__init__\.py)|flows/|site-packages/(?!_distutils|__editable))')


@dataclass(slots=True)
class Outcome:
    """What one try came to."""

    plan: Plan
    code: int | None = None
    """The exit code; None: it did not end by itself."""
    seconds: float = 0.0
    """From Ctrl-C to the end."""
    output: str = ""
    running: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)
    guard_log: str = ""

    @property
    def traceback(self) -> bool:
        """Whether somebody saw one, or the guard wrote one. Not counted: Python's own, before our first line runs."""
        told = _TRACEBACK.search(self.output) is not None and not self.before_our_first_line
        return told or _TRACEBACK.search(self.guard_log) is not None

    @property
    def before_our_first_line(self) -> bool:
        """Whether Python itself was interrupted as it started, where no program can do anything about it."""
        return _TRACEBACK.search(self.output) is not None and _OURS.search(self.output) is None

    @property
    def code_is_right(self) -> bool:
        """130 after Ctrl-C, 0 if the demo was faster, 1 if it was refused first."""
        if self.before_our_first_line or self.code == 130:
            return True
        if self.code == -signal.SIGINT:
            return not self.output  # Python was not there yet, or was already gone
        return self.code == (1 if self.plan.kind == "somebody else's directory" else 0) and self.plan.kind != "up"


def attempt(plan: Plan, *, mended: bool = True) -> Outcome:
    """Carry out one try. What is left running is ended."""
    module = "smsretry" if mended else "tests.proofs.interrupts.unmended"
    with Sandbox(plan.kind) as sandbox:
        mark = uuid4().hex
        command = subprocess.Popen(
            [sys.executable, "-m", module, *sandbox.arguments()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, _MARK: mark, "TMPDIR": str(sandbox.temporary), "PYTHONPATH": str(ROOT)},
            start_new_session=True,  # a process group of its own, to which a terminal sends Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        outcome = Outcome(plan)
        _wait_for(command, plan)
        _press(command)
        pressed = time.monotonic()
        if plan.again_after is not None:
            time.sleep(plan.again_after)
            _press(command)
        outcome.output, outcome.code = _end_of(command)
        outcome.seconds = time.monotonic() - pressed
        outcome.running = _left_running(mark, _SETTLES_SECONDS if mended else _LEFT_SECONDS)
        outcome.lost, outcome.left_behind, outcome.guard_log = sandbox.lost(), sandbox.left_behind(), sandbox.logs()
        return outcome


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


def _end_of(command: "subprocess.Popen[bytes]") -> tuple[str, int | None]:
    try:
        return command.communicate(timeout=_ENDS_SECONDS)[0].decode(errors="replace"), command.returncode
    except subprocess.TimeoutExpired:
        command.kill()
        return command.communicate()[0].decode(errors="replace"), None


def _left_running(mark: str, seconds: float) -> list[str]:
    """The command lines of what still runs so much later; it is killed."""
    deadline = time.monotonic() + seconds
    while (left := [process for process in psutil.process_iter() if _has(process, mark)]) and (
        time.monotonic() < deadline
    ):
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
