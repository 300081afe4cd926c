"""`python -m tests.proofs.neighbors --texts 300 --minutes 120 --seed 1`: the long run, and one table."""

import argparse
import logging
import signal
import sys
from datetime import timedelta
from typing import Final

from tests.proofs.neighbors.evidence import EVIDENCE, evidence
from tests.proofs.neighbors.platform import slow_platform
from tests.proofs.neighbors.report import everybody, run
from tests.proofs.neighbors.switches import SWITCHES
from tests.proofs.neighbors.tenants import poor
from tests.proofs.town.report import Report
from tests.proofs.town.safeguards import without
from tests.support.stacks import running_stack

_WITHOUT: Final = f"take this away, in a short run; exit 0 when it is noticed ({', '.join(EVIDENCE)}: with --evidence)"


def main() -> int:
    """0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.neighbors", description=__doc__)
    parser.add_argument("--texts", type=int, default=300, help="of the well-behaved businesses")
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--stale-minutes", type=int, default=10)
    parser.add_argument("--without", choices=[*SWITCHES, *EVIDENCE], help=_WITHOUT)
    parser.add_argument("--poor", action="store_true", help="instead: tenants whose own texts come to nothing")
    parser.add_argument("--evidence", action="store_true", help="instead: texts in doubt, of each case so many")
    parser.add_argument("--clock-ahead", type=float, default=0, metavar="MINUTES", help="of Twilio's, for --evidence")
    options = parser.parse_args()
    if options.without and options.evidence != (options.without in EVIDENCE):
        parser.error(f"--without {options.without!r} is {'not ' if options.evidence else ''}for --evidence")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, as after Ctrl-C
    logging.disable(logging.CRITICAL)  # a connection that Twilio drops is news to urllib3, and not to us
    report, sees = _run(options)
    sys.stdout.write(report.tell())
    return int(not report.verdict[sees]) if sees else int(not report.clean)


def _run(options: argparse.Namespace) -> tuple[Report, str]:
    """The report, and what it must show without a safeguard."""
    with running_stack() as stack:
        if options.evidence:
            ahead = timedelta(minutes=options.clock_ahead)
            sees, safeguard = EVIDENCE.get(options.without, ("", None))
            with without(stack, safeguard):
                return evidence(stack, texts=options.texts, seed=options.seed, clock_ahead=ahead), sees
        if options.without:
            switch = SWITCHES[options.without]
            return switch.run(stack, seed=options.seed), switch.sees
        neighbors = poor(options.texts) if options.poor else [*everybody(options.texts), *slow_platform()]
        return run(stack, neighbors, minutes=options.minutes, seed=options.seed, stale=options.stale_minutes), ""


if __name__ == "__main__":
    raise SystemExit(main())
