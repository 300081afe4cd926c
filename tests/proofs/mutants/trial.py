"""Each break is tried in a process that was forked when all tests were collected, by the tests that come to it."""

import gc
import json
import os
import signal
import sys
import time
from collections import defaultdict
from typing import Final

import pytest
from _pytest.runner import runtestprotocol
from hypothesis.internal.conjecture import engine
from mutmut.mutation import trampoline
from mutmut.state import state

from tests.proofs.mutants.breaking import (
    Breaking,
    change,
    forget_answers,
    functions,
    is_for_the_reader,
    noticed_by_mypy,
    original,
)

SECONDS: Final = 20
"""How much longer than five times as long as usual its tests may take. A break without an end is noticed."""
AT_ONCE: Final = 2


def say(*what: object, between: str = " ") -> None:
    """At once, because the processes of the trials are forked off this one."""
    sys.stdout.write(f"{between.join(map(str, what))}\n")
    sys.stdout.flush()


class Trial:
    """The pytest plugin: runs every test once, and then, break by break, those that come to its function."""

    def __init__(self) -> None:
        self.fates = dict[str, str]()
        self.tests = defaultdict[str, list[int]](list)
        self.seconds = dict[int, float]()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.learn(session.items)
        by_mypy = noticed_by_mypy(Breaking.broken)
        names = [
            f"{module}.{name}"
            for module, code in Breaking.broken.items()
            for name in functions(code)
            if name != original(name) and not is_for_the_reader(code, name)
        ]
        self.fates = {name: "noticed by mypy" for name in names if name in by_mypy}
        say(len(session.items), "tests,", len(names) - len(self.fates), "breaks that mypy does not notice")
        gc.collect()
        gc.freeze()
        running = dict[int, str]()
        for name in names:
            these = sorted(self.tests[original(name)], key=lambda each: self.seconds[each])
            if name in by_mypy:
                continue
            if not these:
                self.settle(name, "no test")
                continue
            if len(running) >= AT_ONCE:
                self.reap(running)
            if not (child := os.fork()):
                self.try_out(name, session.items, these)
            running[child] = name
        while running:
            self.reap(running)
        return True

    def learn(self, items: list[pytest.Item]) -> None:
        """Which tests come to each function, of those that pass with nothing broken."""
        trampoline.set_mutant_under_test("stats")
        for number, item in enumerate(items):
            forget_answers()
            started = time.perf_counter()
            passed = self.passes(items, number)
            self.seconds[number] = time.perf_counter() - started
            if not passed:
                say("Left out, because it fails with nothing broken:", item.nodeid)
            for function in state()._stats if passed else ():
                self.tests[f"{function}__mutmut_orig"].append(number)
            state()._stats.clear()
        trampoline.set_mutant_under_test("")
        unsteady = self.unsteady(items)
        for number in unsteady:
            say("Left out, because it fails when it runs again:", items[number].nodeid)
        for these in self.tests.values():
            these[:] = [each for each in these if each not in unsteady]

    def unsteady(self, items: list[pytest.Item]) -> set[int]:
        """Tests that fail in a process of a trial with nothing broken: they would notice everything."""
        read, write = os.pipe()
        if not (child := os.fork()):
            os.write(write, json.dumps([each for each in range(len(items)) if not self.passes(items, each)]).encode())
            os._exit(0)
        os.waitpid(child, 0)
        return set(json.loads(os.read(read, 65536)))

    def reap(self, running: dict[int, str]) -> None:
        child, status = os.wait()
        fate = "survived" if status == 0 else "too slow" if os.WIFSIGNALED(status) else "noticed"
        self.settle(running.pop(child), fate)

    def settle(self, name: str, fate: str) -> None:
        self.fates[name] = fate
        if fate in ("survived", "no test"):
            module, _, function = name.rpartition(".")
            say(f"\n{fate}: {name}", *change(Breaking.broken[module], function), between="\n")

    def try_out(self, name: str, items: list[pytest.Item], these: list[int]) -> None:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(SECONDS + 5 * sum(self.seconds[each] for each in these)))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        trampoline.set_mutant_under_test(name)
        forget_answers()
        engine.MAX_SHRINKING_SECONDS = 0  # that an example fails is enough
        try:
            noticed = any(not self.passes(items, each) for each in these)
        except BaseException:  # noqa: BLE001 - whatever it raises, the break was noticed
            noticed = True
        os._exit(1 if noticed else 0)

    @staticmethod
    def passes(items: list[pytest.Item], number: int) -> bool:
        item = items[number]
        # The next one of the same file, if there is one, so that what they share stays.
        reports = runtestprotocol(item, log=False, nextitem=items[(number + 1) % len(items)])
        return all(not report.failed for report in reports)
