"""Every zone × every change of its clocks in 2000–2037 ± 2 days × every state's hours, against the clocks on the wall.

Zones with the same rules are asked once, states with the same hours too; each minute of the wall is read.

--every: minutes between questions. --zone: this one alone.
"""

import hashlib
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib.resources import files

from smsretry import data
from tests.proofs.oracles.clocks import STATES, ZONE_STATES, transitions
from tests.support.options import parser
from tests.unit.test_quiet_hours_oracle import compared


def distinct_zones() -> list[str]:
    """One name of each set of rules, a state's own name kept apart."""
    names: dict[str, str] = {}
    for name in sorted(data.zone_names()):
        rules = files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
        names.setdefault(
            hashlib.sha256(rules).hexdigest() + ZONE_STATES.get(name, ""), name
        )
    return list(names.values())


def distinct_states() -> list[str]:
    """One state of each set of hours; a state with holidays is its own."""
    return list(
        {
            str(hours) + (state if hours[3] else ""): state
            for state, hours in reversed(STATES.items())
        }.values()
    )


def compare(zone: str, step: int, years: range) -> tuple[int, int, list[str]]:
    """Changes of clocks, instants asked about, and the mismatches."""
    moments = transitions(zone, years)
    answers = [
        answer
        for moment in moments  # each wall around it is read once
        for state in distinct_states()
        for answer in compared(zone, state, [moment], step=step)
    ]
    return len(moments), len(answers), [answer for answer in answers if answer]


def main() -> None:
    """Print how much was compared, and every mismatch."""
    chosen = {"every": 60, "first_year": 2000, "last_year": 2037, "zone": ""}
    options = parser(__doc__, **chosen).parse_args()
    years = range(options.first_year, options.last_year + 1)
    zones, began = (
        [options.zone] if options.zone else distinct_zones(),
        time.perf_counter(),
    )
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        results = list(
            pool.map(
                partial(compare, step=options.every, years=years),
                zones,
            )
        )
    wrong = [line for result in results for line in result[2]]
    changes = sum(result[0] for result in results)
    compared = sum(result[1] for result in results)
    print(*wrong[:20], sep="\n")
    print(
        f"{len(zones)} zones, {changes:,} changes of clocks, {len(distinct_states())} sets of hours"
    )
    print(
        f"{compared:,} instants compared, {len(wrong)} mismatches in {time.perf_counter() - began:.0f} s"
    )
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
