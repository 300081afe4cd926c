"""The queue's SQL functions against a model of the rows: any order of calls, by workers that may be late, by the
application, by Twilio's callback.

Longer than a module should be, because the model is a second writing of the state machine; it is read beside
`smsretry/supabase/schemas/`. Its time is whole minutes: the clock only moves in minutes and no run lasts one,
so what is due, stale or expired is exact.

A run is the same every time. To look further, in other orders:

    SMSRETRY_STATE_MACHINE_RUNS=2000 pytest tests/integration/queue/test_state_machine.py
"""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Literal, get_args
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from psycopg import sql

from smsretry.local.stack import Stack
from tests.conftest import EMPTY, NOON_IN_NEW_YORK, Business
from tests.support.builders import BODY, PHONE

RUNS: Final = int(os.environ.get("SMSRETRY_STATE_MACHINE_RUNS", "0"))
LIFE: Final = 2880
"""Of a text, from the first moment it might have gone out."""
MAX_ATTEMPTS: Final = 2
"""Of a row: small, so that rows come to their end."""
SUSPECT: Final = 2
"""Deaths of workers before a send after which a row is claimed alone."""
LIVE: Final = ("pending", "processing")
_TABLES: Final = ("sms_retry_queue", "sms_send_attempts", "send_logs")

Table = dict[UUID, dict[str, Any]]
Content = dict[str, Table]
"""The tables, each by id."""


@dataclass(frozen=True)
class Row:
    """What the model holds to be a row of the queue. Times are minutes."""

    log: UUID
    due: int
    expires: int | None
    attempt_count: int
    status: str = "pending"
    claim_no: int = 0
    lease_from: int = 0
    begun: bool = False
    attempt: UUID | None = None
    in_doubt: bool = False
    recoveries: int = 0
    held: bool = False
    """It waits for a person."""

    def ended(self, status: str) -> "Row":
        """The row, ended."""
        return replace(self, status=status, begun=False, attempt=None, in_doubt=False, held=False)

    def back(self, due: int, **changes: Any) -> "Row":
        """The row, pending again."""
        return replace(self, status="pending", begun=False, due=due, **changes)


@dataclass(frozen=True)
class Attempt:
    """What the model holds to be a send that was begun."""

    row: UUID
    claim_no: int
    number: int
    sid: str
    """The name Twilio would give it."""
    outcome: str | None = None
    settled_by: str | None = None
    known_sid: str | None = None
    worker_died: bool = False
    """It was its worker's last deed."""


@dataclass(frozen=True)
class Hold:
    """A claim as its worker remembers it, whatever became of the row since."""

    row: UUID
    claim_no: int
    attempt_count: int
    in_doubt: bool


Ending = Literal["accepted", "refused", "refused uncounted", "refused for good", "not sent", "never sent", "no answer"]
ENDINGS: Final[dict[Ending, tuple[str, str, bool]]] = {
    # outcome, next status, counted
    "accepted": ("accepted", "completed", True),
    "refused": ("rejected", "pending", True),
    "refused uncounted": ("rejected", "pending", False),
    "refused for good": ("rejected", "failed", True),
    "not sent": ("not_sent", "pending", False),
    "never sent": ("not_sent", "failed", False),
    "no answer": ("in_doubt", "pending", True),
}
Stage = Literal[
    "written", "queued", "claimed", "feared", "begun", "in doubt", "refused", "begun again", "reported late",
    "failed in doubt", "queued anew",
]  # fmt: skip
STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
WORKER_MOVES: Final = [
    "begins", "begins", "finishes", "finishes_what_is_not_its_own", "defers", "holds_for_a_person", "ends", "reconciles"
]  # fmt: skip
MOVES: Final = [
    move
    for move, weight in {
        "worker_goes_on": 8, "late_worker_goes_on": 4,
        "claims": 2, "claims_one": 2, "claims_a_suspect": 1, "claims_what_is_in_doubt": 2, "recovers": 2,
        "time_passes": 3, "consent_changes": 2, "the_circuit_opens_or_closes": 1,
        "writes_a_text": 1, "queues_a_text": 2, "inserts_a_row": 1,
        "twilio_reports": 2, "a_person_says": 1,
    }.items()
    for _ in range(weight)
]  # fmt: skip
FINDINGS: Final = ("accepted", "marked as sent", "another's", "look_again", "look_failed", "resend", "hold")


class Queue(RuleBasedStateMachine):
    """Each move makes one call, or the same one twice, says what the model holds to come of it, checks the answer."""

    def __init__(self, stack: Stack, worker: psycopg.Connection[Any], owner: psycopg.Connection[Any]) -> None:
        super().__init__()
        self.stack, self.worker, self.owner = stack, worker, owner
        self.minute = 0
        self.circuit_open = False
        self.numbers = iter(range(1, 1_000_000))
        self.consent: dict[UUID, str] = {}
        self.business_of: dict[UUID, UUID] = {}
        """A customer's."""
        self.customer_of: dict[UUID, UUID] = {}
        """A text's."""
        self.sid_of: dict[UUID, str | None] = {}
        """A text's, as its send log has it."""
        self.rows: dict[UUID, Row] = {}
        self.attempts: dict[UUID, Attempt] = {}
        self.holds: list[Hold] = []
        """Every claim that was ever taken; each worker goes on as if it still held its own."""
        self.before: Content = {}
        self.after: Content = {}
        self.nothing_may_change = False
        self.reconciled: set[tuple[UUID, int]] = set()
        """Claims whose look was recorded."""

    # The world

    @initialize(stages=st.lists(st.sampled_from(STAGES), min_size=6, max_size=6))
    def two_businesses_and_six_texts_that_have_come_this_far(self, stages: list[Stage]) -> None:
        """Everything else begins in the middle, or most runs would end before it gets interesting."""
        self.owner.execute(EMPTY)
        self.stack.set_clock(NOON_IN_NEW_YORK)
        first, second = self.new_id(), self.new_id()
        for business in (first, second):
            self.owner.execute("insert into businesses (id, user_id, name) values (%s, %s, 'Shop')", [business] * 2)
        for business, phone in ((first, "+12125550121"), (first, "+12125550122"), (second, "+12125550123")):
            customer = self.new_id()
            self.owner.execute(
                "insert into customers (id, business_id, phone, sms_consent_status) values (%s, %s, %s, 'opted_in')",
                [customer, business, phone],
            )
            self.consent[customer], self.business_of[customer] = "opted_in", business
        for customer, stage in zip(sorted(self.consent) * 2, stages, strict=True):
            self.bring(self.write(customer), stage)
        self.before = self.after = self.content()
        self.nothing_may_change = False

    def bring(self, log: UUID, stage: Stage) -> None:
        if stage == "written":
            return
        self.queue(log, used=0, wait=0, life=60)
        if stage == "queued":
            return
        row_id = self.live_row(log)
        assert row_id
        self.claim_one(row_id)
        if stage == "feared":  # its workers died, and the next one may
            self.owner.execute("update sms_retry_queue set recover_count = %s where id = %s", [SUSPECT, row_id])
            self.rows[row_id] = replace(self.rows[row_id], recoveries=SUSPECT)
        if stage in ("claimed", "feared"):
            return
        attempt_id = self.new_id()
        self.begin(self.holds[0], attempt_id)
        if stage == "begun":
            return
        in_doubt = stage in ("in doubt", "failed in doubt", "queued anew")
        self.finish(attempt_id, "no answer" if in_doubt else "refused")
        if stage in ("failed in doubt", "queued anew"):  # nobody decided in its lifetime
            self.owner.execute(
                "update sms_retry_queue set status = 'failed', attempt_id = null, in_doubt_since = null where id = %s",
                [row_id],
            )
            self.rows[row_id] = self.rows[row_id].ended("failed")
        if stage == "queued anew":
            self.queue(log, used=0, wait=0, life=None)
        if stage in ("begun again", "reported late"):
            self.claim_one(row_id)
            self.begin(self.holds[0], self.new_id())
        if stage == "reported late":
            self.report(attempt_id)

    # Who does what

    @rule(data=st.data(), move=st.sampled_from(MOVES))
    def somebody(self, data: st.DataObject, move: str) -> None:
        """Makes a move.

        One rule for all, because Hypothesis leaves out some rules in each run, and a row must go through many hands.
        """
        getattr(self, move)(data)

    def worker_goes_on(self, data: st.DataObject) -> None:
        """With a row that it holds: mostly what comes next, sometimes anything else."""
        if held := [hold for hold in self.holds if self.is_held(hold)]:
            hold = data.draw(st.sampled_from(held))
            usual = "reconciles" if hold.in_doubt else "finishes" if self.attempt_of(hold) else "begins"
            getattr(self, data.draw(st.sampled_from([usual] * 6 + WORKER_MOVES)))(data, hold)

    def late_worker_goes_on(self, data: st.DataObject) -> None:
        """With a row that it lost, to another worker if there is such a one."""
        if late := [hold for hold in self.holds if not self.is_held(hold)]:
            robbed = [hold for hold in late if self.rows[hold.row].status == "processing"]
            hold = data.draw(st.sampled_from([robbed or late, robbed or late, late]).flatmap(st.sampled_from))
            getattr(self, data.draw(st.sampled_from(WORKER_MOVES)))(data, hold)

    # The world and the application

    def writes_a_text(self, data: st.DataObject) -> None:
        """Not queued yet."""
        if len(self.sid_of) < 8:
            self.write(data.draw(st.sampled_from(sorted(self.consent))))

    def write(self, customer: UUID) -> UUID:
        log = self.new_id()
        self.owner.execute(
            "insert into send_logs (id, business_id, customer_id, channel, subject) values (%s, %s, %s, 'sms', 'Hi')",
            [log, self.business_of[customer], customer],
        )
        self.customer_of[log], self.sid_of[log] = customer, None
        return log

    def time_passes(self, data: st.DataObject) -> None:
        """By the one clock."""
        minutes = data.draw(st.sampled_from([1, 1, 5, 5, 11, 11, 60]))
        self.stack.move_clock(timedelta(minutes=minutes))
        self.minute += minutes
        self.nothing_may_change = True

    def consent_changes(self, data: st.DataObject) -> None:
        """At any time."""
        status = data.draw(st.sampled_from(["opted_out", "unknown", "opted_in", "opted_in", "opted_in"]))
        customer = data.draw(st.sampled_from(sorted(self.consent)))
        self.owner.execute(
            "update customers set sms_consent_status = %s, sms_consent_at = smsretry.clock() where id = %s",
            [status, customer],
        )
        self.consent[customer] = status
        self.nothing_may_change = True

    def the_circuit_opens_or_closes(self, data: st.DataObject) -> None:
        """Every claim says so; the worker's flow_control does the rest."""
        is_open = data.draw(st.booleans())
        assert self.ask("set_sms_circuit", why="Twilio is down" if is_open else None) is is_open
        self.circuit_open = is_open
        self.nothing_may_change = True

    def queues_a_text(self, data: st.DataObject) -> None:
        """Once, however often it is asked for; an ended one again."""
        self.queue(
            self.some_text(data),
            used=data.draw(st.integers(0, MAX_ATTEMPTS)),
            wait=data.draw(st.sampled_from([0, 0, 0, 1, 5])),
            life=data.draw(st.sampled_from([10, 60, None])),
        )

    def queue(self, log: UUID, *, used: int, wait: int, life: int | None) -> None:
        answer = self.ask_row(
            "queue_sms_retry",
            send_log_id=log,
            reason="twilio_error",
            attempt_count=used,
            retry_in=timedelta(minutes=wait),
            error="Twilio was down",
            max_attempts=MAX_ATTEMPTS,
            expires_in=None if life is None else timedelta(minutes=life),
        )
        live = self.live_row(log)
        if self.sid_of[log]:
            assert (answer["result"], answer["retry_id"]) == ("already_sent", None)
        elif live:
            assert (answer["result"], answer["retry_id"]) == ("already_queued", live)
        elif used >= MAX_ATTEMPTS:
            assert (answer["result"], answer["retry_id"]) == ("attempts_exhausted", None)
            return
        else:
            assert answer["result"] == "queued"
            row = self.new_id()  # instead of a random one, which would decide between rows due at the same moment
            self.owner.execute("update sms_retry_queue set id = %s where id = %s", [row, answer["retry_id"]])
            self.rows[row] = self.new_row(log, self.minute + wait, None if life is None else self.minute + life, used)
            return
        self.nothing_may_change = True

    def inserts_a_row(self, data: st.DataObject) -> None:
        """As it always did; the database refuses a second live one."""
        log, used = self.some_text(data), data.draw(st.integers(0, MAX_ATTEMPTS - 1))
        customer, row = self.customer_of[log], self.new_id()
        insert = """insert into sms_retry_queue
                        (id, business_id, send_log_id, customer_id, attempt_count, max_attempts, scheduled_for)
                    values (%s, %s, %s, %s, %s, %s, smsretry.clock())"""
        values = [row, self.business_of[customer], log, customer, used, MAX_ATTEMPTS]
        if self.live_row(log):
            with pytest.raises(psycopg.errors.UniqueViolation, match="one_live_row"):
                self.owner.execute(insert, values)
            self.nothing_may_change = True
        else:
            self.owner.execute(insert, values)
            self.rows[row] = self.new_row(log, self.minute, None, used)

    def new_row(self, log: UUID, due: int, expires: int | None, used: int) -> Row:
        """A row that is inserted: in doubt, where a send of its text is that an earlier one made."""
        attempt = self.earlier_doubt(log)
        return Row(log, due, expires, used, in_doubt=attempt is not None, attempt=attempt)

    # Claims

    def claims(self, data: st.DataObject) -> None:
        """What is due and not in doubt, in turns between the businesses, circuit or not: workers have flow control."""
        due = [row_id for row_id in self.due(in_doubt=False) if self.rows[row_id].recoveries < SUSPECT]
        limit = data.draw(st.integers(0, 4))
        rows = self.ask_rows("claim_due_sms_retries", limit_count=limit, begins=True)
        assert all(row["circuit_open"] is self.circuit_open for row in rows)
        claimed = [row["id"] for row in rows]
        assert set(claimed) <= set(due)
        assert len(claimed) == len(set(claimed)) == min(limit, len(due))
        taken, owed = (Counter(self.business(row) for row in rows) for rows in (claimed, due))
        for business in owed:
            waiting = taken[business] < owed[business]
            assert not waiting or all(taken[business] >= taken[other] - 1 for other in owed)
        self.take(claimed)

    def claims_a_suspect(self, data: st.DataObject) -> None:
        """A due row whose workers died twice, in doubt or not, alone; the one that killed fewest first."""
        both = [*self.due(in_doubt=False), *self.due(in_doubt=True)]
        due = [row_id for row_id in both if self.rows[row_id].recoveries >= SUSPECT]
        claimed = [row["id"] for row in self.ask_rows("claim_suspect_sms_retry")]
        assert len(claimed) == min(1, len(due))
        fewest = min((self.rows[row_id].recoveries for row_id in due), default=0)
        assert all(row_id in due and self.rows[row_id].recoveries == fewest for row_id in claimed)
        self.take(claimed)

    def claims_what_is_in_doubt(self, data: st.DataObject) -> None:
        """When its next look has come, circuit or not."""
        due = [row_id for row_id in self.due(in_doubt=True) if self.rows[row_id].recoveries < SUSPECT]
        limit = data.draw(st.integers(0, 4))
        claimed = [row["id"] for row in self.ask_rows("claim_doubtful_sms_retries", limit_count=limit)]
        assert set(claimed) <= set(due)
        assert len(claimed) == min(limit, len(due))
        self.take(claimed)

    def claims_one(self, data: st.DataObject) -> None:
        """By its id: pending, due or not, and not in doubt."""
        if self.rows:
            self.claim_one(data.draw(st.sampled_from(list(self.rows))))

    def claim_one(self, row_id: UUID) -> None:
        claimed = [row["id"] for row in self.ask_rows("claim_sms_retry", retry_id=row_id)]
        row = self.rows[row_id]
        assert claimed == ([row_id] if row.status == "pending" and not row.in_doubt else [])
        self.take(claimed)

    def take(self, claimed: list[UUID]) -> None:
        for row_id in claimed:
            row = self.rows[row_id] = replace(
                self.rows[row_id],
                status="processing",
                claim_no=self.rows[row_id].claim_no + 1,
                lease_from=self.minute,
            )
            self.holds.insert(0, Hold(row_id, row.claim_no, row.attempt_count, row.in_doubt))
        self.nothing_may_change = not claimed

    def recovers(self, data: st.DataObject) -> None:
        """Begun rows into doubt; the doubtful back to it; others back however often, and ever later."""
        stale = data.draw(st.sampled_from([1, 10]))
        silent = {
            row_id: row
            for row_id, row in self.rows.items()
            if row.status == "processing" and row.lease_from <= self.minute - stale
        }
        rows = self.ask_rows("recover_stuck_sms_retries", stale_minutes=stale, look_in=timedelta(minutes=1))
        recovered = {row["id"] for row in rows}
        assert recovered == set(silent)
        for row_id, row in silent.items():
            if row.begun and row.attempt:
                attempt = self.attempts[row.attempt]
                self.attempts[row.attempt] = replace(attempt, outcome="in_doubt", worker_died=True)
                used = max(row.attempt_count, attempt.number)
                self.rows[row_id] = row.back(self.minute + 1, in_doubt=True, attempt_count=used)
            elif row.in_doubt:
                self.rows[row_id] = row.back(self.minute + 1, recoveries=row.recoveries + 1)
            else:
                deaths = row.recoveries + 1
                due = row.due if deaths < SUSPECT else self.minute + min(deaths - SUSPECT, 15)
                self.rows[row_id] = row.back(due, recoveries=deaths)
        self.nothing_may_change = not silent

    # A worker with its claim, or with one it has lost

    def begins(self, data: st.DataObject, hold: Hold) -> None:
        """Or ends the row, when it has no attempt left: so the policy decides."""
        if hold.attempt_count >= MAX_ATTEMPTS and not hold.in_doubt:
            self.end(hold, "failed")
            return
        attempt_id = (self.attempt_of(hold) if data.draw(st.booleans()) else None) or self.new_id()
        window_open, first_send = data.draw(st.sampled_from([True, True, True, False])), data.draw(st.booleans())
        times = data.draw(st.integers(1, 2))
        self.begin(hold, attempt_id, window_open=window_open, first_send=first_send, times=times)

    def begin(
        self, hold: Hold, attempt_id: UUID, *, window_open: bool = True, first_send: bool = False, times: int = 1
    ) -> None:
        closes = timedelta(hours=1) if window_open else timedelta(0)
        answers = [
            self.ask_row(
                "begin_sms_attempt",
                retry_id=hold.row,
                claim_no=hold.claim_no,
                attempt_id=attempt_id,
                send_before=self.stack.now() + closes,
                quiet_hours_rule="always",
                first_send=first_send,
                life=timedelta(minutes=LIFE),
            )
            for _ in range(times)
        ]
        row = self.rows[hold.row]
        if not self.is_held(hold) or row.in_doubt or (row.begun and row.attempt != attempt_id):
            expected = "lost"
            self.nothing_may_change = True
        elif row.begun:
            expected = "go"
            self.nothing_may_change = True
        elif refusal := self.refusal_of(row):
            assert (answers[0]["answer"], answers[0]["why"]) == ("ended", refusal)
            self.rows[hold.row] = row.ended("cancelled")
            assert [answer["answer"] for answer in answers[1:]] == ["lost"] * (len(answers) - 1)
            return
        elif not window_open:
            expected = "closed"
            self.nothing_may_change = True
        else:
            expected = "go"
            number = 0 if first_send else row.attempt_count + 1
            self.attempts[attempt_id] = Attempt(hold.row, hold.claim_no, number, f"SM{attempt_id.hex}")
            expires = self.minute + LIFE if row.expires is None else row.expires
            self.rows[hold.row] = replace(
                row, begun=True, attempt=attempt_id, lease_from=self.minute, recoveries=0, expires=expires, held=False
            )
        assert [answer["answer"] for answer in answers] == [expected] * len(answers)

    def finishes(self, data: st.DataObject, hold: Hold) -> None:
        """With the answer it got, in time or long after its claim was lost; a repetition says the same again."""
        if attempt_id := self.attempt_of(hold):
            self.finish(attempt_id, data.draw(st.sampled_from(sorted(ENDINGS))), times=data.draw(st.integers(1, 2)))

    def finish(self, attempt_id: UUID, ending: Ending, *, times: int = 1) -> None:
        attempt = self.attempts[attempt_id]
        outcome, status, counted = ENDINGS[ending]
        if ending == "refused" and attempt.number >= MAX_ATTEMPTS:
            status = "failed"  # no attempt is left: so the policy decides
        answers = [
            self.ask_row(
                "finish_sms_attempt",
                retry_id=attempt.row,
                claim_no=attempt.claim_no,
                attempt_id=attempt_id,
                outcome=outcome,
                next_status=status,
                error=None if status == "completed" else ending,
                twilio_sid=attempt.sid if outcome == "accepted" else None,
                retry_in=timedelta(minutes=1) if status == "pending" else None,
                counted=counted,
            )
            for _ in range(times)
        ]
        row = self.rows[attempt.row]
        by_answer = None if outcome == "in_doubt" else "response"
        if row.begun and row.attempt == attempt_id:
            sid = attempt.sid if outcome == "accepted" else None
            self.attempts[attempt_id] = replace(attempt, outcome=outcome, settled_by=by_answer, known_sid=sid)
            used = max(row.attempt_count, attempt.number) if counted else row.attempt_count
            row = replace(row, attempt_count=used)
            if status == "pending":
                in_doubt = outcome == "in_doubt"
                row = row.back(self.minute + 1, in_doubt=in_doubt, attempt=attempt_id if in_doubt else None)
            else:
                row = row.ended(status)
            self.rows[attempt.row] = row
            self.sid_of[row.log] = sid or self.sid_of[row.log]
            applied = True
        else:
            self.nothing_may_change = True
            applied = attempt.settled_by == "callback" or (attempt.outcome, attempt.settled_by) == (outcome, by_answer)
        assert [answer["applied"] for answer in answers] == [applied] * times

    def finishes_what_is_not_its_own(self, data: st.DataObject, _hold: Hold) -> None:
        """With a claim number or an attempt's id that do not belong together."""
        if not self.attempts:
            return
        mismatch = data.draw(st.sampled_from(["claim number", "attempt"]))
        under_way = [attempt_id for attempt_id, attempt in self.attempts.items() if attempt.outcome is None]
        attempt_id = data.draw(st.sampled_from(under_way or sorted(self.attempts)))
        attempt = self.attempts[attempt_id]
        answer = self.ask_row(
            "finish_sms_attempt",
            retry_id=attempt.row,
            claim_no=attempt.claim_no - (mismatch == "claim number"),
            attempt_id=attempt_id if mismatch == "claim number" else self.new_id(),
            outcome="rejected",
            next_status="failed",
            error="stale",
        )
        assert not answer["applied"]
        self.nothing_may_change = True

    def defers(self, data: st.DataObject, hold: Hold) -> None:
        """Unless the row is begun or another's."""
        wait, times = data.draw(st.sampled_from([0, 0, 5])), data.draw(st.integers(1, 2))
        until = self.stack.now() + timedelta(minutes=wait)
        answers = [
            self.ask("defer_sms_retry", retry_id=hold.row, claim_no=hold.claim_no, until=until, reason="quiet_hours")
            for _ in range(times)
        ]
        row = self.rows[hold.row]
        held = self.is_held(hold) and not row.begun
        if held:
            self.rows[hold.row] = row.back(self.minute + wait, held=False)
        self.nothing_may_change = not held
        assert answers == [held] * times

    def holds_for_a_person(self, data: st.DataObject, hold: Hold) -> None:
        """Unless the row is begun or another's; its life begins when it might have gone out."""
        life, times = data.draw(st.sampled_from([None, LIFE])), data.draw(st.integers(1, 2))
        answers = [
            self.ask(
                "hold_sms_retry",
                retry_id=hold.row,
                claim_no=hold.claim_no,
                why="No time zone is known",
                look_in=timedelta(minutes=15),
                life=None if life is None else timedelta(minutes=life),
            )
            for _ in range(times)
        ]
        row = self.rows[hold.row]
        held = self.is_held(hold) and not row.begun
        if held:
            begun = None if life is None else self.minute + life
            expires = begun if row.expires is None else row.expires
            self.rows[hold.row] = row.back(self.minute + 15, expires=expires, held=True)
        self.nothing_may_change = not held
        repeated = row.status == "pending" and row.claim_no == hold.claim_no and row.held
        assert answers == [held or repeated] * times

    def ends(self, data: st.DataObject, hold: Hold) -> None:
        """Unless it is begun or another's; one in doubt is only looked for."""
        if not hold.in_doubt or not self.is_held(hold):
            self.end(hold, data.draw(st.sampled_from(["failed", "cancelled"])))

    def end(self, hold: Hold, status: str) -> None:
        reason = f"Ended under claim {hold.claim_no} of {hold.row} as {next(self.numbers)}"
        answers = [
            self.ask("end_sms_retry", retry_id=hold.row, claim_no=hold.claim_no, final_status=status, error=reason)
            for _ in range(2)
        ]
        row = self.rows[hold.row]
        held = self.is_held(hold) and not row.begun
        if held:
            self.rows[hold.row] = row.ended(status)
        self.nothing_may_change = not held
        assert answers == [held] * 2

    def reconciles(self, data: st.DataObject, hold: Hold) -> None:
        """What it found, if the row is in doubt and still its own."""
        found = data.draw(st.sampled_from(FINDINGS))
        row = self.rows[hold.row]
        others = sorted(a.known_sid for a_id, a in self.attempts.items() if a.known_sid and a_id != row.attempt)
        sid, said, by = None, found, "reconcile"
        if found == "another's":
            sid, said = data.draw(st.sampled_from(others)) if others else None, "accepted" if others else "look_again"
        elif found == "marked as sent":
            said, by = "accepted", "callback"
        elif found == "accepted":
            sid = self.attempts[row.attempt].sid if row.attempt else "SM" + "0" * 32
        answer = self.ask(
            "reconcile_sms_retry",
            retry_id=hold.row,
            claim_no=hold.claim_no,
            decision=said,
            twilio_sid=sid,
            settled_by=by,
            look_in=timedelta(minutes=1) if said.startswith("look") or said == "hold" else None,
            error="A person decides" if said == "hold" else None,
        )
        if not self.is_held(hold) or not row.in_doubt or not row.attempt:
            assert answer == ("applied" if (hold.row, hold.claim_no) in self.reconciled else "lost")
            self.nothing_may_change = True
            return
        if sid and any(
            other.begun and other_id != hold.row and self.customer_of[other.log] == self.customer_of[row.log]
            for other_id, other in self.rows.items()
        ):
            assert answer == "wait"
            self.nothing_may_change = True
            return
        if sid in others:
            assert answer == "sid_taken"
            self.nothing_may_change = True
            return
        assert answer == "applied"
        self.reconciled.add((hold.row, hold.claim_no))
        if row.expires is None and said != "accepted":
            row = self.rows[hold.row] = replace(row, expires=self.minute + LIFE)
        assert row.attempt is not None
        match said:
            case "accepted":
                self.accept(row.attempt, hold.row, by, sid)
                self.rows[hold.row] = row.ended("completed")
                self.sid_of[row.log] = sid or self.sid_of[row.log]
            case "resend":
                self.send_again(hold.row, row.attempt, by, recoveries=0)
            case "hold":
                expired = row.expires is not None and row.expires <= self.minute
                self.rows[hold.row] = (
                    row.ended("failed") if expired else row.back(self.minute + 1, held=True, recoveries=0)
                )
            case _:
                self.rows[hold.row] = row.back(self.minute + 1, recoveries=0)

    def send_again(self, row_id: UUID, attempt_id: UUID, by: str, **changes: Any) -> None:
        """A text in doubt is taken never to have gone out."""
        row, attempt = self.rows[row_id], self.attempts[attempt_id]
        self.attempts[attempt_id] = replace(attempt, outcome="not_sent", settled_by=by)
        used = row.attempt_count  # whose worker died costs nothing: nobody knows that the request ever left
        used = min(used, max(attempt.number - 1, 0)) if attempt.worker_died else used
        self.rows[row_id] = row.back(
            self.minute, in_doubt=False, attempt=None, attempt_count=used, held=False, **changes
        )

    # A person

    def a_person_says(self, data: st.DataObject) -> None:
        """What became of a text in doubt, by any of its rows."""
        if not self.rows:
            return
        asked = data.draw(st.sampled_from(list(self.rows)))
        went_out = data.draw(st.booleans())
        live = self.live_row(self.rows[asked].log)
        ended = self.rows[asked].status in ("failed", "cancelled")
        row_id = live if ended and live and self.rows[live].in_doubt else asked
        row = self.rows[row_id]
        waits = row.status == "pending" and row.in_doubt
        attempt_id = row.attempt if waits else self.earlier_doubt(row.log) if row_id == asked and ended else None
        sid = self.attempts[attempt_id].sid if attempt_id else "SM" + "0" * 32
        answer = self.ask("resolve_sms_doubt", retry_id=asked, twilio_sid=sid if went_out else None)
        assert answer == ("resolved" if attempt_id else "not_in_doubt")
        if attempt_id is None:
            self.nothing_may_change = True
        elif went_out:
            self.settle(attempt_id, "operator")
        elif waits:
            self.send_again(row_id, attempt_id, "operator")
        else:
            attempt = self.attempts[attempt_id]
            self.attempts[attempt_id] = replace(attempt, outcome="not_sent", settled_by="operator")

    # Twilio's callback

    def twilio_reports(self, data: st.DataObject) -> None:
        """An attempt, at any time and any number of times; a row that has not ended is completed."""
        if not self.attempts:
            return
        every = list(self.attempts)
        news = [attempt_id for attempt_id in every if not self.attempts[attempt_id].known_sid]
        late = [attempt_id for attempt_id in news if self.rows[self.attempts[attempt_id].row].attempt != attempt_id]
        attempt_id = data.draw(st.sampled_from([late or every, news or every, every]).flatmap(st.sampled_from))
        self.report(attempt_id, times=data.draw(st.integers(1, 2)))

    def report(self, attempt_id: UUID, *, times: int = 1) -> None:
        assert self.ask("settle_sms_attempt", attempt_id=self.new_id(), twilio_sid="SM" + "f" * 32) == "unknown_attempt"
        attempt = self.attempts[attempt_id]
        answers = [self.ask("settle_sms_attempt", attempt_id=attempt_id, twilio_sid=attempt.sid) for _ in range(times)]
        assert answers[1:] == ["already_settled"] * (times - 1)
        if attempt.known_sid:
            assert answers[0] == "already_settled"
            self.nothing_may_change = True
            return
        assert answers[0] == self.settle(attempt_id, "callback")

    def settle(self, attempt_id: UUID, by: str) -> str:
        """Somebody knows the message of an attempt: its row is completed, or a newer one that is in doubt about it."""
        attempt = self.attempts[attempt_id]
        live = self.live_row(self.rows[attempt.row].log)
        row_id = live if live and self.rows[live].attempt == attempt_id else attempt.row
        self.accept(attempt_id, row_id, by, attempt.sid)
        row = self.rows[row_id]
        if row.status in LIVE and (not row.begun or row.attempt == attempt_id):
            self.rows[row_id] = row.ended("completed")
            self.sid_of[row.log] = attempt.sid
            return "settled"
        self.sid_of[row.log] = self.sid_of[row.log] or attempt.sid
        return "recorded"

    def accept(self, attempt_id: UUID, row_id: UUID, by: str, sid: str | None) -> None:
        """Its message is that row's from now on."""
        attempt = self.attempts[attempt_id]
        claim_no = attempt.claim_no if attempt.row == row_id else self.rows[row_id].claim_no
        self.attempts[attempt_id] = replace(
            attempt, row=row_id, claim_no=claim_no, outcome="accepted", settled_by=by, known_sid=sid
        )

    # What holds after every step

    @invariant()
    def everything_holds(self) -> None:
        """Looks once, then checks in this order."""
        self.before, self.after = self.after, self.content()
        self.the_tables_are_as_the_model_has_them()
        self.a_text_has_one_live_row()
        self.a_claim_number_never_falls_and_an_ended_row_stays_as_it_ended()
        self.no_row_has_more_attempts_than_it_may()
        self.every_attempt_is_under_way_or_settled_or_in_doubt()
        self.no_attempt_begins_without_consent()
        self.a_text_that_twilio_named_is_marked_as_sent_and_a_completed_row_has_such_a_text()
        self.nothing_may_change = False

    def the_tables_are_as_the_model_has_them(self) -> None:
        """Row by row, attempt by attempt, text by text; a call that may change nothing changed nothing at all."""
        assert {
            row_id: (row["status"], row["claim_no"], row["attempt_count"], row["begun_at"] is not None,
                     row["attempt_id"], row["in_doubt_since"] is not None, row["held_since"] is not None,
                     row["recover_count"])
            for row_id, row in self.after["sms_retry_queue"].items()
        } == {
            row_id: (row.status, row.claim_no, row.attempt_count, row.begun, row.attempt, row.in_doubt, row.held,
                     row.recoveries)
            for row_id, row in self.rows.items()
        }  # fmt: skip
        assert {
            attempt_id: (row["retry_id"], row["claim_no"], row["outcome"], row["settled_by"], row["twilio_sid"])
            for attempt_id, row in self.after["sms_send_attempts"].items()
        } == {
            key: (each.row, each.claim_no, each.outcome, each.settled_by, each.known_sid)
            for key, each in self.attempts.items()
        }
        assert {
            log_id: (row["provider_message_id"] or {}).get("twilio_sid")
            for log_id, row in self.after["send_logs"].items()
        } == self.sid_of
        if self.nothing_may_change:
            assert self.after == self.before

    def a_text_has_one_live_row(self) -> None:
        """At most."""
        live = Counter(row["send_log_id"] for row in self.after["sms_retry_queue"].values() if row["status"] in LIVE)
        assert all(count == 1 for count in live.values())

    def a_claim_number_never_falls_and_an_ended_row_stays_as_it_ended(self) -> None:
        """Nor does either vanish."""
        for row_id, before in self.before["sms_retry_queue"].items():
            after = self.after["sms_retry_queue"][row_id]
            assert after["claim_no"] >= before["claim_no"]
            assert before["status"] in LIVE or after["status"] == before["status"]

    def no_row_has_more_attempts_than_it_may(self) -> None:
        """As long as its workers keep to the policy."""
        for row in self.after["sms_retry_queue"].values():
            assert row["attempt_count"] <= row["max_attempts"]

    def every_attempt_is_under_way_or_settled_or_in_doubt(self) -> None:
        """And a text in doubt, by whichever of its rows, has none under way."""
        under_way = {row["attempt_id"] for row in self.after["sms_retry_queue"].values() if row["begun_at"]}
        for attempt_id, attempt in self.after["sms_send_attempts"].items():
            assert (attempt["outcome"] is None) == (attempt_id in under_way)
        in_doubt = {
            self.after["sms_retry_queue"][attempt["retry_id"]]["send_log_id"]
            for attempt in self.after["sms_send_attempts"].values()
            if attempt["outcome"] == "in_doubt"
        }
        for row in self.after["sms_retry_queue"].values():
            assert not (row["begun_at"] and row["send_log_id"] in in_doubt)
            assert not (row["begun_at"] and row["in_doubt_since"])
            if row["in_doubt_since"]:
                assert self.after["sms_send_attempts"][row["attempt_id"]]["outcome"] == "in_doubt"

    def no_attempt_begins_without_consent(self) -> None:
        """By what the customer said last, and not by what the row was claimed under."""
        for attempt_id, attempt in self.after["sms_send_attempts"].items():
            assert attempt["consent_status"] == "opted_in"
            if attempt_id not in self.before["sms_send_attempts"]:
                assert self.consent_of(self.rows[attempt["retry_id"]]) == "opted_in"

    def a_text_that_twilio_named_is_marked_as_sent_and_a_completed_row_has_such_a_text(self) -> None:
        """Whatever comes later; unless all that is known is that the application had marked it as sent."""
        for log in self.after["send_logs"].values():
            assert not log["provider_message_id"] or log["status"] == "sent"
        nameless = {a.row for a in self.attempts.values() if a.outcome == "accepted" and not a.known_sid}
        for row_id, row in self.after["sms_retry_queue"].items():
            if row["status"] == "completed" and row_id not in nameless:
                assert self.after["send_logs"][row["send_log_id"]]["provider_message_id"]["twilio_sid"]

    # Means

    def new_id(self) -> UUID:
        """A fresh one, the same in every run."""
        return UUID(int=next(self.numbers), version=4)

    def ask_rows(self, function: str, **values: object) -> list[dict[str, Any]]:
        """Call a function as a worker does; its rows."""
        named = sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(name)) for name in values)
        query = sql.SQL("select * from {}({})").format(sql.Identifier(function), named)
        return self.worker.execute(query, list(values.values())).fetchall()

    def ask_row(self, function: str, **values: object) -> dict[str, Any]:
        """Call a function as a worker does; its one row."""
        [row] = self.ask_rows(function, **values)
        return row

    def ask(self, function: str, **values: object) -> Any:
        """Call a function as a worker does; its one value."""
        [value] = self.ask_row(function, **values).values()
        return value

    def content(self) -> Content:
        """All that is in the tables."""
        queries = {name: sql.SQL("select * from {}").format(sql.Identifier(name)) for name in _TABLES}
        return {name: {row["id"]: row for row in self.owner.execute(query)} for name, query in queries.items()}

    def some_text(self, data: st.DataObject) -> UUID:
        """Any."""
        return data.draw(st.sampled_from(sorted(self.sid_of)))

    def is_held(self, hold: Hold) -> bool:
        """Whether nobody took the row since."""
        row = self.rows[hold.row]
        return row.status == "processing" and row.claim_no == hold.claim_no

    def attempt_of(self, hold: Hold) -> UUID | None:
        """The attempt that was begun under this claim."""
        return next(
            (key for key, each in self.attempts.items() if (each.row, each.claim_no) == (hold.row, hold.claim_no)), None
        )

    def live_row(self, log: UUID) -> UUID | None:
        """The row that a text has in the queue."""
        return next((row_id for row_id, row in self.rows.items() if row.log == log and row.status in LIVE), None)

    def earlier_doubt(self, log: UUID) -> UUID | None:
        """The attempt of a text of which nobody knows whether it went out; of several the last."""
        doubts = [
            attempt_id
            for attempt_id, attempt in self.attempts.items()
            if self.rows[attempt.row].log == log and attempt.outcome in (None, "in_doubt")
            if not self.rows[attempt.row].begun
        ]
        return doubts[-1] if doubts else None

    def due(self, *, in_doubt: bool) -> list[UUID]:
        """The rows whose time has come."""
        return [
            row_id
            for row_id, row in self.rows.items()
            if row.status == "pending" and row.in_doubt == in_doubt and row.due <= self.minute
        ]

    def business(self, row_id: UUID) -> UUID:
        """Whose row it is."""
        return self.business_of[self.customer_of[self.rows[row_id].log]]

    def refusal_of(self, row: Row) -> str | None:
        """Why a row may not be sent at all; the first reason that holds."""
        match self.consent_of(row):
            case _ if self.sid_of[row.log]:
                return "Already sent"
            case "opted_out":
                return "Customer opted out"
            case "unknown":
                return "Customer opted out (consent is unknown)"
            case _:
                expired = row.expires is not None and row.expires <= self.minute
                return "Expired before it could be sent" if expired else None

    def consent_of(self, row: Row) -> str:
        """What its customer said last."""
        return self.consent[self.customer_of[row.log]]


Connection = psycopg.Connection[dict[str, Any]]


@pytest.fixture
def owner(stack: Stack) -> Iterator[Connection]:
    """The application and the tables' owner."""
    with stack.connect() as connection:
        yield connection


@pytest.fixture
def worker(stack: Stack) -> Iterator[Connection]:
    """Whom the functions are for."""
    with stack.connect() as connection:
        connection.execute("set role service_role")
        yield connection


@pytest.mark.parametrize(
    "runs", [pytest.param(40, marks=pytest.mark.long), pytest.param(200, marks=pytest.mark.by_hand)]
)
def test_any_order_of_calls_keeps_the_state_machine(
    stack: Stack, owner: Connection, worker: Connection, runs: int
) -> None:
    """Late and repeated ones, with claims and attempts of long ago, included."""

    class QueueOfThisStack(Queue):
        def __init__(self) -> None:
            super().__init__(stack, worker, owner)

    run_state_machine_as_test(
        QueueOfThisStack,
        settings=settings(
            max_examples=RUNS or runs,
            stateful_step_count=40,
            derandomize=not RUNS,
            suppress_health_check=list(HealthCheck),
        ),
    )


# What the machine does not try


@dataclass
class Text:
    """A row of the queue, and the two connections to work on it."""

    worker: Connection
    business: Business
    row: UUID

    def ask(self, function: str, **values: object) -> dict[str, Any]:
        """Call a function as a worker does; its one row."""
        named = sql.SQL(", ").join(sql.SQL("{} => %s").format(sql.Identifier(name)) for name in values)
        query = sql.SQL("select * from {}({})").format(sql.Identifier(function), named)
        [answer] = self.worker.execute(query, list(values.values())).fetchall()
        return answer

    def begin(self) -> UUID:
        """Claim it and begin its send; the attempt."""
        self.ask("claim_sms_retry", retry_id=self.row)
        attempt_id = uuid4()
        begun = self.ask(
            "begin_sms_attempt",
            retry_id=self.row,
            claim_no=1,
            attempt_id=attempt_id,
            send_before=self.business.now() + timedelta(hours=1),
            quiet_hours_rule="always",
        )
        assert begun["answer"] == "go"
        return attempt_id

    def finish(self, attempt_id: UUID, outcome: str, status: str, *, claim_no: int = 1, **values: object) -> bool:
        """Finish a send; whether that was applied."""
        answer = self.ask(
            "finish_sms_attempt",
            retry_id=self.row,
            claim_no=claim_no,
            attempt_id=attempt_id,
            outcome=outcome,
            next_status=status,
            **values,
        )
        return bool(answer["applied"])

    def doubt(self) -> UUID:
        """Send it without an answer, and claim it for its first look; the attempt."""
        attempt_id = self.begin()
        self.finish(attempt_id, "in_doubt", "pending", error="No answer", retry_in=timedelta(0))
        looked = self.ask("claim_doubtful_sms_retries", limit_count=1)
        assert (looked["id"], looked["claim_no"]) == (self.row, 2)
        return attempt_id

    def reconcile(self, decision: str, **values: object) -> str:
        """Say what the first look came to; the answer."""
        answer = self.ask("reconcile_sms_retry", retry_id=self.row, claim_no=2, decision=decision, **values)
        return str(answer["reconcile_sms_retry"])


@pytest.fixture
def new_text(worker: Connection, business: Business) -> Callable[[], Text]:
    """Makes due texts."""
    return lambda: Text(worker, business, business.due_text())


def test_a_look_takes_no_message_while_its_sender_may_still_be_told_of_it(new_text: Callable[[], Text]) -> None:
    """The same words to the same number twice: the one in doubt waits for the other's answer, and neither is lost."""
    doubtful, other = new_text(), new_text()
    doubtful.doubt()
    attempt_id, sid = other.begin(), "SM" + "1" * 32
    assert doubtful.reconcile("accepted", twilio_sid=sid) == "wait"
    assert other.finish(attempt_id, "accepted", "completed", twilio_sid=sid)
    assert doubtful.reconcile("accepted", twilio_sid=sid) == "sid_taken"
    assert other.business.row(other.row)["status"] == "completed"
    assert doubtful.business.row(doubtful.row)["in_doubt_since"] is not None


def test_whoever_looks_for_evidence_cannot_finish_the_attempt(new_text: Callable[[], Text]) -> None:
    """Only the worker that made the request has its answer; a look is reconciled."""
    text = new_text()
    attempt_id = text.doubt()
    assert not text.finish(
        attempt_id, "rejected", "pending", claim_no=2, error="stale", retry_in=timedelta(minutes=1), reason="rate_limit"
    )
    assert text.business.row(text.row)["in_doubt_since"] is not None


@pytest.mark.parametrize(
    ("decision", "values"),
    [
        ("accepted", {"twilio_sid": "SM" + "1" * 32}),
        ("look_again", {"look_in": timedelta(minutes=5)}),
        ("look_failed", {"look_in": timedelta(minutes=5)}),
        ("resend", {}),
        ("hold", {"error": "A person decides", "look_in": timedelta(hours=1)}),
        (
            "hold",
            {"error": "Which is it?", "look_in": timedelta(hours=1), "ambiguous": ["SM" + "1" * 32, "SM" + "2" * 32]},
        ),
    ],
)
def test_a_decision_may_be_repeated(new_text: Callable[[], Text], decision: str, values: dict[str, object]) -> None:
    """The second says the same and changes nothing, so a lost answer costs nothing."""
    text = new_text()
    text.doubt()
    assert text.reconcile(decision, **values) == "applied"
    before = text.business.row(text.row)
    assert text.reconcile(decision, **values) == "applied"
    assert text.business.row(text.row) == before


def test_workers_deaths_before_the_send_are_forgiven_however_often(new_text: Callable[[], Text]) -> None:
    """Nobody tried to send the text, so nobody calls it failed; its expiry ends it."""
    text = new_text()
    for deaths in range(1, 12):
        text.ask("claim_sms_retry", retry_id=text.row)
        text.business.connection.execute(
            "update sms_retry_queue set claimed_at = claimed_at - interval '1 hour' where id = %s", [text.row]
        )
        recovered = text.ask("recover_stuck_sms_retries", stale_minutes=10)
        assert (recovered["id"], recovered["status"], recovered["recover_count"]) == (text.row, "pending", deaths)
        assert (recovered["attempt_count"], recovered["last_error"]) == (0, None)


def test_a_claim_that_does_not_begin_and_falls_silent_is_in_doubt(new_text: Callable[[], Text]) -> None:
    """The application's own processor: it may have sent the text, to whom and with what the rows say."""
    text = new_text()
    text.ask("claim_due_sms_retries", limit_count=1)
    text.business.connection.execute("update sms_retry_queue set claimed_at = claimed_at - interval '1 hour'")
    recovered = text.ask("recover_stuck_sms_retries", stale_minutes=10)
    assert (recovered["status"], recovered["in_doubt_since"] is not None) == ("pending", True)
    [attempt] = text.business.attempts_of(text.row)
    assert (attempt["outcome"], attempt["sent_to"], attempt["sent_body"]) == ("in_doubt", PHONE, BODY)


def test_the_first_look_at_a_recovered_row_comes_when_the_caller_says(new_text: Callable[[], Text]) -> None:
    """Whether its worker died in the send or in a look for evidence."""
    begun, looked = new_text(), new_text()
    looked.doubt()
    begun.begin()
    hour = "interval '1 hour'"
    silence = f"update sms_retry_queue set claimed_at = claimed_at - {hour}, begun_at = begun_at - {hour}"
    begun.business.connection.execute(silence.encode())
    query = "select * from recover_stuck_sms_retries(10, look_in => interval '7 minutes')"
    recovered = begun.worker.execute(query).fetchall()
    assert {row["id"] for row in recovered} == {begun.row, looked.row}
    for row in recovered:
        assert row["scheduled_for"] - row["updated_at"] == timedelta(minutes=7)
        assert row["in_doubt_since"] is not None
