"""One text at each stage, and a call of every function that succeeds on one of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
from psycopg import sql

from smsretry.adapters.migrations.schemas import api_functions
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.builders import ACCOUNT, BODY, PHONE, SENDER
from tests.support.records import Record

Role = Literal["anon", "authenticated", "service_role", "smsretry_reader"]
Arguments = Record

_HTTP = httpx.Client()
"""One for all calls: to make one takes longer than a call."""
FUNCTIONS = list(api_functions())
QUESTIONS = {
    "explain_sms",
    "list_sms",
    "preview_sms_retries",
    "sms_status",
    "sms_senders",
    "unread_sms_words",
    "sms_businesses",
    "sms_report",
}
"""What who only reads may ask."""
CHECKS = {
    "examine_sms_retries",
    "sample_sms_customers",
    "try_sms_retry_queue",
    "check_sms_retries",
    *QUESTIONS,
}
"""The doctor's, and what a person asks: they change nothing."""
QUEUE_TABLES = ["sms_retry_queue", "sms_send_attempts"]
TABLES = ["businesses", "customers", "send_logs", "scheduled_sends", *QUEUE_TABLES]
OURS = [
    "stops", "consents", "events", "runs", "restores", "turns", "senders", "business_senders",
    "mark",
]  # fmt: skip
"""Of the schema smsretry."""


@dataclass(frozen=True)
class Scene:
    """A due row; a claimed and a begun one, silent for a quarter of an hour; two in doubt; a suspect; one that failed,
    one that failed long ago; one that could not reach Twilio; one that Twilio accepted; a text; a scheduled send that
    is due; two runs, one finished; another business with a sender of its own.
    """

    stack: Stack
    business: Business
    text: UUID
    due: UUID
    claimed: UUID
    claimed_no: int
    begun: UUID
    begun_no: int
    attempt: UUID
    doubtful: UUID
    looked: UUID
    looked_no: int
    suspect: UUID
    failed: UUID
    unreached: UUID
    old: UUID
    scheduled: UUID
    sent: UUID
    accepted: UUID
    """The attempt of the sent one."""
    other: UUID
    """The business with a sender of its own."""

    def arguments(self, function: str) -> Arguments:
        """Of a call that succeeds, and except for the check changes something."""
        claim = {"retry_id": str(self.claimed), "claim_no": self.claimed_no}
        signed = {"who": "Ann", "because": "It is registered now"}
        known: dict[str, Arguments] = {
            "queue_sms_retry": {
                "send_log_id": str(self.text), "reason": "twilio_error", "attempt_count": 1,
                "scheduled_for": self.at(hours=1), "error": "Twilio was down", "due_in": "5 minutes",
                "max_attempts": 3, "message_class": "transactional",
            },
            "claim_due_sms_retries": {"limit_count": 10},
            "schedule_sms": {
                "business_id": str(self.business.id), "body": BODY, "scheduled_for": self.at(hours=1),
                "customer_id": str(self.business.row(self.due)["customer_id"]), "not_after": self.at(hours=2),
                "message_class": "transactional", "created_by": str(UUID(int=3)), "id": str(UUID(int=4)),
            },
            "queue_scheduled_sms": {"limit_count": 10, "ahead": "2 minutes", "life": "48 hours"},
            "claim_sms_texts": {
                "limit_count": 10, "sender": SENDER, "account": ACCOUNT, "room": {}, "suspect": False,
            },
            "slow_sms_sender": {"account": ACCOUNT, "sender": SENDER, "seconds": 5},
            "mark_sms_database": {"kind": "production", "address": "db.example.com", **signed},
            "claim_sms_retry": {"retry_id": str(self.due), "account": ACCOUNT, "sender": SENDER},
            "begin_sms_attempt": claim | {
                "attempt_id": str(uuid4()), "send_before": self.at(hours=4), "quiet_hours_rule": "default 08:00-21:00",
                "first_send": False, "cap": 10, "cap_window": "24 hours",
                "sent_by": SENDER, "fingerprint": None, "life": "48 hours",
                "run_id": str(UUID(int=6)), "sent_account": ACCOUNT, "segments": 1, "answer_seconds": 0.1,
                "send_to": "all", "listed": True, "address": "db.example.com",
            },
            "finish_sms_attempt": {
                "retry_id": str(self.begun), "claim_no": self.begun_no, "attempt_id": str(self.attempt),
                "outcome": "rejected", "next_status": "pending", "why": "Twilio was down", "error_code": 20500,
                "twilio_sid": None, "due_in": "1 minute", "reason": "twilio_error", "counted": True, "held": True,
            },
            "note_sms_number": {
                "attempt_id": str(self.attempt), "opted_out": False, "phone_status": "invalid", "error_code": 21211,
            },
            "defer_sms_retry": claim | {"due_at": self.at(hours=1), "reason": "quiet_hours", "why": "Quiet hours"} | {
                "life": "48 hours",
            },
            "group_sms_calls": {"calls": [{
                "function": "defer_sms_retry", "lock_order": "",
                "values": claim | {"due_at": self.at(hours=1), "reason": "quiet_hours", "why": "Quiet hours"},
            }]},
            "end_sms_retry": claim | {"final_status": "failed", "why": "No phone number", "error_code": None},
            "recover_stuck_sms_retries": {"stale_minutes": 10, "due_in": "1 minute", "life": "48 hours"},
            "reconcile_sms_retry": {
                "retry_id": str(self.looked), "claim_no": self.looked_no, "decision": "look_again",
                "twilio_sid": None, "settled_by": "reconcile", "due_in": "5 minutes", "why": None,
                "ambiguous": None, "life": "48 hours",
            },
            "settle_sms_attempt": {
                "attempt_id": str(self.attempt), "twilio_sid": "SM" + "b" * 32, "settled_by": "callback",
                "delivery_status": "undelivered", "error_code": 30003, "account_sid": None,
            },
            "claim_sms_deliveries": {
                "limit_count": 10, "lease": "10 minutes", "without": [],
            },
            "finish_sms_delivery": {
                "attempt_id": str(self.accepted), "asks": 0, "decision": "give_up", "delivery_status": "undelivered",
                "error_code": 30006, "ask_in": None, "due_in": None, "why": "Not delivered: a landline",
                "counted": True, "held": False,
            },
            "resolve_sms_doubt": {"retry_id": str(self.doubtful), "twilio_sid": "SM" + "c" * 32},
            "set_sms_stop": {"kind": "everybody", "subject": "", "why": "Twilio is down"},
            "record_sms_consent": {
                "phone": PHONE, "consent": "opted_out", "source": "telephone", "business_id": str(self.business.id),
            },
            "import_sms_opt_outs": {
                "opt_outs": [{"line": 2, "phone": PHONE, "at": self.at(days=-1)}],
                "business_id": str(self.business.id), "dry_run": False, **signed,
            },
            "record_inbound_sms": {
                "phone": PHONE, "twilio_sid": "SM" + "e" * 32, "opt_out_type": "STOP", "body": "stop",
                "to_number": SENDER, "messaging_service_sid": None, "account_sid": ACCOUNT,
            },
            "start_sms_run": {
                "run_id": str(UUID(int=7)), "stale_minutes": 10, "account": ACCOUNT, "sender": SENDER,
                "earlier": [{"id": str(UUID(int=6)), "due_at": self.at(), "finished": False}],
            },
            "finish_sms_run": {"run_id": str(UUID(int=6)), "summary": "1 sent", "needs_attention": False},
            "explain_sms": {"id": str(self.due), "row_limit": 5},
            "preview_sms_retries": {"until": self.at(hours=24), "row_limit": 10},
            "sms_status": {},
            "sms_report": {"since": self.at(days=-9)},
            "sms_businesses": {"name": "Maple Street"},
            "unread_sms_words": {},
            "check_sms_retries": {"max_minutes": 60},
            "list_sms": {"which": {"states": ["due"]}, "row_limit": 10},
            "change_sms_texts": {
                "what": "cancel", "which": {"retry_ids": [str(self.due)], "states": ["due"]}, "dry_run": False,
                "who": "Ann", "because": "No longer wanted", "row_limit": 10,
            },
            "after_sms_restore": {
                "since": self.at(minutes=-1), "dry_run": False, "who": "Ann", "because": "Restored",
            },
            "prune_sms_history": {"keep_days": 90, "batch": 100},
            "sms_senders": {"row_limit": 10, "with_numbers": False},
            "add_sms_sender": {
                "business_id": str(self.business.id), "account": ACCOUNT, "sent_by": "MG" + "1" * 32,
                "message_class": "marketing", "segments_per_second": 1, "segments_per_day": 2000,
                **signed, "replace": False, "dry_run": False,
            },
            "change_sms_sender": {
                "named": SENDER, "segments_per_second": 2, "segments_per_day": None, "paused": True,
                **signed,
            },
            "remove_sms_sender": {"business_id": str(self.other), "message_class": None, **signed},
            "examine_sms_retries": {},
            "sample_sms_customers": {},
            "try_sms_retry_queue": {"send_to": "nobody", "address": "db.example.com"},
        }  # fmt: skip
        return known[function]

    def at(self, **later: float) -> str:
        """A time from now on, as JSON has it."""
        return (self.stack.now() + timedelta(**later)).isoformat()

    def call(
        self,
        role: Role,
        function: str,
        arguments: Mapping[str, Any],
        *,
        sub: str | None = None,
    ) -> httpx.Response:
        """The function over HTTP with the role's key."""
        key = self.stack.key(role, sub=sub)
        passes = self.stack.key("anon") if role == "smsretry_reader" else key
        url = f"{self.stack.environment()['SUPABASE_URL']}/rest/v1/rpc/{function}"
        return _HTTP.post(
            url,
            json=arguments,
            headers={"apikey": passes, "Authorization": f"Bearer {key}"},
        )

    def everything(self) -> str:
        """Every row of every table."""
        names = [sql.Identifier(table) for table in TABLES] + [
            sql.Identifier("smsretry", table) for table in OURS
        ]
        return json.dumps(
            [
                self.business.connection.execute(
                    sql.SQL("select to_jsonb(t) as row from {} t order by 1").format(
                        name
                    )
                ).fetchall()
                for name in names
            ]
        )


def set_scene(stack: Stack, business: Business) -> Scene:
    """See Scene."""

    def value_of(statement: str, *values: object) -> Any:
        """The first value that a statement answers, if it answers any."""
        row = business.connection.execute(statement.encode(), values).fetchone() or {}
        return next(iter(row.values()), None)

    def claim() -> tuple[UUID, int]:
        row_id = business.due_text()
        return row_id, value_of(
            "select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no'", row_id
        )

    def begin() -> tuple[UUID, int, UUID]:
        (row_id, claim_no), attempt_id = claim(), uuid4()
        until = stack.now() + timedelta(hours=1)
        value_of(
            "select from begin_sms_attempt(%s, %s, %s, %s, 'default')",
            row_id,
            claim_no,
            attempt_id,
            until,
        )
        return row_id, claim_no, attempt_id

    def finish(outcome: str, ends: str, **more: object) -> tuple[UUID, UUID]:
        row_id, claim_no, attempt_id = begin()
        named = "".join(f", {name} => %s" for name in more)
        value_of(
            f"select from finish_sms_attempt(%s, %s, %s, %s, %s{named})",
            *(row_id, claim_no, attempt_id, outcome, ends, *more.values()),
        )
        return row_id, attempt_id

    def changed(row_id: UUID, change: str) -> UUID:
        value_of(
            f"update sms_retry_queue set {change} where id = %s returning id", row_id
        )
        return row_id

    text, due = business.send_log(business.customer()), business.due_text()
    claimed, claimed_no = claim()
    begun, begun_no, attempt = begin()
    no_answer = {"why": "No answer", "due_in": timedelta(minutes=1)}
    (doubtful, _), (looked, _) = (
        finish("in_doubt", "pending", **no_answer) for _ in range(2)
    )
    sent, accepted = finish("accepted", "completed", twilio_sid="SM" + "d" * 32)
    suspect = changed(business.due_text(), "recover_count = 2")
    it_failed = "status = 'failed', last_error = 'It failed'"
    failed = changed(business.due_text(), it_failed)
    old = changed(
        business.due_text(), f"{it_failed}, updated_at = updated_at - interval '1 year'"
    )
    for run in (6, 5):
        value_of("select from start_sms_run(%s)", UUID(int=run))
    stack.move_clock(timedelta(minutes=15))
    value_of("select from finish_sms_run(%s, 'sent 1')", UUID(int=5))
    unreached = changed(
        business.due_text(due=timedelta(hours=1)),
        "(why, why_code) = ('Not reached', 'unreachable')",
    )
    scheduled, other_business = (
        business.scheduled(),
        Business(business.connection, stack.now).open(),
    )
    changed(
        looked,
        "status = 'processing', claim_no = claim_no + 1, claimed_at = smsretry.clock()",
    )
    own = "select from add_sms_sender(%s, %s, %s, who => 'Ann', because => 'It has its own')"
    value_of(own, other_business.id, ACCOUNT, SENDER)
    return Scene(
        stack=stack, business=business, text=text, due=due, claimed=claimed, claimed_no=claimed_no, begun=begun,
        begun_no=begun_no, attempt=attempt, doubtful=doubtful, looked=looked,
        looked_no=business.row(looked)["claim_no"], suspect=suspect, failed=failed, unreached=unreached, old=old,
        scheduled=scheduled, sent=sent, accepted=accepted, other=other_business.id,
    )  # fmt: skip
