"""`python -m tests.proofs.faults --texts 10000 --seed 1`: the long run, and one table."""

import argparse
import logging
import signal
import sys
from datetime import timedelta

from tests.proofs.faults.scenarios import blind, everything, outage, reported
from tests.proofs.faults.switches import OF_DELIVERIES, SWITCHES
from tests.proofs.town.report import Report


def main() -> int:
    """0 when every promise was kept; with `--without`, when the judge noticed that one was not."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.faults", description=__doc__)
    parser.add_argument("--texts", type=int, default=10_000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kills-at-least", type=int, default=500, metavar="N")
    parser.add_argument("--without", choices=SWITCHES, help="take this away; exit 0 when the judge notices")
    parser.add_argument("--outage", choices=("503", "refused"), help="instead: two hours without Twilio")
    parser.add_argument("--blind-minutes", type=int, metavar="N", help="instead: Twilio's list lags so long")
    parser.add_argument("--scheduled", action="store_true", help="each text is a scheduled send at first")
    parser.add_argument("--delivery", action="store_true", help="Twilio reports what becomes of each message")
    parser.add_argument("--one-sender", action="store_true", help="everybody texts from the environment's sender")
    parser.add_argument("--unwatched", action="store_true", help="instead: only deliveries, and nobody looks in time")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # clean up, as after Ctrl-C
    logging.disable(logging.CRITICAL)  # PostgreSQL going away is news to its pool, and not to us
    report = _run(options)
    sys.stdout.write(report.tell())
    if options.without:
        return 0 if not report.clean else 1
    killed = int(str(report.numbers["workers killed"]))
    enough = options.outage or options.blind_minutes or options.unwatched or killed >= options.kills_at_least
    if not enough:
        sys.stdout.write(f"Only {killed} workers were killed: give more texts\n")
    return 0 if report.clean and enough else 1


def _run(options: argparse.Namespace) -> Report:
    known = {"texts": options.texts, "seed": options.seed}
    if options.outage:
        return outage(**known, refused=options.outage == "refused")
    if options.blind_minutes:
        return blind(**known, lag=timedelta(minutes=options.blind_minutes))
    if options.unwatched or options.without == "asking":  # where pollers look, few messages arrive unnoticed
        return reported(**known, unwatched=True, without=options.without)
    return everything(
        **known,
        kills=options.kills_at_least,
        without=options.without,
        scheduled=options.scheduled,
        delivery=options.delivery or options.without in OF_DELIVERIES,
        senders=not options.one_sender,
    )


if __name__ == "__main__":
    raise SystemExit(main())
