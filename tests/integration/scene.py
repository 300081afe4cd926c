"""One text at each stage, and a call of every function that succeeds on one of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import httpx
from psycopg import sql

from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.catalog import api_functions
from tests.support.builders import ACCOUNT, BODY, PHONE, SENDER

Role = Literal["anon", "authenticated", "service_role", "smsretry_reader"]
Arguments = dict[str, Any]

FUNCTIONS = api_functions()
CHECKS = {
    "examine_sms_retries",
    "try_sms_retry_queue",
    "count_sms_answer",
    "explain_sms",
    "list_sms",
    "preview_sms_retries",
    "sms_status",
    "sms_senders",
    "ask_sms_desk",
    "check_sms_retries",
}
"""The doctor's, and what a person asks: they change nothing."""
QUEUE_TABLES = ["sms_retry_queue", "sms_send_attempts"]
TABLES = ["businesses", "customers", "send_logs", "scheduled_sends", *QUEUE_TABLES]
OURS = [
    "stops", "consents", "events", "runs", "inbound_texts", "restores", "turns", "senders", "business_senders",
    "imported_files", "mark",
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
                "scheduled_for": self.at(hours=1), "error": "Twilio was down", "retry_in": "5 minutes",
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
                "limit_count": 10, "sender": SENDER, "account": ACCOUNT, "without": [], "suspect": False,
            },
            "slow_sms_sender": {"account": ACCOUNT, "sender": SENDER, "seconds": 5},
            "mark_sms_database": {"kind": "production", "address": "db.example.com", **signed},
            "claim_sms_retry": {"retry_id": str(self.due), "account": ACCOUNT, "sender": SENDER},
            "begin_sms_attempt": claim | {
                "attempt_id": str(uuid4()), "send_before": self.at(hours=4), "quiet_hours_rule": "default 08:00-21:00",
                "first_send": False, "cap": 10, "cap_since": self.at(hours=-24),
                "sent_by": SENDER, "decided_by": None, "life": "48 hours",
                "run_id": str(UUID(int=7)), "sent_account": ACCOUNT, "segments": 1, "lead": 0.1,
                "send_to": "all", "listed": True, "address": "db.example.com",
            },
            "finish_sms_attempt": {
                "retry_id": str(self.begun), "claim_no": self.begun_no, "attempt_id": str(self.attempt),
                "outcome": "rejected", "next_status": "pending", "error": "Twilio was down", "error_code": 20500,
                "twilio_sid": None, "retry_in": "1 minute", "reason": "twilio_error", "counted": True,
                "opted_out": False, "phone_status": "invalid", "held": True,
            },
            "defer_sms_retry": claim | {"until": self.at(hours=1), "reason": "quiet_hours", "why": "Quiet hours"} | {
                "life": "48 hours",
            },
            "group_sms_calls": {"calls": [{
                "function": "defer_sms_retry", "lock_order": "",
                "values": claim | {"until": self.at(hours=1), "reason": "quiet_hours", "why": "Quiet hours"},
            }]},
            "end_sms_retry": claim | {"final_status": "failed", "error": "No phone number", "error_code": None},
            "recover_stuck_sms_retries": {"stale_minutes": 10, "look_in": "1 minute", "life": "48 hours"},
            "reconcile_sms_retry": {
                "retry_id": str(self.looked), "claim_no": self.looked_no, "decision": "look_again",
                "twilio_sid": None, "settled_by": "reconcile", "look_in": "5 minutes", "error": None,
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
                "attempt_id": str(self.accepted), "looks": 0, "decision": "give_up", "delivery_status": "undelivered",
                "error_code": 30006, "look_in": None, "retry_in": None, "error": "Not delivered: a landline",
                "opted_out": False, "phone_status": "not_mobile", "counted": True, "held": False,
            },
            "resolve_sms_doubt": {"retry_id": str(self.doubtful), "twilio_sid": "SM" + "c" * 32},
            "set_sms_stop": {"kind": "everybody", "subject": "", "why": "Twilio is down"},
            "set_sms_state_stop": {"state": "LA", "why": "A hurricane"},
            "record_sms_consent": {
                "phone": PHONE, "consent": "opted_out", "source": "telephone", "business_id": str(self.business.id),
            },
            "import_sms_opt_outs": {
                "opt_outs": [{"line": 2, "phone": PHONE, "at": None}], "business_id": str(self.business.id),
                "dry_run": False, "file_hash": "a" * 64, **signed,
            },
            "record_inbound_sms": {
                "phone": PHONE, "twilio_sid": "SM" + "e" * 32, "opt_out_type": "STOP", "body": "stop",
                "to_number": SENDER, "messaging_service_sid": None, "account_sid": ACCOUNT,
            },
            "start_sms_run": {
                "run_id": str(UUID(int=7)), "stale_minutes": 10, "account": ACCOUNT, "sender": SENDER,
            },
            "finish_sms_run": {"run_id": str(UUID(int=6)), "told": "sent 1", "needs_somebody": False},
            "explain_sms": {"id": str(self.due), "row_limit": 5},
            "ask_sms_desk": {"question": "explain_sms", "asked": {"id": str(self.due)}},
            "preview_sms_retries": {"until": self.at(hours=24), "row_limit": 10},
            "sms_status": {},
            "check_sms_retries": {"max_minutes": 60},
            "list_sms": {"which": {"states": ["due"]}, "row_limit": 10},
            "change_sms_texts": {
                "what": "cancel", "which": {"retry_ids": [str(self.due)], "states": ["due"]}, "dry_run": False,
                "who": "Ann", "because": "No longer wanted", "row_limit": 10, "more_attempts": 3,
            },
            "doubt_sms_retries": {
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
                "named": SENDER, "segments_per_second": 2, "segments_per_day": None, "unlimited": [], **signed,
            },
            "pause_sms_sender": {"named": SENDER, **signed},
            "resume_sms_sender": {"named": SENDER, **signed},
            "remove_sms_sender": {"business_id": str(self.other), "message_class": None, **signed},
            "examine_sms_retries": {},
            "try_sms_retry_queue": {"send_to": "nobody", "address": "db.example.com"},
            "count_sms_answer": {"row_count": 2},
        }  # fmt: skip
        return known[function]

    def at(self, **later: float) -> str:
        """A time from now on, as JSON has it."""
        return (self.stack.now() + timedelta(**later)).isoformat()

    def call(
        self, role: Role, function: str, arguments: Mapping[str, Any], *, sub: str | None = None
    ) -> httpx.Response:
        """The function over HTTP with the role's key."""
        key = self.stack.key(role, sub=sub)
        passes = self.stack.key("anon") if role == "smsretry_reader" else key
        url = f"{self.stack.environment()['SUPABASE_URL']}/rest/v1/rpc/{function}"
        return httpx.post(url, json=arguments, headers={"apikey": passes, "Authorization": f"Bearer {key}"})

    def everything(self) -> str:
        """Every row of every table."""
        names = [sql.Identifier(table) for table in TABLES] + [sql.Identifier("smsretry", table) for table in OURS]
        return json.dumps(
            [
                self.business.connection.execute(
                    sql.SQL("select to_jsonb(t) as row from {} t order by 1").format(name)
                ).fetchall()
                for name in names
            ]
        )


def set_scene(stack: Stack, business: Business) -> Scene:
    """See Scene."""
    connection = business.connection

    def claim(row_id: UUID) -> int:
        found = connection.execute(
            "select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no' as claim_no", [row_id]
        ).fetchone()
        assert found is not None
        return int(found["claim_no"])

    def doubt() -> UUID:
        row_id, attempt_id = business.due_text(), uuid4()
        claim_no = claim(row_id)
        closes = stack.now() + timedelta(hours=1)
        connection.execute(
            "select * from begin_sms_attempt(%s, %s, %s, %s, 'default')", [row_id, claim_no, attempt_id, closes]
        )
        connection.execute(
            """select * from finish_sms_attempt(%s, %s, %s, 'in_doubt', 'pending', 'No answer',
                                                retry_in => interval '1 minute')""",
            [row_id, claim_no, attempt_id],
        )
        return row_id

    text = business.send_log(business.customer())
    due, claimed, begun = business.due_text(), business.due_text(), business.due_text()
    claimed_no, begun_no, attempt = claim(claimed), claim(begun), uuid4()
    connection.execute(
        "select * from begin_sms_attempt(%s, %s, %s, %s, 'default')",
        [begun, begun_no, attempt, stack.now() + timedelta(hours=1)],
    )
    doubtful, looked = doubt(), doubt()
    sent, accepted = business.due_text(), uuid4()
    sent_no = claim(sent)
    connection.execute(
        "select * from begin_sms_attempt(%s, %s, %s, %s, 'default')",
        [sent, sent_no, accepted, stack.now() + timedelta(hours=1)],
    )
    connection.execute(
        "select * from finish_sms_attempt(%s, %s, %s, 'accepted', 'completed', twilio_sid => %s)",
        [sent, sent_no, accepted, "SM" + "d" * 32],
    )
    suspect = business.due_text()
    connection.execute("update sms_retry_queue set recover_count = 2 where id = %s", [suspect])
    failed, old = business.due_text(), business.due_text()
    connection.execute("update sms_retry_queue set status = 'failed', last_error = 'It failed' where id = %s", [failed])
    connection.execute(
        """update sms_retry_queue set status = 'failed', last_error = 'It failed',
                                      updated_at = updated_at - interval '1 year'
           where id = %s""",
        [old],
    )
    connection.execute("select * from start_sms_run(%s)", [UUID(int=6)])
    connection.execute("select * from start_sms_run(%s)", [UUID(int=5)])
    stack.move_clock(timedelta(minutes=15))
    connection.execute("select finish_sms_run(%s, 'sent 1')", [UUID(int=5)])
    unreached = business.due_text(due=timedelta(hours=1))
    connection.execute(
        "update sms_retry_queue set (why, why_code) = ('Not reached', 'unreachable') where id = %s", [unreached]
    )
    scheduled = business.scheduled()
    found = connection.execute(
        """update sms_retry_queue set status = 'processing', claim_no = claim_no + 1, claimed_at = %s
           where id = %s returning claim_no""",
        [stack.now(), looked],
    ).fetchone()
    assert found is not None
    other = Business(connection, stack.now).open()
    connection.execute(
        "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'It has its own')", [other.id, ACCOUNT, SENDER]
    )
    return Scene(
        stack,
        business,
        text,
        due,
        claimed,
        claimed_no,
        begun,
        begun_no,
        attempt,
        doubtful,
        looked,
        found["claim_no"],
        suspect,
        failed,
        unreached,
        old,
        scheduled,
        sent,
        accepted,
        other.id,
    )
