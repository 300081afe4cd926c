"""The whole street, and one table."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from smsretry.local.stack import Stack
from tests.proofs.neighbors.checks import KINDS, End, Verdict, judge
from tests.proofs.neighbors.deaths import Killer, Poison, PoisonInDoubt
from tests.proofs.neighbors.midflight import Changer, Editor, Twin
from tests.proofs.neighbors.odd import Odd
from tests.proofs.neighbors.platform import platform
from tests.proofs.neighbors.slow import slow
from tests.proofs.neighbors.stoppers import OwnWords, Tomorrow
from tests.proofs.neighbors.street import LIMIT, TIMEOUT_SECONDS, Neighbor, Street, live
from tests.proofs.neighbors.tenants import Flood, Refused, Settings, TwoRows, WellBehaved
from tests.proofs.neighbors.texts import WELL_BEHAVED
from tests.proofs.neighbors.troubles import Grants, Locker, LostAnswers, OldProcessor, Unreadable
from tests.proofs.neighbors.turns import Backlog, ScheduledFlood


@dataclass(frozen=True, slots=True)
class Report:
    """What was done, how it ended for whom, and what the checks say."""

    numbers: dict[str, object]
    ends: list[End]
    verdict: Verdict

    def __str__(self) -> str:
        rule = "─" * 60
        lines = [f"{name:<44}{value!s:>16}" for name, value in self.numbers.items()]
        found = [f"{kind:<44}{self.verdict[kind]:>16}" for kind in KINDS]
        return "\n".join([rule, *lines, rule, *self._owners(), rule, *found, rule])

    def _owners(self) -> list[str]:
        owners: dict[str, Counter[str]] = {}
        for end in self.ends:
            owners.setdefault(end.text.owner, Counter())[end.state.partition(":")[0]] += 1
        return [
            f"{owner:<32}" + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            for owner, states in owners.items()
        ]


def everybody(texts: int) -> list[Neighbor]:
    """All the neighbors there are."""
    return [
        WellBehaved(texts), Odd(), Flood(texts // 2), Refused(), Changer(), Settings(), TwoRows(), Twin(), Editor(),
        Locker(minutes=2), Grants(minutes=4), LostAnswers(), Killer(), Poison(), PoisonInDoubt(), Unreadable(),
        OldProcessor(), OwnWords(), Tomorrow(), *slow(), Backlog(1 + texts // 100),
        ScheduledFlood(60 + texts // 2), *platform(),
    ]  # fmt: skip


def run(
    stack: Stack,
    neighbors: Sequence[Neighbor],
    *,
    minutes: int,
    seed: str,
    stale: int = 10,
    timeout_seconds: float = TIMEOUT_SECONDS,
    limit: int = LIMIT,
) -> Report:
    """On an empty stack: let the time go by, then judge."""
    street = live(
        stack, neighbors, minutes=minutes, seed=seed, stale=stale, timeout_seconds=timeout_seconds, limit=limit
    )
    verdict, ends = judge(street)
    street.connection.close()
    return Report(_numbers(street), ends, verdict)


def _numbers(street: Street) -> dict[str, object]:
    good = sum(text.owner == WELL_BEHAVED for text in street.texts)
    return {
        "well-behaved texts": good,
        "other texts": len(street.texts) - good,
        "simulated minutes": street.minutes,
        "minutes in which nobody could be sent to": sum((b - a).seconds // 60 for a, b in street.outages),
        "well-behaved texts that met a lost claim": sum(t.good and t.retry_id in street.excused for t in street.texts),
        **dict(sorted(street.counts.items())),
        "Twilio messages": len(street.stack.twilio.ledger.entries()),
        "took, s": round(street.seconds),
    }
