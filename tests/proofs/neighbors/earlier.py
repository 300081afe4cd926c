"""What the package did before a mending, or would do without it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import httpx
from postgrest.exceptions import APIError

from smsretry.adapters.supabase.advice import explain
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.supabase.rows import Rows, read_rows
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueUnreachable
from smsretry.retry.decision import Defer, Fail, GiveBack, Hold, PutOff
from smsretry.retry.models import Claim, Look, SenderId
from smsretry.sending.flow_control import IN_A_ROW, Failures, FlowControl
from smsretry.sending.ports import Batch


def all_or_nothing(kind: type[Claim], answer: list[Mapping[str, Any]]) -> Rows[Claim]:
    """An answer was read as a whole."""
    rows = read_rows(kind, answer)
    rows.foreign.update(*(row.columns for row in rows.unreadable))
    return rows


_claim_texts, _put_off = SupabaseQueue.claim_texts, SupabaseQueue.put_off


def as_the_rows_say_now(self: SupabaseQueue, limit: int, **more: object) -> Batch:
    """Evidence was compared with the rows."""
    batch = _claim_texts(self, limit, **more)  # type: ignore[arg-type]
    texts = [claim.model_copy(update={"sent_to": claim.phone, "sent_body": claim.body}) for claim in batch.texts]
    return Batch(texts, batch.stops, batch.next_in)


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


def whosever_they_are(self: Failures[object], groups: int | None = None) -> bool:
    """Three failures in a row were everybody's trouble."""
    return self.in_a_row >= IN_A_ROW


def nothing(*_: object) -> None:
    """No such step."""
    return


_look_up = TwilioSender.look_up


def in_the_environments_account(self: TwilioSender, phone: str, *, sender: SenderId, **when: datetime) -> Look | None:
    """There was one account."""
    return _look_up(self, phone, sender=SenderId(self.default.account, sender.sent_by), **when)


def the_senders(self: FlowControl, sender: Any, _: Claim, why: str, *, counted: bool = False) -> None:
    """A refusal that may be one destination's was the account's."""
    if not counted:
        self._stop_sender(sender, why)
