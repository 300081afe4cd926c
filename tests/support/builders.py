"""What the tests build: claims, answers, decisions and runs. Nothing is wrong with them unless a test says so."""

import os
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.prefect.api import PrefectSettings
from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.desk.actions.requests import Resolve
from smsretry.desk.questions.senders import SenderRecord
from smsretry.local.business import BODY as BODY
from smsretry.local.business import PHONE as PHONE
from smsretry.retry.answers import BeginAnswer, Finished
from smsretry.retry.decision import AfterSend, Cap, Fail, LookAgain, Retry, Send
from smsretry.retry.models import AssignedSender, Claim, ItemResult, Sighting
from smsretry.retry.outcome import Outcome, Rejected
from smsretry.retry.profile import DEFAULT, Profile
from smsretry.sending.ports import Provider, RetryQueue, Services
from smsretry.sending.run import Run, run_once
from smsretry.settings import variable_names
from smsretry.testing.stack import NOON as NOON
from smsretry.webhooks.settings import WebhookSettings
from tests.support.records import Record

CLOSING = datetime.fromisoformat("2027-01-13T02:00:00+00:00")
"""21:00 in New York, the same day."""
OPENING = datetime.fromisoformat("2027-01-13T13:00:00+00:00")
"""08:00 in New York, the next day."""
SENDER = "MG" + "0" * 32
ACCOUNT = "AC" + "0" * 32
"""The messaging service that texts go out from."""
SID = "SM" + "0123456789abcdef" * 2
AT_ONCE = Profile(opening_spread=timedelta(0))
"""Everything that waits for an opening is due at it."""


def sent_by_hand(twilio: Provider, to: str, body: str) -> Any:
    """A message that somebody sent from the default sender, and not through the queue: as the SDK returns it."""
    assert isinstance(twilio, TwilioProvider)
    return twilio._http.client(None).messages.create(
        to=to, body=body, from_=twilio.default.sent_by
    )


def claim_with(**changes: Any) -> Claim:
    """A claim that may be sent at noon in New York, with the given fields changed."""
    row: Record = {
        "id": UUID(int=1),
        "business_id": UUID(int=9),
        "send_log_id": UUID(int=7),
        "customer_id": UUID(int=8),
        "claim_no": 7,
        "claimed_at": NOON,
        "scheduled_for": NOON - timedelta(minutes=1),
        "attempt_count": 0,
        "max_attempts": 3,
        "in_doubt_since": None,
        "reconcile_count": 0,
        "known_sid": None,
        "log_says_sent": False,
        "held": False,
        "why": None,
        "expires_at": NOON + timedelta(days=3),
        "send_log_found": True,
        "customer_found": True,
        "body": BODY,
        "longest_body": 1600,
        "channel": "sms",
        "phone": PHONE,
        "fingerprint": None,
        "timezone": "America/New_York",
        "business_timezone": "America/New_York",
        "business_hours": None,
        "stopped_states": [],
        "message_class": "marketing",
    }
    return Claim.model_validate(row | changes)


def attempt(**changes: Any) -> Record:
    """A send of our text that began at noon, with the given fields changed."""
    row = {"begun_at": NOON, "phone": PHONE, "body": BODY, "sent_by": SENDER}
    return row | changes


def sighting(
    sid: str = SID,
    *,
    to: str | None = PHONE,
    body: str = BODY,
    created_at: datetime = NOON,
) -> Sighting:
    """Our text in the provider's list."""
    return Sighting(sid=sid, to=to, body=body, created_at=created_at)


def refused(
    code: int, http_status: int = 400, *, retry_after: timedelta | None = None
) -> Rejected:
    """Twilio refused a text with this code."""
    return Rejected(twilio_refusal(code, http_status), retry_after)


def begun(
    answer: Literal[
        "go",
        "claim_lost",
        "data_changed",
        "closed",
        "daily_cap",
        "sender_rate",
        "ended",
    ] = "go",
    *,
    at: datetime = NOON,
    why: str | None = None,
) -> BeginAnswer:
    """What the queue says to a send that asks to begin."""
    return BeginAnswer(answer=answer, why=why, decided_at=at, until=None)


def send(send_before: datetime, *, cap: Cap | None = None) -> Send:
    """The decision to send, if that is still before this moment when the request leaves."""
    return Send(send_before, send_before + timedelta(seconds=10), "test", cap)


def retry() -> Retry:
    """The decision to try again."""
    return Retry(
        "It failed", "refused_for_now", due_in=timedelta(minutes=1), counted=True
    )


def give_up(
    why: str = "It failed", code: int | None = None, *, opted_out: bool = False
) -> Fail:
    """The decision to try no further."""
    return Fail(why, "opted_out" if opted_out else "refused", code, opted_out)


def doubt(
    due_in: timedelta = timedelta(minutes=1), *, why: str = "No answer"
) -> LookAgain:
    """The decision after a send whose fate is unknown."""
    return LookAgain(why, "in_doubt", due_in=due_in)


CONCURRENCY = 10
"""Of the runs of `run_over`."""


def run_over(queue: RetryQueue, provider: Provider, profile: Profile = DEFAULT) -> Run:
    """A run over this queue, not yet begun."""
    return Run(Services(queue, provider, profile, CONCURRENCY))


def results_of(run: Run, *, limit: int = 50) -> list[ItemResult]:
    """Make the run; every row must come to something."""
    results, _ = run_once(run, limit=limit)
    assert all(result.fate != "Error" for result in results), results
    return results


def fates_of(run: Run, *, limit: int = 50) -> list[str]:
    """Make the run; what each row came to."""
    return [result.fate for result in results_of(run, limit=limit)]


def run(queue: RetryQueue, provider: Provider, profile: Profile = DEFAULT) -> list[str]:
    """One whole run; what each row came to."""
    return fates_of(run_over(queue, provider, profile))


def begin(
    queue: RetryQueue,
    claim: Claim,
    attempt_id: UUID | None = None,
    *,
    cap: int | None = None,
) -> BeginAnswer:
    """Let a send begin. The window stays open for an hour after the claim."""
    at = claim.claimed_at
    decision = send(
        at + timedelta(hours=1),
        cap=Cap(cap, "Daily cap") if cap else None,
    )
    return queue.begin(claim, attempt_id or uuid4(), decision)


def finish(
    queue: RetryQueue,
    claim: Claim,
    attempt_id: UUID,
    outcome: Outcome,
    decision: AfterSend,
) -> Finished:
    """Record what became of a send, and where its row goes."""
    return queue.finish(claim, attempt_id, outcome, decision)


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting out of the environment, and what looks like one: CI says with such what its tests require."""
    extra = [name for name in os.environ if name.startswith("SMSRETRY_")]
    for variable in (
        *variable_names(WebhookSettings),
        *variable_names(PrefectSettings),
        *extra,
    ):
        monkeypatch.delenv(variable, raising=False)


def resolution(retry_id: UUID, sid: str | None) -> Resolve:
    """A person's word for a text in doubt: it went out as this message, or with None not at all."""
    return Resolve(
        retry_id=retry_id,
        went_out_as=sid or "nothing",
        who="Ann",
        because="The provider's log says so",
    )


def assigned(number: int, **changes: Any) -> AssignedSender:
    """A business's own sender: the messaging service of this number, in a subaccount of its own."""
    return AssignedSender(
        f"AC{number:032x}", f"MG{number:032x}", UUID(int=number), **changes
    )


def listed(number: int, **values: object) -> SenderRecord:
    """What `sms_senders` says of a sender that is in order, with these columns changed."""
    defaults: dict[str, object] = dict.fromkeys(
        SenderRecord.model_fields
    ) | dict.fromkeys(("due", "waiting", "held"), 0)
    defaults |= {
        "sender_id": UUID(int=number),
        "account": ACCOUNT,
        "sender": f"MG{number}",
        "sent_by": f"MG{number}",
    }
    return SenderRecord.model_validate(
        {**defaults, "day_ends_at": NOON, "businesses": 1, "used_by": (), **values}
    )
