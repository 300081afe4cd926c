"""The calls of workers, of the application that queues texts, and of a webhook that hears the provider."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final, get_args
from uuid import UUID

from pydantic import BaseModel

from smsretry.adapters.supabase.advice import REPEAT_QUEUEING, NextStep
from smsretry.adapters.supabase.columns import (
    after_delivery_arguments,
    after_look_arguments,
    after_send_arguments,
    end_arguments,
    fence,
    no_send_call,
)
from smsretry.adapters.supabase.groups import SupabaseGroups
from smsretry.adapters.supabase.reply import UnreadableRow, read_rows
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
from smsretry.retry.doubt import next_look_delay
from smsretry.retry.models import AssignedSender, Claim, ItemResult, SenderId
from smsretry.retry.outcome import Outcome
from smsretry.retry.segments import segments
from smsretry.sending.ports import Batch
from smsretry.sending.webhook_events import StatusReport, WebhookEvent
from smsretry.settings import Settings
from smsretry.vocabulary import Fate, Followed, Reconciled, StopKind

_WEBHOOK: Final = NextStep("The provider is answered that it may call again.")


class _ClaimAnswer(BaseModel):
    """The answer to a claim: its rows, and once what concerns them all."""

    texts: list[dict[str, Any]]
    default_sender: AssignedSender | None
    stops: list[tuple[StopKind, str]]
    stopped_states: tuple[str, ...]
    longest_body: int
    next_in: float | None
    """Seconds until something else is due. `Batch` says more of this and the following."""
    slow: UUID | None = None
    refused: str | None = None


class SupabaseQueue(SupabaseGroups):
    """`ports.RetryQueue` over HTTP. Calls about claimed rows travel in groups; every other call travels alone."""

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
        self,
        run_id: UUID,
        stale_minutes: int,
        earlier: Sequence[EarlierRun] = (),
    ) -> list[InterruptedRun]:
        arguments = {
            "run_id": run_id,
            "stale_minutes": stale_minutes,
            "send_to": self._audience.send_to,
            "address": self.address,
            "earlier": earlier,
            **self._environment,
        }
        return self.call_once("start_sms_run", arguments).rows(InterruptedRun)

    def finish_run(self, run_id: UUID, summary: str, *, needs_attention: bool) -> None:
        self.call_until_answered(
            "finish_sms_run",
            {"run_id": run_id, "summary": summary, "needs_attention": needs_attention},
        )

    def recover(self, stale_minutes: int) -> list[Recovered]:
        arguments = {
            "stale_minutes": stale_minutes,
            "due_in": next_look_delay(0),
            "life": LIFE,
        }
        reply = self.call_once("recover_stuck_sms_retries", arguments)
        return reply.each_row(Recovered).parsed

    def claim_texts(
        self,
        limit: int,
        *,
        room: Mapping[str, int] = MappingProxyType({}),
        slow: Collection[UUID] = (),
        suspect: bool = False,
    ) -> Batch:
        arguments = {
            "limit_count": limit,
            "suspect": suspect,
            "room": dict(room),
            "slow": slow,
        }
        # The rows themselves, and the desk, say what became of those that cannot be read.
        batch, _ = self._claim("claim_sms_texts", arguments)
        return batch

    def claim_one(self, retry_id: UUID) -> Claim | ItemResult | None:
        batch, unreadable = self._claim("claim_sms_retry", {"retry_id": retry_id})
        if batch.texts:
            return batch.texts[0]
        return unreadable[0] if unreadable else None

    def queue(self, **text: object) -> Queued:
        reply = self.call_until_answered("queue_sms_retry", text, REPEAT_QUEUEING)
        return reply.row(Queued)

    def schedule(self, **text: object) -> Scheduled:
        reply = self.call_until_answered("schedule_sms", text, REPEAT_QUEUEING)
        return reply.row(Scheduled)

    def queue_scheduled(
        self, limit: int, ahead: timedelta, *, without: Collection[UUID] = ()
    ) -> list[ScheduledSend]:
        arguments = {
            "limit_count": limit,
            "ahead": ahead,
            "life": LIFE,
            "without": without,
        }
        # It may be repeated, because it does not find again what is queued already.
        reply = self.call_until_answered("queue_scheduled_sms", arguments)
        return reply.each_row(ScheduledSend).parsed

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
        arguments = {
            "attempt_id": attempt_id,
            "send_before": decision.send_before,
            "quiet_hours_rule": decision.rule,
            "first_send": first_send,
            "cap": decision.cap.texts if decision.cap else None,
            "cap_window": CAP_WINDOW if decision.cap else None,
            "sent_by": claim.sender.sent_by,
            "sent_account": claim.sender.account,
            "segments": segments(claim.body or ""),
            "answer_seconds": answer_seconds,
            "fingerprint": claim.fingerprint,
            "life": LIFE,
            "expires_at": claim.expires_at,
            "run_id": run_id,
            "send_to": self._audience.send_to,
            "listed": self._audience.includes(claim.phone),
            "address": self.address,
        }
        # The customer may stay locked for long, so the row waits for the next run, and the worker does not.
        reply = self.call_for_claim(
            claim, "begin_sms_attempt", arguments, leave_if_busy=True
        )
        return reply.row(BeginAnswer)

    def finish(
        self, claim: Claim, attempt_id: UUID, outcome: Outcome, decision: AfterSend
    ) -> Finished:
        self._note_number(attempt_id, decision)
        arguments = {
            "attempt_id": attempt_id,
            **after_send_arguments(outcome, decision),
        }
        return self.call_for_claim(claim, "finish_sms_attempt", arguments).row(Finished)

    def act_on(self, claim: Claim, decision: NoSend) -> bool:
        function, arguments = no_send_call(claim, decision)
        is_ours = self.call_for_claim(claim, function, arguments).value((True, False))
        if is_ours and isinstance(decision, Arrived):
            # The report completes a row that waits.
            self.call_until_answered(
                "settle_sms_attempt",
                {"twilio_sid": decision.sid, "delivery_status": decision.status},
            )
        return is_ours

    def reconcile(self, claim: Claim, decision: AfterLook) -> Reconciled:
        arguments = fence(claim.id, claim.claim_no) | after_look_arguments(decision)
        reply = self.call_until_answered("reconcile_sms_retry", arguments)
        reconciled: Reconciled = reply.value(get_args(Reconciled))
        return reconciled

    def claim_deliveries(
        self, limit: int, *, without: Collection[str] = ()
    ) -> list[OpenDelivery]:
        arguments = {"limit_count": limit, "without": without}
        reply = self.call_once("claim_sms_deliveries", arguments)
        return reply.each_row(OpenDelivery).parsed

    def follow(
        self, message: OpenDelivery, report: DeliveryReport, decision: AfterDelivery
    ) -> Followed:
        self._note_number(message.attempt_id, decision)
        arguments = {
            "attempt_id": message.attempt_id,
            "asks": message.asks,
            **after_delivery_arguments(report, decision),
        }
        reply = self.call_until_answered("finish_sms_delivery", arguments)
        followed: Followed = reply.value(get_args(Followed))
        return followed

    def record(self, event: WebhookEvent) -> None:
        """Record what the provider told of its own accord. It may come late, twice and in any order.

        Raises:
            QueueError: it was not recorded, or nobody knows; `errors` says which kinds there are.
            InputError: the database will never take it.
        """
        function = "record_inbound_sms"
        if isinstance(event, StatusReport):
            function = "settle_sms_attempt"
        # The provider waits for an answer: what took too long once is not tried again.
        self.call_until_answered(
            function, asdict(event), _WEBHOOK, give_up_on=(QueueSlow,)
        )

    def set_stop(self, kind: StopKind, subject: str, reason: str | None) -> None:
        self.call_until_answered(
            "set_sms_stop", {"kind": kind, "subject": subject, "why": reason}
        )

    def slow_down(self, sender: SenderId, seconds: float) -> None:
        self.call_until_answered(
            "slow_sms_sender",
            {"account": sender.account, "sender": sender.sent_by, "seconds": seconds},
        )

    def _note_number(
        self, attempt_id: UUID, decision: AfterSend | AfterDelivery
    ) -> None:
        """Record what a refusal says of its number. This precedes the outcome: if either is lost, the text is looked
        for.
        """
        if isinstance(decision, Fail) and (decision.opted_out or decision.phone_status):
            self.call_until_answered(
                "note_sms_number",
                {
                    "attempt_id": attempt_id,
                    "opted_out": decision.opted_out,
                    "phone_status": decision.phone_status,
                    "error_code": decision.code,
                },
            )

    def _claim(
        self, function: str, arguments: Mapping[str, object]
    ) -> tuple[Batch, list[ItemResult]]:
        """Claim rows: a batch of those that can be read, and a result for each other row.

        Raises:
            QueueError: columns are missing. Then code and database are of different versions, which is no row's
                fault, so all claims are given back.
        """
        reply = self.call_once(function, {**arguments, **self._environment})
        answer = reply.row(_ClaimAnswer)
        default_sender = answer.default_sender or self._default
        rows = read_rows(
            Claim,
            [
                {
                    **row,
                    "sender": row.get("sender") or default_sender,
                    "stopped_states": answer.stopped_states,
                    "longest_body": answer.longest_body,
                }
                for row in answer.texts
            ],
        )
        if rows.foreign_columns:
            for row in rows.raw:
                self._give_back(row)
            raise reply.columns_error(rows.foreign_columns)
        results = [self._put_aside(unreadable) for unreadable in rows.unreadable]
        batch = Batch(
            texts=rows.parsed,
            stops=answer.stops,
            next_in=answer.next_in,
            slow=answer.slow,
            refused=answer.refused,
        )
        return batch, results

    def _put_aside(self, unreadable: UnreadableRow) -> ItemResult:
        """End a row that cannot be read. One in doubt may have gone out, so it waits for a person's word."""
        row, problem = unreadable.row, unreadable.problem
        if row["in_doubt_since"] is None:
            end = Fail(problem, "bad_row")
            decision: Fail | Hold = end
            function, arguments = "end_sms_retry", end_arguments(end)
        else:
            why = f"In doubt. {problem}. Mend it, or say whether it went out: `smsretry texts resolve`"
            decision = hold = Hold(why, "bad_row")
            function, arguments = "reconcile_sms_retry", after_look_arguments(hold)
        fate: Fate = decision.fate
        why = decision.why
        try:
            self.call_until_answered(
                function, fence(row["id"], row["claim_no"]) | arguments
            )
        except QueueError:
            # Recovery takes it back. Later on it is claimed alone.
            fate, why = "GivenBack", f"{problem}. That could not be recorded yet"
        return ItemResult(
            retry_id=row["id"],
            fate=fate,
            why=why,
            why_code="bad_row",
        )

    def _give_back(self, row: Mapping[str, Any]) -> None:
        """Give a claim back. Where that is impossible, recovery takes the row back."""
        due_at = row.get("scheduled_for") or row.get("claimed_at")
        if due_at is None or not row.keys() >= {"id", "claim_no"}:
            return
        with suppress(QueueError):
            self.call_until_answered(
                "defer_sms_retry",
                {
                    **fence(row["id"], row["claim_no"]),
                    "due_at": due_at,
                    "why": row.get("why"),
                    "why_code": row.get("why_code"),
                },
            )
