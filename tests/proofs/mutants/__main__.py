"""Breaks the Python of the decisions, one place at a time, and names each break that no unit test notices.

mutmut makes the breaks. Each is tried in a process of its own that was forked when all tests were collected, and only
with the tests that come to its function. Left as they are: sentences for people, and constants of modules, which are
the owner's decisions. A break that mypy notices is noticed.
"""

import argparse
import ast
import difflib
import gc
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import ClassVar, Final

import pytest
from _pytest.runner import runtestprotocol
from libcst import BaseString, SimpleString
from mutmut import configuration
from mutmut.mutation import file_mutation, mutators, trampoline
from mutmut.state import state

TESTS: Final = {
    "smsretry.retry": (
        "backoff delays delivery evidence location outcome pipeline policy reconciling segments senders undelivered "
        "windows twilio_errors"
    ),
    "smsretry.quiet_hours": (
        "calendars explain location numbers_abroad policy quiet_hours windows delays unknown_area_codes written_numbers"
    ),
    "smsretry.sending": (
        "drain flow_control in_flight pipeline rate_limit reconciling run senders silence slow_results together "
        "undelivered delivery groups shown privacy"
    ),
}
"""The unit tests that try each package. Not those that ask an oracle or start processes."""
ABOUT_THE_COPIES: Final = [
    "--no-warn-unused-ignores",
    *(f"--disable-error-code={each}" for each in ("misc", "has-type", "var-annotated", "no-any-return", "no-redef")),
    "--disable-error-code=pydantic-field",
]
"""What mypy says of the copies that mutmut makes, and not of what was changed in them."""
CPU_SECONDS: Final = 30
SECONDS: Final = 20
"""How much longer than without a break its tests may take, beside five times as long. One without an end is noticed."""
AT_ONCE: Final = 2
_CLASS: Final = re.compile(r"^class (\w+)")
_PROPERTY: Final = re.compile(r"^    def (\w+)\(self\)")


def words(node: BaseString) -> Iterator[BaseString]:
    """A word that the code goes by becomes another one. A sentence stays."""
    if isinstance(node, SimpleString) and " " not in node.value:
        yield from list(mutators.operator_string(node))[:1]


def undecorated(code: str) -> str:
    """The same code without caches, and with properties made of plain methods: mutmut leaves out what is decorated."""
    lines, inside, found = list[str](), "", False
    for line in code.splitlines():
        if match := _CLASS.match(line):
            inside = match[1]
        if line.startswith(("@lru_cache", "@cache")):
            continue
        if line == "    @property":
            found = True
            continue
        if found and (match := _PROPERTY.match(line)):
            lines.append(f"    {match[1]} = property(lambda self: {inside}.of_{match[1]}(self))")
            line, found = line.replace(match[1], f"of_{match[1]}", 1), False
        lines.append(line)
    return "\n".join(lines) + "\n"


def say(*what: object, between: str = " ") -> None:
    """At once, because the processes of the trials are forked off this one."""
    sys.stdout.write(f"{between.join(map(str, what))}\n")
    sys.stdout.flush()


class Breaking(SourceFileLoader):
    """Loads a module with all its breaks in it. None is active until it is named."""

    broken: ClassVar = dict[str, str]()
    """Modules, as they were broken."""

    def get_code(self, fullname: str) -> CodeType:
        code = undecorated(Path(self.path).read_text())
        self.broken[fullname] = file_mutation.mutate_file_contents(self.path, code).code
        return compile(self.broken[fullname], self.path, "exec", dont_inherit=True)


class Finder(MetaPathFinder):
    """Finds the modules to break."""

    def __init__(self, modules: str) -> None:
        self.modules = re.compile(modules)

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(fullname, path) if self.modules.match(fullname) else None
        if spec and spec.origin:
            spec.loader = Breaking(fullname, spec.origin)
        return spec


class Trial:
    """The pytest plugin: runs every test once, and then, break by break, those that come to its function."""

    def __init__(self) -> None:
        self.fates = dict[str, str]()

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        tests, seconds = defaultdict[str, list[int]](list), dict[int, float]()
        trampoline.set_mutant_under_test("stats")
        for number, item in enumerate(session.items):
            started = time.perf_counter()
            passed = self.passes(session.items, number)
            seconds[number] = time.perf_counter() - started
            if not passed:
                say("Left out, because it fails with nothing broken:", item.nodeid)
            for function in state()._stats if passed else ():
                tests[function].append(number)
            state()._stats.clear()
        trampoline.set_mutant_under_test("")
        unsteady = self.unsteady(session.items)
        for number in unsteady:
            say("Left out, because it fails when it runs again:", session.items[number].nodeid)
        tests = {function: [each for each in these if each not in unsteady] for function, these in tests.items()}
        by_mypy = noticed_by_mypy(Breaking.broken)
        names = [
            f"{module}.{name}"
            for module, code in Breaking.broken.items()
            for name in functions(code)
            if not name.endswith("_orig") and not is_for_the_reader(code, name)
        ]
        self.fates = {name: "noticed by mypy" for name in names if name in by_mypy}
        names = [name for name in names if name not in by_mypy]
        say(len(session.items), "tests,", len(names), "breaks that mypy does not notice")
        gc.collect()
        gc.freeze()
        running = dict[int, str]()
        for name in names:
            these = sorted(tests.get(name.partition("__mutmut_")[0], ()), key=lambda each: seconds[each])
            if not these:
                module, _, function = name.rpartition(".")
                self.fates[name] = "no test"
                say(f"\nno test: {name}", *change(Breaking.broken[module], function), between="\n")
                continue
            if len(running) >= AT_ONCE:
                self.reap(running)
            if not (child := os.fork()):
                self.try_out(name, session.items, these, int(SECONDS + 5 * sum(seconds[each] for each in these)))
            running[child] = name
        while running:
            self.reap(running)
        return True

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
        name = running.pop(child)
        self.fates[name] = "survived" if status == 0 else "too slow" if os.WIFSIGNALED(status) else "noticed"
        if status == 0:
            module, _, function = name.rpartition(".")
            say(f"\nsurvived: {name}", *change(Breaking.broken[module], function), between="\n")

    def try_out(self, name: str, items: list[pytest.Item], these: list[int], limit: int) -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(limit)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        trampoline.set_mutant_under_test(name)
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


@cache
def functions(code: str) -> dict[str, range]:
    """Where mutmut wrote each function: the originals and the broken ones."""
    return {
        node.name: range(node.lineno, (node.end_lineno or 0) + 1)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.FunctionDef) and "__mutmut_" in node.name
    }


def noticed_by_mypy(broken: dict[str, str]) -> set[str]:
    """The breaks in whose functions mypy finds an error."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree("smsretry", Path(folder, "smsretry"), ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy("pyproject.toml", folder)
        for module, code in broken.items():
            Path(folder, *module.split(".")).with_suffix(".py").write_text(code)
        command = [sys.executable, "-m", "mypy", *ABOUT_THE_COPIES, *(f"-m{module}" for module in broken)]
        said = subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout
    errors = defaultdict[str, set[int]](set)
    for path, line in re.findall(r"^(\S+)\.py:(\d+): error", said, re.MULTILINE):
        errors[path.replace("/", ".")].add(int(line))
    found = set[str]()
    for module, code in broken.items():
        wrong = {name for name, lines in functions(code).items() if not errors[module].isdisjoint(lines)}
        # What mypy says of the original, too, it does not say of the break.
        found |= {f"{module}.{name}" for name in wrong if original(name) not in wrong}
    return found


def original(name: str) -> str:
    """The function that this one was made from."""
    return f"{name.partition('__mutmut_')[0]}__mutmut_orig"


def change(code: str, name: str) -> Iterator[str]:
    """What the break changed."""
    lines, where = code.splitlines(), functions(code)
    old, new = ([lines[line - 1] for line in where[each][1:]] for each in (original(name), name))
    return (line for line in difflib.ndiff(old, new) if line.startswith(("-", "+")))


def is_for_the_reader(code: str, name: str) -> bool:
    """Whether nothing follows from the break but another sentence, or it is in a branch that mypy proves empty."""
    return name.split("__mutmut_")[0].endswith(("told", "__str__", "masked")) or any(
        "assert_never" in line for line in change(code, name)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=list(TESTS))
    parser.add_argument("--only", default="", help="a pattern of the modules to break, such as policy|delivery")
    options = parser.parse_args()
    configuration._config = configuration.Config.__new__(configuration.Config)
    configuration._config.do_not_mutate_patterns = []
    file_mutation.mutation_operators = [
        (kind, words if operator is mutators.operator_string else operator)
        for kind, operator in mutators.mutation_operators
    ]
    trampoline.record_trampoline_hit = lambda name, caller: state()._stats.add(name)
    sys.meta_path.insert(0, Finder(rf"{options.package}\.({options.only})"))
    trial = Trial()
    tests = [f"tests/unit/test_{each}.py" for each in TESTS[options.package].split()]
    pytest.main(["-n0", "-q", "-pno:cacheprovider", "--assert=plain", *tests], plugins=[trial])
    total = defaultdict[str, Counter[str]](Counter)
    for name, fate in trial.fates.items():
        total[name.rpartition(".")[0]][fate] += 1
    for module in sorted(total):
        say(module, dict(total[module]))
    say("all", dict(sum(total.values(), Counter[str]())))


if __name__ == "__main__":
    main()
