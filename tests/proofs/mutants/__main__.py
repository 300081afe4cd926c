"""`python -m tests.proofs.mutants smsretry.retry`: which breaks of a decision does no unit test notice?

mutmut breaks the code, one place at a time. Left as they are: sentences for people, and constants of modules, which
are the owner's decisions. A break that mypy notices is noticed.
"""

import argparse
from collections import Counter, defaultdict
from importlib.util import find_spec
from typing import Final

import pytest

INSTALL: Final = "pip install mutmut==3.8.1"
TESTS: Final = {
    "smsretry.retry": (
        "backoff delays delivery evidence location outcome pipeline policy reconciling segments senders undelivered "
        "windows twilio_errors"
    ),
    "smsretry.quiet_hours": (
        "calendars explain location numbers_abroad policy quiet_hours windows delays written_numbers"
    ),
    "smsretry.sending": (
        "drain flow_control in_flight pipeline queueing rate_limit reconciling run senders silence slow_results "
        "together undelivered delivery groups shown privacy"
    ),
}
"""The unit tests that try each package. Not those that ask an oracle or start processes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=list(TESTS))
    parser.add_argument("--only", default="", help="a pattern of the modules to break, such as policy|delivery")
    options = parser.parse_args()
    if not find_spec("mutmut"):
        parser.exit(2, f"{INSTALL}\n")
    # It is installed by hand, and `--help` needs none of it.
    from tests.proofs.mutants.breaking import break_modules
    from tests.proofs.mutants.trial import Trial, say

    break_modules(rf"{options.package}\.({options.only})")
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
