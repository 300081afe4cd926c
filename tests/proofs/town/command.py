"""What the commands of all proofs have in common: options, a stack, a table, and an exit code."""

import logging
import signal
import sys
from collections.abc import Callable, Mapping
from inspect import signature

from tests.proofs.town.report import ProofReport
from tests.proofs.town.safeguards import Switch
from tests.support.options import parser
from tests.support.stacks import running_stack


def main(
    proof: str,
    about: str | None,
    run: Callable[..., ProofReport],
    switches: Mapping[str, Switch],
) -> int:
    """Run a proof on a stack of its own. 0: it kept every promise; with `--without`, what is missing was noticed.

    Args:
        run: gets the stack and, by name, the options, each with its default.
    """
    _, *options = signature(run).parameters.values()
    given_by = parser(about, **{option.name: option.default for option in options})
    given_by.prog = f"python -m tests.proofs.{proof}"
    if switches:
        given_by.add_argument(
            "--without",
            choices=switches,
            help="a short run without it; 0 when it is noticed",
        )
    values = vars(given_by.parse_args())
    without = values.pop("without", None)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM)
    )  # clean up, as after Ctrl-C
    logging.disable(
        logging.CRITICAL
    )  # connections that break are news to their pools, and not to us
    with running_stack() as stack:
        report = switches[without].report(stack) if without else run(stack, **values)
    sys.stdout.write(report.tell())
    return int(not (switches[without].is_seen(report) if without else report.clean))
