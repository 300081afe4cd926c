"""`python -m tests.proofs.interleavings --depth 3`: everything that may happen next, and next, around each stage."""

import argparse
import sys

from tests.proofs.interleavings.explore import explore
from tests.proofs.interleavings.stages import STAGES
from tests.support.builders import NOON
from tests.support.stacks import running_stack


def main() -> int:
    """0 when nothing broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.proofs.interleavings", description=__doc__)
    parser.add_argument("--depth", type=int, default=3, help="steps after a stage")
    parser.add_argument("--states", type=int, default=1_000_000, help="the most")
    parser.add_argument("--stage", choices=STAGES, help="around this one alone")
    options = parser.parse_args()
    stages = [STAGES[options.stage]] if options.stage else list(STAGES.values())
    with running_stack() as stack:
        report = explore(stack, NOON, depth=options.depth, stages=stages, states=options.states)
    sys.stdout.write(f"{report}\n")
    return bool(report.violations)


if __name__ == "__main__":
    sys.exit(main())
