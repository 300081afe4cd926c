"""`python -m tests.proofs.fortnight --texts 2000 --days 14 --seed 1`: the long run, and one table."""

import argparse
import logging
import signal
import sys
from datetime import datetime

from tests.proofs.fortnight.report import AUTUMN, fortnight


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
    report = fortnight(texts=options.texts, days=options.days, seed=options.seed, start=options.start)
    sys.stdout.write(f"{report}\n")
    for kind, lines in report.verdict.found.items():
        for line in lines[:3]:
            sys.stdout.write(f"{kind}: {line}\n")
    return 0 if report.verdict.clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
