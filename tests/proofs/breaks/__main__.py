"""`python -m tests.proofs.breaks`: each safeguard of the SQL is broken by one line, and a test must fail."""

import argparse
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

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


class Breaker:
    """A pytest plugin: one break after the other, and all tests for each, until one fails."""

    def __init__(self, breaks: dict[str, Break], *, most: int | None) -> None:
        self._breaks = breaks
        self._most = most
        self._broken = Break("", "")
        self._noticed_by = ""
        self._sharp = Counter[str]()
        self.unnoticed = list[str]()

    @pytest.fixture(autouse=True)
    def _break(self, sms_session: SmsStack) -> Iterator[None]:
        with without(sms_session.local, self._broken.safeguard):
            yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own."""
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        for name, broken in self._breaks.items():
            self._broken, self._noticed_by = broken, ""
            for item in self._in_order(name, session.items)[: self._most]:
                # What is kept for the next test is what is the session's.
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=session)
                if self._noticed_by:
                    break
            else:
                self.unnoticed.append(name)
            terminal.write_line(f"{self._noticed_by or 'NOT NOTICED'} · {name} {broken.spare}")
            terminal.flush()
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """The first failure is enough."""
        if report.failed and not self._noticed_by:
            self._sharp[report.nodeid] += 1
            self._noticed_by = f"{report.nodeid} ({report.longreprtext.splitlines()[-1]})"

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self) -> tuple[str, str, str]:
        """Nothing is said of a test that passes."""
        return "", "", ""

    def _in_order(self, name: str, items: Sequence[pytest.Item]) -> list[pytest.Item]:
        """First those whose sentence is most like the safeguard's, or whose text names the function."""
        function = self._broken.function.split(".")[1]
        words = {item: _words(item.name) for item in items if isinstance(item, pytest.Function)}
        common = Counter(word for said in words.values() for word in said)
        near = {
            item: (function in inspect.getsource(item.function))
            + sum(1 / common[word] for word in said & _words(name)) / len(said)
            - 9 * hasattr(item.function, "hypothesis")  # takes long
            for item, said in words.items()
        }
        (file,) = _SCHEMAS.glob(f"*/{function}.sql")
        folders = _BESIDE.get(file.parent.name, {file.parent.name})
        return sorted(near, key=lambda item: (item.path.parent.name not in folders, -near[item] - self._sharp[item.nodeid]))


def _words(sentence: str) -> set[str]:
    return set(re.findall("[a-z]+", sentence.lower()))


def main() -> int:
    """0 when each is noticed, but those that are said to be spare."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.breaks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a subject or a break; all, if none is given")
    parser.add_argument("--most", type=int, help="so many tests for each, the nearest ones")
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
    pytest.main([*quietly, *_TESTS], plugins=[breaker])
    wrong = [name for name in breaker.unnoticed if not breaks[name].spare]
    sys.stdout.write(f"{len(breaks)} breaks, {len(breaker.unnoticed) - len(wrong)} spare, {len(wrong)} not noticed\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
