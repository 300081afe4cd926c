"""What the package did before a mending, or would do without it."""

from datetime import datetime

import httpx
from postgrest.exceptions import APIError

from smsretry.adapters.supabase.advice import explain
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueUnreachable
from smsretry.retry.decision import Defer, Fail, GiveBack, Hold, PutOff
from smsretry.retry.models import Claim, Look, SenderId
from smsretry.sending.breaker import Breaker
from smsretry.sending.senders import Senders
from smsretry.sending.tally import IN_A_ROW


def all_or_nothing(self: SupabaseQueue, function: str, values: dict[str, object]) -> list[Claim]:
    """An answer was read as a whole."""
    return self.rows(Claim, function, values)


_claim_doubtful, _put_off = SupabaseQueue.claim_doubtful, SupabaseQueue.put_off


def as_the_rows_say_now(self: SupabaseQueue, limit: int) -> list[Claim]:
    """Evidence was compared with the rows."""
    found = _claim_doubtful(self, limit)
    return [claim.model_copy(update={"sent_to": claim.phone, "sent_body": claim.body}) for claim in found]


def keep(self: SupabaseQueue, claim: Claim, decision: PutOff) -> bool:
    """What could not begin was kept."""
    kept = isinstance(decision, GiveBack) or (isinstance(decision, Defer) and not decision.for_window)
    return kept or _put_off(self, claim, decision)


def fail(self: SupabaseQueue, claim: Claim, decision: PutOff) -> bool:
    """What a person can mend failed."""
    return _put_off(self, claim, Fail(decision.why, decision.why_code) if isinstance(decision, Hold) else decision)


def read_at_once(self: SupabaseCalls, function: str, values: dict[str, object]) -> object:
    """Two kinds of exception were known."""
    try:
        return self._client.rpc(function, dict(values)).execute().data
    except httpx.TransportError:
        raise QueueUnreachable(f"Supabase did not answer {function}") from None
    except APIError as error:
        raise explain(function, error, url=self._url) from None


def ten_businesses(self: Breaker) -> bool:
    """Ten businesses' refusals were the account's."""
    return len(self._refusals.businesses) >= 10


def whosever_they_are(self: Breaker, claim: Claim, why: str) -> None:
    """Three failures in a row were everybody's trouble, and one of a probe."""
    self.sends.failed(claim)
    if self.probes.half_open or self.sends.in_a_row >= IN_A_ROW:
        self.open(why)


def nothing(*_: object) -> None:
    """No such step."""
    return


def always(*_: object) -> bool:
    """No such question."""
    return True


def all_of_them(_self: SupabaseCalls, wanted: int) -> int:
    """An answer was taken to hold whatever was claimed."""
    return wanted


_look_up = TwilioSender.look_up


def in_the_environments_account(self: TwilioSender, phone: str, *, sender: SenderId, **when: datetime) -> Look | None:
    """There was one account."""
    return _look_up(self, phone, sender=SenderId(self.default.account, sender.sent_by), **when)


def one_for_all(self: Senders, claim: Claim) -> str:
    """There was one sender."""
    return self.default.sent_by or ""
