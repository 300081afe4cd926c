"""May this text's send begin now? What is known of its sender and of the database decides."""

from typing import Final

from smsretry.retry import trouble
from smsretry.retry.decision import GiveBack, PutOff
from smsretry.retry.models import Claim
from smsretry.sending.breaker import Breaker
from smsretry.sending.database_trouble import DatabaseTrouble

_PROBING: Final = "Sending had stopped: another text goes first, to see whether it works again"


class Admission:
    """Of one run. The flow control holds its lock around every call."""

    def __init__(self, breaker: Breaker, database: DatabaseTrouble) -> None:
        self._breaker = breaker
        self._database = database

    def put_off(self, claim: Claim) -> PutOff | None:
        """Where the text waits because of its own business's trouble, so that others' go on."""
        if put_off := self._database.put_off(claim):
            return put_off
        why = self._breaker.reason_to_wait(claim)
        return trouble.suspected(claim, why) if why else None

    def put_off_for_probe(self, claim: Claim) -> PutOff | None:
        """Where the text waits because another one is the probe."""
        breaker = self._breaker
        if breaker.half_open and not breaker.probes.is_best(claim):
            # Given back, it would fill the claim that is to bring others.
            return trouble.suspected(claim, _PROBING, "sending_stopped")
        if breaker.half_open and not breaker.probes.has_room(breaker.under_way):
            return GiveBack(_PROBING, "sending_stopped")
        return None

    def must_wait(self, claim: Claim) -> bool:
        """Whether it may be a later probe, or one of the first. Else it would keep a thread from one that may go."""
        breaker = self._breaker
        if breaker.reason_to_wait(claim):
            return False
        if not breaker.half_open:
            return breaker.has_enough_under_way(claim.business_id)
        if breaker.probes.is_best(claim):
            return not breaker.probes.has_room(breaker.under_way)
        # When the breaker was open, whoever is to go before it was claimed before it, and has a thread of its own.
        return breaker.probes.was_open and not breaker.sends.is_failing(claim.business_id)
