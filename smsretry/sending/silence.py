"""When a run stops asking what became of messages: about one account's, or about everybody's."""

from collections import Counter
from collections.abc import Iterable
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
        self.answered = False
        """Whether the provider has said what became of some message."""

    def note(self, looks: Iterable[FollowedUp]) -> None:
        """Learn from looks, in their order."""
        for look in looks:
            account = self._account_of(look.message)
            if not look.silent:
                self.answered = True
                self._last.clear()
                self._in_a_row[account] = 0
                continue
            self._last.append((account, look.denied))
            self._in_a_row[account] += 1

    def is_known(self, message: OpenDelivery) -> bool:
        """Whether its account has said nothing often enough."""
        return self._in_a_row[self._account_of(message)] >= ENOUGH

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
