"""`python -m tests.proofs.breaks`: each safeguard of the SQL is broken by one line, and a test must fail."""

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from smsretry.testing.stack import SmsStack
from tests.proofs.breaks.every import SUBJECTS
from tests.proofs.breaks.one_line import Break
from tests.support.safeguards import without

_TESTS: Final = [
    *(f"tests/integration/{folder}" for folder in
      ("queue", "worker", "consent", "delivery", "doubt", "scheduled", "desk", "isolation")),
    "tests/proofs/interleavings",
]  # fmt: skip
_SCHEMAS: Final = Path("smsretry/supabase/schemas")
_BESIDE: Final = {
    "worker": {"worker", "queue"}, "queue": {"queue"}, "turns": {"worker", "queue"}, "helpers": {"worker", "queue"},
    "senders": {"desk", "worker"}, "records": {"desk"},
}  # fmt: skip
"""Where a folder's functions are tested, if not in the folder of its name alone."""
_NOTHING: Final = Break("", "")


class Breaker:
    """A pytest plugin: one break after the other, and all tests for each, until one fails that passes without it."""

    def __init__(self, breaks: dict[str, Break], *, most: int | None) -> None:
        self._breaks = breaks
        self._most = most
        self._broken = self._there = _NOTHING
        self._undo = ExitStack()
        self._failure = ""
        self._sharp = Counter[str]()
        self.unnoticed = list[str]()

    @pytest.fixture(autouse=True)
    def _break(self, sms_session: SmsStack) -> None:
        if self._there != self._broken:
            self._undo.close()
            self._undo.enter_context(without(sms_session.local, self._broken.safeguard))
            self._there = self._broken

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own."""
        terminal: Any = session.config.pluginmanager.get_plugin("terminalreporter")
        for name, broken in self._breaks.items():
            noticed_by = self._noticed_by(broken, self._in_order(name, broken, session.items)[: self._most])
            if not noticed_by:
                self.unnoticed.append(name)
            terminal.write_line(f"{noticed_by or 'NOT NOTICED'} · {name} {broken.spare}")
            terminal.flush()
        return True

    def _noticed_by(self, broken: Break, items: Sequence[pytest.Item]) -> str:
        for item in items:
            failure = self._run(item, broken)
            if failure and not self._run(item, _NOTHING):
                self._sharp[item.nodeid] += 1
                return f"{item.nodeid} ({failure})"
        return ""

    def _run(self, item: pytest.Item, broken: Break) -> str:
        """What fails."""
        self._broken, self._failure = broken, ""
        # What is kept for the next test is what is the session's.
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=item.session)
        return self._failure

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Of the test that runs."""
        if report.failed:
            self._failure = self._failure or report.longreprtext.splitlines()[-1]

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self) -> tuple[str, str, str]:
        """Nothing is said of a test that passes."""
        return "", "", ""

    def _in_order(self, name: str, broken: Break, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """First those of the function's subject whose sentences are most like the safeguard's, or noticed others."""
        words = {item: _words(item.name) for item in items}
        common = Counter(word for said in words.values() for word in said)
        near = {
            item: sum(1 / common[word] for word in said & _words(name)) / len(said)
            + self._sharp[item.nodeid]
            - 9 * hasattr(getattr(item, "function", None), "hypothesis")  # takes long
            for item, said in words.items()
        }
        (file,) = _SCHEMAS.glob(f"*/{broken.function.split('.')[1]}.sql")
        folders = _BESIDE.get(file.parent.name, {file.parent.name})
        return sorted(near, key=lambda item: (item.path.parent.name not in folders, -near[item]))


def _words(sentence: str) -> set[str]:
    return set(re.findall("[a-z]+", sentence.lower()))


def main() -> int:
    """0 when each is noticed, but those that are said to be spare."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.breaks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a subject or a break; all, if none is given")
    parser.add_argument("--most", type=int, help="so many tests for each, the nearest ones")
    parser.add_argument("--tests", nargs="+", default=_TESTS, metavar="TEST", help="these, and no others")
    parser.add_argument("--only", default="not long and not by_hand", metavar="MARKS", help="of the tests")
    options = parser.parse_args()
    breaks = {
        name: broken
        for subject, of_it in SUBJECTS.items()
        for name, broken in of_it.items()
        if not options.names or {subject, name} & set(options.names)
    }
    breaker = Breaker(breaks, most=options.most)
    quietly = ["-n", "0", "-q", "--no-header", "--no-summary", "-p", "no:cacheprovider", "-m", options.only]
    pytest.main([*quietly, *options.tests], plugins=[breaker])
    wrong = [name for name in breaker.unnoticed if not breaks[name].spare]
    sys.stdout.write(f"{len(breaks)} breaks, {len(breaker.unnoticed) - len(wrong)} spare, {len(wrong)} not noticed\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
