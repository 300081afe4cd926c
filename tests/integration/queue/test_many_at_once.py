"""The application's own statements, as PostgREST runs them for `.from()`: upserts, and changes of many rows at once."""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.scene import Role
from tests.support.builders import run

_TOO_LATE: Final = "It is too late to change scheduled send"


@dataclass(frozen=True)
class Writer:
    """Somebody who writes into tables: each statement is a transaction, in their role and with their claims."""

    connection: psycopg.Connection[dict[str, Any]]
    role: Role
    user_id: UUID | None = None

    def write(self, change: str, *values: object) -> list[dict[str, Any]]:
        """The rows that it changed, for which PostgREST, too, asks around the statement."""
        claims = json.dumps({"role": self.role, "sub": str(self.user_id)})
        with self.connection.transaction():
            self.connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            self.connection.execute(f"set local role {self.role}".encode())
            return self.connection.execute(
                f"with changed as ({change} returning *) select * from changed".encode(), values
            ).fetchall()

    def insert(self, table: str, rows: list[dict[str, Any]], *, on_conflict: str = "") -> list[dict[str, Any]]:
        """What was inserted, or changed where that is what it does on a conflict: `merge`, or `nothing`."""
        names = list(rows[0])
        sets = ", ".join(f"{name} = excluded.{name}" for name in names)
        does = {"merge": f"update set {sets}", "nothing": "nothing", "": ""}[on_conflict]
        places = ", ".join([f"({', '.join(['%s'] * len(names))})"] * len(rows))
        change = f"insert into {table} ({', '.join(names)}) values {places}"
        values = [row[name] for row in rows for name in names]
        return self.write(f"{change} on conflict (id) do {does}" if does else change, *values)


@pytest.fixture
def application(business: Business) -> Writer:
    """The application's backend."""
    return Writer(business.connection, "service_role")


@pytest.fixture
def owner(business: Business) -> Writer:
    """The business's owner, signed in: row level security holds."""
    return Writer(business.connection, "authenticated", business.user_id)


def held_by(application: Writer, business: Business, texts: int = 1) -> list[dict[str, Any]]:
    """Due texts that the application's own processor has claimed, as the rows that it would write back."""
    rows = [business.row(business.due_text(phone=f"+1212555010{n}")) for n in range(texts)]
    application.connection.execute("select claim_due_sms_retries(50)")
    return [{name: row[name] for name in ("id", "business_id", "send_log_id", "customer_id")} for row in rows]


def next_try(stack: Stack, held: dict[str, Any]) -> dict[str, Any]:
    """The row, as the processor queues it again."""
    due = stack.now() + timedelta(minutes=1)
    return held | {"status": "pending", "attempt_count": 1, "scheduled_for": due, "reason": "twilio_error"}


# Upserts of the queue's rows


def test_a_processor_may_upsert_the_row_that_it_holds(
    stack: Stack, business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The insert must not end the row that the same statement then updates."""
    [held] = held_by(application, business)
    application.insert("sms_retry_queue", [next_try(stack, held)], on_conflict="merge")
    row = business.row(held["id"])
    assert (row["status"], row["attempt_count"], row["last_error"]) == ("pending", 1, None)
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1


def test_a_row_that_is_not_inserted_takes_no_place(
    stack: Stack, business: Business, application: Writer, owner: Writer
) -> None:
    """Whoever writes it, and whosever row has the id: the held one, one that has ended, or another text's."""
    [held] = held_by(application, business)
    ended, other = uuid4(), business.due_text()
    business.connection.execute(
        """insert into sms_retry_queue (id, business_id, send_log_id, customer_id, status, scheduled_for)
           values (%s, %s, %s, %s, 'failed', now())""",
        [ended, business.id, held["send_log_id"], held["customer_id"]],
    )
    for writer in (application, owner):
        for taken in (held["id"], ended, other):
            row = next_try(stack, held) | {"id": taken}
            assert writer.insert("sms_retry_queue", [row], on_conflict="nothing") == []
            kept = business.row(held["id"])
            assert (kept["status"], kept["claimed_by_application"], kept["last_error"]) == ("processing", True, None)
    assert business.row(ended)["status"] == "failed"


def test_an_upsert_of_many_rows_that_it_holds_queues_each(
    stack: Stack, business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """One of them as a new row: it takes the place of the one that is held."""
    rows = held_by(application, business, texts=3)
    tries = [next_try(stack, row) for row in rows]
    tries[2]["id"] = uuid4()
    application.insert("sms_retry_queue", tries, on_conflict="merge")
    assert [business.row(row["id"])["status"] for row in rows] == ["pending", "pending", "failed"]
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent", "Sent", "Sent"]


# Quiet hours cost no attempt


def row_of(business: Business, **more: Any) -> dict[str, Any]:
    """A row that the application would insert for a new text."""
    customer = business.customer()
    log = business.send_log(customer)
    return {"business_id": business.id, "send_log_id": log, "customer_id": customer, **more}


def test_a_text_that_waits_for_an_opening_is_queued_whatever_its_attempts(
    stack: Stack, business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """By the function and by an insert: the send that may not go out now is none of its attempts, and still owed."""
    opening = stack.now() + timedelta(minutes=5)
    log = business.send_log(business.customer())
    queued = business.connection.execute(
        "select result from queue_sms_retry(%s, 'quiet_hours', attempt_count => 3, scheduled_for => %s)", [log, opening]
    ).fetchall()
    assert queued == [{"result": "queued"}]
    row = row_of(business, attempt_count=7, scheduled_for=opening, reason="quiet_hours")
    application.insert("sms_retry_queue", [row])
    stack.move_clock(timedelta(minutes=6))
    assert run(queue, sender) == ["Sent", "Sent"]


def test_attempts_that_were_made_still_end_a_text(business: Business) -> None:
    """For any other reason, and for none."""
    for reason in ("twilio_error", "rate_limit", None):
        log = business.send_log(business.customer())
        queued = business.connection.execute(
            "select result from queue_sms_retry(%s, %s, attempt_count => 3)", [log, reason]
        ).fetchall()
        assert queued == [{"result": "attempts_exhausted"}]


def test_quiet_hours_make_no_number_of_what_is_none(
    stack: Stack, business: Business, application: Writer, owner: Writer
) -> None:
    """Null is refused as ever, and a count below the last attempt stays what it is, by a backend and by an owner."""
    for writer in (application, owner):
        row = row_of(business, scheduled_for=stack.now(), reason="quiet_hours")
        with pytest.raises((psycopg.errors.NotNullViolation, psycopg.errors.InsufficientPrivilege)):
            writer.insert("sms_retry_queue", [row | {"attempt_count": None}])
        [made] = writer.insert("sms_retry_queue", [row | {"attempt_count": 1}])
        assert made["attempt_count"] == 1


# Scheduled sends, many at once


def planned(business: Business, queue: SupabaseQueue, sender: TwilioSender) -> tuple[UUID, UUID, UUID]:
    """A customer's three scheduled sends: one that was sent, one that is queued and one that waits."""
    customer = business.customer()
    sent, queued, waits = uuid4(), uuid4(), uuid4()
    for scheduled, due in ((sent, -1), (queued, 1), (waits, 60)):
        business.connection.execute(
            """insert into scheduled_sends (id, business_id, customer_id, body, scheduled_for)
               values (%s, %s, %s, 'See you', %s)""",
            [scheduled, business.id, customer, business.now() + timedelta(minutes=due)],
        )
    assert len(queue.queue_scheduled(10, timedelta(minutes=2))) == 2
    assert run(queue, sender) == ["Sent"]
    return sent, queued, waits


def states(business: Business, *scheduled: UUID) -> list[str]:
    """What each says."""
    return [business.scheduled_send(one)["status"] for one in scheduled]


@pytest.mark.parametrize("who", ["application", "owner"])
def test_cancelling_all_of_a_customers_scheduled_sends_cancels_those_that_can_be(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, request: pytest.FixtureRequest, who: str
) -> None:
    """One that was sent refuses none of the others. The rows of the answer are those that were cancelled."""
    writer: Writer = request.getfixturevalue(who)
    sent, queued, waits = planned(business, queue, sender)
    customer = business.scheduled_send(sent)["customer_id"]
    changed = writer.write("update scheduled_sends set status = 'cancelled' where customer_id = %s", customer)
    assert {row["id"] for row in changed} == {queued, waits}
    assert states(business, sent, queued, waits) == ["queued", "cancelled", "cancelled"]
    assert business.text_of(sent)["status"] == "completed"
    assert business.text_of(queued)["status"] == "cancelled"


def test_what_cannot_be_cancelled_alone_is_refused(
    business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nobody believes that it was cancelled: one that was sent, alone, or several of which none can be."""
    cancel = "update scheduled_sends set status = 'cancelled' where id = any (%s)"
    sent, queued, waits = planned(business, queue, sender)
    assert len(application.write(cancel, [queued, waits])) == 2
    another, *_ = planned(business, queue, sender)
    for ids in ([sent], [sent, another]):
        with pytest.raises(psycopg.Error, match=_TOO_LATE) as refused:
            application.write(cancel, ids)
        assert refused.value.sqlstate == "SR409"
    assert states(business, sent, another) == ["queued", "queued"]


def test_many_are_moved_and_reworded_as_far_as_they_can_be(
    stack: Stack, business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A queued one is moved, and keeps its words."""
    sent, queued, waits = planned(business, queue, sender)
    later = stack.now() + timedelta(hours=2)
    reworded = application.write("update scheduled_sends set body = 'Come!' where business_id = %s", business.id)
    assert [row["id"] for row in reworded] == [waits]
    moved = application.write(
        "update scheduled_sends set scheduled_for = %s where business_id = %s", later, business.id
    )
    assert {row["id"] for row in moved} == {queued, waits}
    assert business.text_of(queued)["scheduled_for"] == later
    assert business.scheduled_send(sent)["scheduled_for"] < stack.now()


def test_an_upsert_of_scheduled_sends_writes_those_that_it_can(
    stack: Stack, business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """New ones too; alone, what is too late is refused."""
    sent, _, _ = planned(business, queue, sender)
    customer, due = business.scheduled_send(sent)["customer_id"], stack.now() + timedelta(hours=1)
    common = {"business_id": business.id, "customer_id": customer, "scheduled_for": due, "body": "See you"}
    late, new = common | {"id": sent, "status": "cancelled"}, common | {"id": uuid4(), "status": "scheduled"}
    made = application.insert("scheduled_sends", [late, new], on_conflict="merge")
    assert [row["id"] for row in made] == [new["id"]]
    with pytest.raises(psycopg.Error, match=_TOO_LATE):
        application.insert("scheduled_sends", [late], on_conflict="merge")
    assert states(business, sent, new["id"]) == ["queued", "scheduled"]


def test_a_trigger_of_the_applications_that_changes_others_does_not_hide_a_refusal(
    business: Business, application: Writer, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Each statement answers for its own rows, also one within another."""
    sent, _, waits = planned(business, queue, sender)
    business.connection.execute(
        f"""create function public.touch() returns trigger language plpgsql as $$
            begin update public.scheduled_sends set body = 'Touched' where id = '{waits}'; return new; end $$;
            create trigger a_touch before update of status on public.scheduled_sends for each row
            when (new.status = 'cancelled') execute function public.touch()""".encode()
    )
    try:
        with pytest.raises(psycopg.Error, match=_TOO_LATE):
            application.write("update scheduled_sends set status = 'cancelled' where id = %s", sent)
    finally:
        business.connection.execute("drop function public.touch() cascade")
    assert business.scheduled_send(waits)["body"] == "See you"
