"""When a run stops asking what became of messages: about one account's, or about everybody's."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from smsretry.retry.delivery import OpenDelivery
from smsretry.sending.summary import FollowedUp

ENOUGH: Final = 5
"""Looks in a row without an answer that end the asking: about an account, because its credentials may be wrong; about
everybody, if the provider cannot be reached. Looks come in turns, so they are of several businesses if several have one
due."""


class Silence:
    """Which accounts' messages the provider says nothing about: is it theirs, or everybody's?"""

    def __init__(self, main: str | None) -> None:
        self._main = main
        """The account of messages that name none."""
        self._in_a_row = Counter[str]()
        self._last = list[tuple[str, bool]]()
        self._answered = set[str]()

    def note(self, looks: Iterable[FollowedUp]) -> None:
        """Learn from looks, in their order."""
        for look in looks:
            account = self._account_of(look.message)
            if not look.silent:
                self._answered.add(account)
                self._last.clear()
                self._in_a_row[account] = 0
                continue
            self._last.append((account, look.denied))
            self._in_a_row[account] += 1

    def next_of(self, waiting: Sequence[OpenDelivery], most: int) -> tuple[list[OpenDelivery], list[OpenDelivery]]:
        """The next messages to ask about, and those after them. Of an account without an answer they are few at first.

        Those of an account that has said nothing often enough are left out.
        """
        batch, later, taken = list[OpenDelivery](), list[OpenDelivery](), Counter[str]()
        for message in waiting:
            account = self._account_of(message)
            if self._in_a_row[account] >= ENOUGH:
                continue
            if len(batch) < most and (account in self._answered or taken[account] < ENOUGH):
                batch.append(message)
                taken[account] += 1
            else:
                later.append(message)
        return batch, later

    @property
    def answered(self) -> bool:
        """Whether the provider has said what became of some message."""
        return bool(self._answered)

    @property
    def in_a_row(self) -> int:
        """Looks in a row without an answer, whoever's."""
        return len(self._last)

    @property
    def is_everybodys(self) -> bool:
        """Whether the provider cannot be asked at all. What it denies to one account says nothing about others."""
        silent = [account for account, denied in self._last if not denied]
        return len(silent) >= ENOUGH and (not self.answered or len(set(silent)) > 1)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Accounts that have said nothing often enough."""
        return tuple(sorted(account for account, silent in self._in_a_row.items() if silent >= ENOUGH))

    @property
    def without(self) -> tuple[str, ...]:
        """The same, as a claim leaves their messages out."""
        return (*self.accounts, *([""] if (self._main or "") in self.accounts else []))

    def _account_of(self, message: OpenDelivery) -> str:
        return message.account or self._main or ""
