"""The queue's SQL functions, called through Supabase (`rpc`, nothing else).

A claim is never repeated: if its answer is lost its rows come back by recovery, untouched. Calls about a claimed row
are repeated when no answer came, which their SQL allows. Errors name the function and PostgREST's code, never a
value: a database's messages quote rows.
"""

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeVar, cast, get_args
from uuid import UUID

import httpx
from postgrest.exceptions import APIError
from pydantic import BaseModel, ValidationError
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from smsretry.adapters.supabase.schemas import api_functions
from smsretry.errors import InputError, QueueMismatch, QueueRefused, QueueUnreachable, SmsRetryError
from smsretry.retry.models import (
    Begun,
    Claim,
    ConsentRecorded,
    Finding,
    Finished,
    Queued,
    Recovered,
)
from smsretry.settings import Settings
from smsretry.words import MessageClass, NextStatus, OutcomeName, Reason, Reconciled

_Row = TypeVar("_Row", bound=BaseModel)
_PAUSES: Final = (0.5, 2.0)
"""Seconds before the second and third try of a call that may be repeated."""
_DAY: Final = timedelta(hours=24)
_PASSING: Final = re.compile(r"(08|40|53|55|57|58)...|PGRST00[0-3]|429|5..")
"""SQLSTATE classes, PostgREST codes and HTTP statuses of troubles that pass by themselves.
https://docs.postgrest.org/en/stable/references/errors.html"""


class _Answer(BaseModel):
    answer: Any
    why: str | None
    decided_at: datetime
    reached_at: datetime | None

    def begun(self) -> Begun:
        free_at = None if self.reached_at is None else self.reached_at + _DAY
        return Begun(verdict=self.answer, reason=self.why, decided_at=self.decided_at, free_at=free_at)


class SupabaseQueue:
    """`ports.RetryQueue` over HTTP. Close it, or use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._url = str(settings.supabase_url).rstrip("/")
        self._http = httpx.Client(
            timeout=settings.supabase_timeout_seconds,
            event_hooks={"response": [self._refuse]},
        )
        options = SyncClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
        self._client = create_client(self._url, settings.supabase_service_role_key.get_secret_value(), options)

    def __enter__(self) -> "SupabaseQueue":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def recover(self, stale_minutes: int) -> list[Recovered]:
        return self._rows(Recovered, "recover_stuck_sms_retries", {"stale_minutes": stale_minutes})

    def claim_due(self, limit: int) -> list[Claim]:
        return self._rows(Claim, "claim_due_sms_retries", {"limit_count": limit})

    def claim_doubtful(self, limit: int) -> list[Claim]:
        return self._rows(Claim, "claim_doubtful_sms_retries", {"limit_count": limit})

    def claim_one(self, retry_id: UUID) -> Claim | None:
        return next(iter(self._rows(Claim, "claim_sms_retry", {"retry_id": retry_id})), None)

    def queue(
        self,
        send_log_id: UUID,
        *,
        reason: Reason | None,
        attempt_count: int,
        scheduled_for: datetime | None,
        retry_in: timedelta,
        error: str | None,
        message_class: MessageClass = "marketing",
    ) -> Queued:
        values = {
            "send_log_id": send_log_id,
            "reason": reason,
            "attempt_count": attempt_count,
            "scheduled_for": scheduled_for,
            "retry_in": _interval(retry_in),
            "error": error,
            "message_class": message_class,
        }
        return self._row(Queued, "queue_sms_retry", values)

    def begin(
        self,
        claim: Claim,
        attempt_id: UUID,
        *,
        send_before: datetime,
        rule: str,
        first_send: bool,
        daily_cap: int | None = None,
    ) -> Begun:
        values = {
            **_fence(claim),
            "attempt_id": attempt_id,
            "send_before": send_before,
            "quiet_hours_rule": rule,
            "first_send": first_send,
            "cap": daily_cap,
            "cap_since": claim.claimed_at - _DAY if daily_cap is not None else None,
            "phone": claim.phone,
        }
        return self._row(_Answer, "begin_sms_attempt", values).begun()

    def finish(
        self,
        claim: Claim,
        attempt_id: UUID,
        *,
        outcome: OutcomeName,
        next_status: NextStatus,
        error: str | None = None,
        code: int | None = None,
        sid: str | None = None,
        retry_in: timedelta | None = None,
        reason: Reason | None = None,
        counted: bool = True,
        opted_out: bool = False,
        phone_status: str | None = None,
    ) -> Finished:
        values = {
            **_fence(claim),
            "attempt_id": attempt_id,
            "outcome": outcome,
            "next_status": next_status,
            "error": error,
            "error_code": code,
            "twilio_sid": sid,
            "retry_in": None if retry_in is None else _interval(retry_in),
            "reason": reason,
            "counted": counted,
        }
        if opted_out or phone_status:
            values |= {"phone": claim.phone, "opted_out": opted_out, "phone_status": phone_status}
        return self._row(Finished, "finish_sms_attempt", values)

    def reconcile(
        self,
        claim: Claim,
        *,
        verdict: Literal["accepted", "look_again", "look_failed", "resend", "hold"],
        sid: str | None = None,
        settled_by: Literal["callback", "reconcile"] = "reconcile",
        look_in: timedelta | None = None,
        error: str | None = None,
    ) -> Reconciled:
        values = {
            **_fence(claim),
            "decision": verdict,
            "twilio_sid": sid,
            "settled_by": settled_by,
            "look_in": None if look_in is None else _interval(look_in),
            "error": error,
        }
        answer = self._call("reconcile_sms_retry", values, repeat=True)
        if answer not in get_args(Reconciled):
            raise self._not_ours("reconcile_sms_retry")
        return cast(Reconciled, answer)

    def set_circuit(self, why: str | None) -> None:
        self._truth("set_sms_circuit", {"why": why})

    def defer(self, claim: Claim, *, until: datetime, reason: Reason | None = None, why: str | None = None) -> bool:
        values = {**_fence(claim), "until": until, "reason": reason, "why": why}
        return self._truth("defer_sms_retry", values)

    def end(self, claim: Claim, *, status: Literal["failed", "cancelled"], error: str) -> bool:
        values = {**_fence(claim), "final_status": status, "error": error}
        return self._truth("end_sms_retry", values)

    def record_consent(
        self, phone: str, *, consent: Literal["opted_in", "opted_out"], source: str, business_id: UUID | None
    ) -> ConsentRecorded:
        """Record what a customer said by telephone or letter: of everybody at the business who has this number.

        Raises:
            InputError: nobody has it; or an opt-in names no business.
        """
        values = {"phone": phone, "consent": consent, "source": source, "business_id": business_id}
        return self._row(ConsentRecorded, "record_sms_consent", values)

    def set_state_stop(self, state: str, why: str | None) -> None:
        """Let no marketing text go to a US state, or with None let them go again."""
        self._truth("set_sms_state_stop", {"state": state, "why": why})

    def check(self) -> list[Finding]:
        """What the database says of its own set-up: functions, grants, row level security."""
        return self._rows(Finding, "check_sms_retry_setup", {"functions": api_functions()})

    def _truth(self, function: str, values: Mapping[str, object]) -> bool:
        answer = self._call(function, values, repeat=True)
        if not isinstance(answer, bool):
            raise self._not_ours(function)
        return answer

    def _row(self, kind: type[_Row], function: str, values: Mapping[str, object]) -> _Row:
        rows = self._parse(kind, function, self._call(function, values, repeat=True))
        if len(rows) != 1:
            raise QueueMismatch(f"{function} answered with {len(rows)} rows instead of one. {_MIGRATE}")
        return rows[0]

    def _rows(self, kind: type[_Row], function: str, values: Mapping[str, object]) -> list[_Row]:
        return self._parse(kind, function, self._call(function, values, repeat=False))

    def _parse(self, kind: type[_Row], function: str, answer: object) -> list[_Row]:
        if not isinstance(answer, list):
            raise self._not_ours(function)
        try:
            return [kind.model_validate(row) for row in answer]
        except ValidationError as error:
            columns = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        raise QueueMismatch(f"{function} answered with unusable columns: {', '.join(columns)}. {_MIGRATE}")

    def _call(self, function: str, values: Mapping[str, object], *, repeat: bool) -> object:
        for pause in (*_PAUSES, None) if repeat else (None,):
            try:
                return self._call_once(function, values)
            except QueueUnreachable:
                if pause is None:
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    def _call_once(self, function: str, values: Mapping[str, object]) -> Any:
        trouble: SmsRetryError
        try:
            return self._client.rpc(function, dict(values)).execute().data
        except httpx.TransportError as error:
            trouble = QueueUnreachable(
                f"Supabase did not answer {function} ({type(error).__name__}). Check SUPABASE_URL ({self._url}) "
                "and that the project is up; the next run tries again."
            )
        except APIError as error:
            trouble = self._explain(function, error)
        except ValueError:
            trouble = self._not_ours(function)
        raise trouble

    def _not_ours(self, function: str) -> QueueMismatch:
        return QueueMismatch(
            f"{function} answered with something that is not its JSON. Check that SUPABASE_URL ({self._url}) is "
            "the project's URL, not a web page's or the database's."
        )

    def _explain(self, function: str, error: APIError) -> SmsRetryError:
        code = error.code or ""
        if code.startswith("SR"):  # raised by our own functions, whose messages hold ids only
            return InputError(". ".join(part for part in (error.message, error.hint) if part))
        if code == "PGRST202":
            return QueueMismatch(f"The database has no function {function} with these parameters. {_MIGRATE}")
        if not code or _PASSING.fullmatch(code):
            return QueueUnreachable(
                f"Supabase could not answer {function} now ({code or 'no code'}). The next run tries again."
            )
        if code == "404":
            return QueueMismatch(
                f"There is no Supabase API at SUPABASE_URL ({self._url}): it answered 404 to {function}."
            )
        return QueueMismatch(f"The database refused {function} with {code}. {_MIGRATE}")

    def _refuse(self, response: httpx.Response) -> None:
        if response.status_code in (401, 403):
            raise QueueRefused(
                f"Supabase refused the key (HTTP {response.status_code}). SUPABASE_SERVICE_ROLE_KEY must be the "
                "service_role (or secret) key of this project, not the anon key."
            )


_MIGRATE: Final = "Run `smsretry migrate` with this version."


def _fence(claim: Claim) -> dict[str, object]:
    return {"retry_id": claim.id, "claim_no": claim.claim_no}


def _interval(duration: timedelta) -> str:
    return f"{duration.total_seconds()} seconds"
