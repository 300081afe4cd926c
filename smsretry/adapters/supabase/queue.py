"""The calls of workers, of the application that queues texts, and of a webhook that hears the provider."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import fields
from datetime import timedelta
from typing import Any, Final, get_args
from uuid import UUID

from pydantic import BaseModel

from smsretry.adapters.supabase.advice import QUEUEING, Ending
from smsretry.adapters.supabase.calls import interval
from smsretry.adapters.supabase.columns import (
    after_delivery,
    after_look,
    after_send,
    end,
    no_send,
)
from smsretry.adapters.supabase.groups import SupabaseGroups
from smsretry.adapters.supabase.rows import Unreadable, read_rows
from smsretry.errors import QueueError, QueueSlow
from smsretry.retry.answers import (
    BeginAnswer,
    EarlierRun,
    Finished,
    InterruptedRun,
    Queued,
    Recovered,
    Scheduled,
    ScheduledSend,
)
from smsretry.retry.backoff import next_look_delay
from smsretry.retry.before import CAP_WINDOW, LIFE
from smsretry.retry.decision import (
    AfterLook,
    AfterSend,
    Arrived,
    Fail,
    Hold,
    NoSend,
    Send,
)
from smsretry.retry.delivery import AfterDelivery, DeliveryReport, OpenDelivery
from smsretry.retry.models import AssignedSender, Claim, ItemResult, SenderId
from smsretry.retry.outcome import Outcome
from smsretry.retry.segments import segments
from smsretry.sending.ports import Batch
from smsretry.sending.webhook_events import StatusReport, WebhookEvent
from smsretry.settings import Settings
from smsretry.vocabulary import Followed, Reconciled, StopKind

_ANSWERED: Final = "The provider is answered that it may call again."
_WEBHOOK: Final = Ending(_ANSWERED, _ANSWERED)


class _Claimed(BaseModel):
    """What a claim answers: its rows, and once what concerns them all."""

    texts: list[dict[str, Any]]
    default_sender: AssignedSender | None
    stops: list[tuple[StopKind, str]]
    stopped_states: tuple[str, ...]
    longest_body: int
    next_in: float | None
    slow: UUID | None = None
    refused: str | None = None


class SupabaseQueue(SupabaseGroups):
    """`ports.RetryQueue` over HTTP.

    What several threads ask about their rows at the same time travels together.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._audience: Final = settings.audience
        self._default: Final = AssignedSender(
            settings.default_sender.account, settings.default_sender.sent_by
        )
        self._environment: Final = {
            "account": self._default.account,
            "sender": self._default.sent_by,
        }

    def start_run(
        self, run_id: UUID, stale_minutes: int, earlier: EarlierRun | None = None
    ) -> list[InterruptedRun]:
        whom = {"send_to": self._audience.send_to, "address": self.address}
        values = (
            {"run_id": run_id, "stale_minutes": stale_minutes}
            | whom
            | self._environment
        )
        if earlier:
            remembered = earlier.model_dump(mode="json")
            values |= {"earlier_run": remembered.pop("id"), **remembered}
        return self.rows(InterruptedRun, self.once("start_sms_run", values))

    def finish_run(self, run_id: UUID, summary: str, *, needs_attention: bool) -> None:
        self.repeated(
            "finish_sms_run",
            {"run_id": run_id, "summary": summary, "needs_attention": needs_attention},
        )

    def recover(self, stale_minutes: int) -> list[Recovered]:
        values = {
            "stale_minutes": stale_minutes,
            "look_in": interval(next_look_delay(0)),
            "life": interval(LIFE),
        }
        return self.readable(
            Recovered, self.once("recover_stuck_sms_retries", values)
        ).parsed

    def claim_texts(
        self,
        limit: int,
        *,
        without: Collection[str] = (),
        slow: Collection[UUID] = (),
        suspect: bool = False,
    ) -> Batch:
        excluded = {"without": sorted(without), "slow": sorted(map(str, slow))}
        values = {"limit_count": limit, "suspect": suspect, **excluded}
        return self._claimed("claim_sms_texts", values)[0]

    def claim_one(self, retry_id: UUID) -> Claim | ItemResult | None:
        batch, results = self._claimed("claim_sms_retry", {"retry_id": retry_id})
        claimed: list[Claim | ItemResult] = [*batch.texts, *results]
        return claimed[0] if claimed else None

    def queue(self, **text: object) -> Queued:
        return self.single_row(Queued, self.repeated("queue_sms_retry", text, QUEUEING))

    def schedule(self, **text: object) -> Scheduled:
        return self.single_row(Scheduled, self.repeated("schedule_sms", text, QUEUEING))

    def queue_scheduled(
        self, limit: int, ahead: timedelta, *, without: Collection[UUID] = ()
    ) -> list[ScheduledSend]:
        values = {
            "limit_count": limit,
            "ahead": interval(ahead),
            "life": interval(LIFE),
            "without": sorted(without),
        }
        # Repeated where no answer came: what is queued already is not found again.
        return self.readable(
            ScheduledSend, self.repeated("queue_scheduled_sms", values)
        ).parsed

    def begin(
        self,
        claim: Claim,
        attempt_id: UUID,
        decision: Send,
        *,
        first_send: bool = False,
        run_id: UUID | None = None,
        answer_seconds: float = 0.0,
    ) -> BeginAnswer:
        values = {
            "attempt_id": attempt_id,
            "send_before": decision.send_before,
            "quiet_hours_rule": decision.rule,
            "first_send": first_send,
            "cap": decision.cap.texts if decision.cap else None,
            "cap_window": interval(CAP_WINDOW) if decision.cap else None,
            "sent_by": claim.sender.sent_by,
            "sent_account": claim.sender.account,
            "segments": segments(claim.body or ""),
            "answer_seconds": answer_seconds,
            "fingerprint": claim.fingerprint,
            "life": interval(LIFE),
            "expires_at": claim.expires_at,
            "run_id": run_id,
            "send_to": self._audience.send_to,
            "listed": self._audience.includes(claim.phone),
            "address": self.address,
        }
        # The customer may stay locked for long, so the row waits for the next run, and the worker does not.
        return self.single_row(
            BeginAnswer,
            self.about(claim, "begin_sms_attempt", values, leave_if_busy=True),
        )

    def finish(
        self, claim: Claim, attempt_id: UUID, outcome: Outcome, decision: AfterSend
    ) -> Finished:
        self._mark(attempt_id, decision)
        values = {"attempt_id": attempt_id, **after_send(outcome, decision)}
        return self.single_row(
            Finished, self.about(claim, "finish_sms_attempt", values)
        )

    def act_on(self, claim: Claim, decision: NoSend) -> bool:
        function, values = no_send(claim, decision)
        is_ours: bool = self.word(self.about(claim, function, values), (True, False))
        if is_ours and isinstance(decision, Arrived):
            # The report completes a row that waits.
            self.repeated(
                "settle_sms_attempt",
                {"twilio_sid": decision.sid, "delivery_status": decision.status},
            )
        return is_ours

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        fence = {"retry_id": claim.id, "claim_no": claim.claim_no}
        reply = self.repeated("reconcile_sms_retry", fence | after_look(decision))
        word: Reconciled = self.word(reply, get_args(Reconciled))
        return word

    def claim_deliveries(
        self, limit: int, *, without: Collection[str] = ()
    ) -> list[OpenDelivery]:
        values = {"limit_count": limit, "without": sorted(without)}
        return self.readable(
            OpenDelivery, self.once("claim_sms_deliveries", values)
        ).parsed

    def follow(
        self, message: OpenDelivery, report: DeliveryReport, decision: AfterDelivery
    ) -> Followed:
        self._mark(message.attempt_id, decision)
        fence = {"attempt_id": message.attempt_id, "looks": message.looks}
        reply = self.repeated(
            "finish_sms_delivery", fence | after_delivery(report, decision)
        )
        word: Followed = self.word(reply, get_args(Followed))
        return word

    def record(self, event: WebhookEvent) -> None:
        """Record what the provider told of its own accord. It may come late, twice and in any order.

        Raises:
            QueueError: it was not recorded, or nobody knows; `errors` says which kinds there are.
            InputError: the database will never take it.
        """
        function = (
            "settle_sms_attempt"
            if isinstance(event, StatusReport)
            else "record_inbound_sms"
        )
        values = {
            event_field.name: getattr(event, event_field.name)
            for event_field in fields(event)
        }
        # The provider waits for an answer: what took too long once is not tried again.
        self.repeated(function, values, _WEBHOOK, but_for=(QueueSlow,))

    def set_stop(self, kind: StopKind, subject: str, reason: str | None) -> None:
        self.repeated("set_sms_stop", {"kind": kind, "subject": subject, "why": reason})

    def slow_down(self, sender: SenderId, seconds: float) -> None:
        self.repeated(
            "slow_sms_sender",
            {"account": sender.account, "sender": sender.sent_by, "seconds": seconds},
        )

    def _mark(self, attempt_id: UUID, decision: AfterSend | AfterDelivery) -> None:
        """Tell what a refusal says of its number, before the outcome: if either is lost, the text is looked for."""
        if isinstance(decision, Fail) and (decision.opted_out or decision.phone_status):
            says = {
                "opted_out": decision.opted_out,
                "phone_status": decision.phone_status,
                "error_code": decision.code,
            }
            self.repeated("mark_sms_number", {"attempt_id": attempt_id, **says})

    def _claimed(
        self, function: str, values: Mapping[str, object]
    ) -> tuple[Batch, list[ItemResult]]:
        """Call a function that claims rows: those that can be read, and what became of each of the others.

        Raises:
            QueueError: columns are missing. Then code and database are of different versions, which is no row's
                fault, so all claims are given back.
        """
        claimed = self.single_row(
            _Claimed, self.once(function, {**values, **self._environment})
        )
        for_all = {
            "stopped_states": claimed.stopped_states,
            "longest_body": claimed.longest_body,
        }
        default_sender = claimed.default_sender or self._default
        rows = read_rows(
            Claim,
            [
                row | for_all | {"sender": row.get("sender") or default_sender}
                for row in claimed.texts
            ],
        )
        if rows.foreign:
            for row in rows.raw:
                self._give_back(row)
            raise self.mismatch(function, rows.foreign)
        results = [self._put_aside(unreadable) for unreadable in rows.unreadable]
        batch = Batch(
            rows.parsed, claimed.stops, claimed.next_in, claimed.slow, claimed.refused
        )
        return batch, results

    def _put_aside(self, unreadable: Unreadable) -> ItemResult:
        row, fence = unreadable.row["id"], _fence(unreadable.row)
        try:
            if unreadable.row["in_doubt_since"] is None:
                self.repeated(
                    "end_sms_retry", fence | end(Fail(unreadable.problem, "bad_row"))
                )
                return ItemResult(
                    retry_id=row,
                    fate="Failed",
                    detail=unreadable.problem,
                    why_code="bad_row",
                )
            # It may have gone out: nobody may call it failed but a person.
            detail = f"In doubt. {unreadable.problem}. Mend it, or say whether it went out: `smsretry texts resolve`"
            self.repeated(
                "reconcile_sms_retry", fence | after_look(Hold(detail, "bad_row"))
            )
            return ItemResult(
                retry_id=row, fate="Held", detail=detail, why_code="bad_row"
            )
        except (
            QueueError
        ):  # then recovery takes it back, and later on it is claimed alone
            detail = f"{unreadable.problem}. That could not be recorded yet"
            return ItemResult(
                retry_id=row, fate="GivenBack", detail=detail, why_code="bad_row"
            )

    def _give_back(self, row: Mapping[str, Any]) -> None:
        until = row.get("scheduled_for") or row.get("claimed_at")
        if until is None or not row.keys() >= {"id", "claim_no"}:
            return  # recovery takes it back
        with suppress(QueueError):  # likewise
            explanation = {column: row.get(column) for column in ("why", "why_code")}
            self.repeated(
                "defer_sms_retry", _fence(row) | {"until": until, **explanation}
            )


def _fence(row: Mapping[str, Any]) -> dict[str, object]:
    return {"retry_id": row["id"], "claim_no": row["claim_no"]}
