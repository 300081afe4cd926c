"""The circuit breaker of the provider, over the senders of all accounts: is it everybody's trouble?

One sender's trouble is its own, whatever it is. Only requests that reach nobody or get no clear answer count here: a
refusal proves that the provider is there. It takes several of them in a row, from several senders; then texts of other
accounts are tried first. With one sender, that one's own breaker decides.
"""

from collections.abc import Callable
from typing import Final

from smsretry.retry.decision import Defer, GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.sending.circuit import Circuit
from smsretry.sending.in_flight import InFlight
from smsretry.sending.tally import IN_A_ROW

SEVERAL_SENDERS: Final = 2
"""Senders whose requests must fail, with no answer to anybody in between, before it may be the provider's trouble."""


class Outage(Circuit[str]):
    """One per run. The flow controls hold their lock around every call."""

    def __init__(
        self, in_flight: InFlight, sender_of: Callable[[Claim], str], account_of: Callable[[Claim], str]
    ) -> None:
        super().__init__(in_flight, sender_of, comes_last=lambda claim: account_of(claim) in self._failing_accounts)
        self._account_of = account_of
        self._failing_accounts = set[str]()
        """Since the last answer to anybody."""
        self._has_news = False
        """Whether a sender fails that was not known to: what is known of some senders is theirs alone."""

    def put_off_for_probe(self, claim: Claim) -> PutOff | None:
        """Where the text waits because another one is the probe; None: it need not wait."""
        put_off = super().put_off_for_probe(claim)
        if isinstance(put_off, Defer) and not self.sends.is_failing(claim):
            return GiveBack(put_off.why, put_off.why_code)  # an innocent's loses no time
        return put_off

    @property
    def holds_everybody_up(self) -> bool:
        """Whether nobody's text may go now, but the probe."""
        return self.probes.half_open or self._all_have_enough

    def _has_enough_under_way(self, claim: Claim) -> bool:
        """Until somebody was answered, one sender takes no more than its share of what may be lost."""
        under_way = len(self._under_way[self.sends.group(claim)])
        others_wait = not self.sends.successful and under_way >= IN_A_ROW and len(self.sends.innocents) > 1
        return others_wait or super()._has_enough_under_way(claim)

    def succeeded(self, claim: Claim) -> None:
        """The provider has answered."""
        super().succeeded(claim)
        self._failing_accounts.clear()
        self._has_news = False

    def failed(self, claim: Claim, why: str) -> None:
        """The provider could not be reached, or gave no clear answer."""
        self._failing_accounts.add(self._account_of(claim))
        self._has_news = self._has_news or claim.circuit_opened_at is None
        super().failed(claim, why)

    @property
    def _have_several_failed(self) -> bool:
        return super()._have_several_failed and len(self.sends.failing) >= SEVERAL_SENDERS

    @property
    def _is_everybodys(self) -> bool:
        """Whether innocents were tried and failed, too. What was known of some senders stays theirs."""
        return self.probes.all_failed or (self._nobody_is_innocent and (self._has_news or self.probes.was_open))
