"""Workers that die with their claims: by bad luck, or of a row."""

from collections import Counter
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.retry.models import Claim
from tests.proofs.faults.orders import dice
from tests.proofs.neighbors.street import Neighbor, Street


class Killer(Neighbor):
    """Workers that die right after their claim, by bad luck."""

    name = "killed workers"

    def __init__(self, share: float = 0.05, *, every: bool = False) -> None:
        self._share = share
        self._every = every

    def kills(self, street: Street, claims: Sequence[Claim], n: int) -> str | None:
        unlucky = self._every or dice(street.seed, self.name, n) < self._share
        return "bad luck" if claims and n <= street.busy and unlucky else None


class Poison(Neighbor):
    """A row that kills every worker that claims it: too much for its memory, say."""

    name = "poison"
    bad_luck: Final = 2
    """So many of its victims cannot know; from then on it must be alone."""

    def __init__(self) -> None:
        self._ids = frozenset[UUID]()
        self._deaths = Counter[UUID]()

    def move_in(self, street: Street) -> None:
        texts = [
            street.text(self.name, n, 3 + n, may_end=("(pending|processing): .*died", "in doubt: The worker died"))
            for n in range(2)
        ]
        self._ids = frozenset(text.retry_id for text in texts)
        street.move_in(self.name, texts)

    def kills(self, street: Street, claims: Sequence[Claim], n: int) -> str | None:
        deadly = self._ids & {claim.id for claim in claims}
        if not deadly:
            return None
        self._deaths.update(deadly)
        street.counts["workers killed by a row"] += 1
        deaths = min(self._deaths[row] for row in deadly)
        if deaths <= self.bad_luck:
            return "bad luck"
        return "its first time alone" if deaths == self.bad_luck + 1 and len(claims) == 1 else "a row"


class PoisonInDoubt(Neighbor):
    """A text in doubt that kills every worker that looks for it."""

    name = "poison in doubt"

    def __init__(self) -> None:
        self._id = UUID(int=0)
        self._deaths = 0

    def move_in(self, street: Street) -> None:
        text = street.text(self.name, 0, 1, may_end=("in doubt: ",))
        self._id = text.retry_id
        street.stack.twilio.fail(AcceptThenDrop(), to=text.phone)
        street.move_in(self.name, [text])

    def kills(self, street: Street, claims: Sequence[Claim], n: int) -> str | None:
        if not any(claim.id == self._id and claim.in_doubt_since for claim in claims):
            return None
        self._deaths += 1
        street.counts["workers killed by a row in doubt"] += 1
        if self._deaths <= Poison.bad_luck:
            return "bad luck"
        return "its first time alone" if self._deaths == Poison.bad_luck + 1 and len(claims) == 1 else "a row"
