"""`python -m tests.proofs.fortnight --texts 2000 --days 14 --seed 1`: the long run, and one table."""

import argparse
import logging
import signal
import sys
from datetime import datetime

from tests.proofs.fortnight.people import invent
from tests.proofs.fortnight.report import AUTUMN, fortnight
from tests.support.stacks import running_stack


def main() -> int:
    """0 when every promise was kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.fortnight", description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--start", type=datetime.fromisoformat, default=AUTUMN, help="with offset; default %(default)s")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, as after Ctrl-C
    logging.disable(logging.CRITICAL)  # a connection that Twilio drops is news to urllib3, and not to us
    with running_stack() as stack:
        report = fortnight(stack, invent(options.texts, days=options.days, start=options.start, seed=options.seed))
    sys.stdout.write(report.tell())
    return int(not report.clean)


if __name__ == "__main__":
    raise SystemExit(main())
