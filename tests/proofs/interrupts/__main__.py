"""Ctrl-C at random moments of `demo` and `up`, in one table: `python -m tests.proofs.interrupts --times 9 --seed 1`."""

import argparse
import sys

from tests.proofs.interrupts.tries import aimed, plans, run


def main() -> int:
    """0 when nothing was left, lost or thrown; with `--without`, when something was left running."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.interrupts", description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument(
        "--without", choices=("mending",), help="nobody guards, and Ctrl-C interrupts anywhere; exit 0 when it is seen"
    )
    options = parser.parse_args()
    choose = aimed if options.without else plans
    report = run(choose(options.times, seed=options.seed), jobs=options.jobs, mended=not options.without)
    sys.stdout.write(report.tell())
    return int(not report.verdict["left running"] if options.without else not report.clean)


if __name__ == "__main__":
    raise SystemExit(main())
