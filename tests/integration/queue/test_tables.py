"""The application's own `.from()` calls, by supabase's client over HTTP: upserts and changes of many rows at once."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from postgrest import SyncPostgrestClient
from postgrest.exceptions import APIError

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.support.builders import run

Client = Any
"""A SyncPostgrestClient, whose own types say of a row only that it is JSON."""


def client_of(stack: Stack, key: str) -> Client:
    """What `create_client(…).from_` uses, with this key."""
    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    return SyncPostgrestClient(f"{stack.environment()['SUPABASE_URL']}/rest/v1", headers=headers)


@pytest.fixture
def application(stack: Stack) -> Iterator[Client]:
    """The application's backend."""
    with client_of(stack, stack.key("service_role")) as client:
        yield client


@pytest.fixture
def owner(stack: Stack, business: Business) -> Iterator[Client]:
    """The business's owner, signed in: row level security holds."""
    with client_of(stack, stack.key("authenticated", sub=str(business.user_id))) as client:
        yield client


def held_by(application: Client, business: Business) -> dict[str, Any]:
    """A due text that the application's own processor has claimed, as the row it would write back."""
    row = business.row(business.due_text())
    assert len(application.rpc("claim_due_sms_retries", {"limit_count": 50}).execute().data) == 1
    columns = ("id", "business_id", "send_log_id", "customer_id", "max_attempts")
    return {column: row[column] if column == "max_attempts" else str(row[column]) for column in columns}


def next_try(stack: Stack, held: dict[str, Any]) -> dict[str, Any]:
    """The row, as the processor queues it again."""
    due = (stack.now() + timedelta(minutes=1)).isoformat()
    return held | {"status": "pending", "attempt_count": 1, "scheduled_for": due, "reason": "twilio_error"}


# Upserts of the queue's rows


def test_a_processor_may_upsert_the_row_that_it_holds(
    stack: Stack, business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It had been an error 500: the insert ended the row that the same statement then updates."""
    held = held_by(application, business)
    application.from_("sms_retry_queue").upsert(next_try(stack, held)).execute()
    row = business.row(UUID(held["id"]))
    assert (row["status"], row["attempt_count"], row["last_error"]) == ("pending", 1, None)
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent"]
    assert len(stack.twilio.ledger.entries()) == 1


def test_an_upsert_that_ignores_duplicates_leaves_the_row_as_it_is(
    stack: Stack, business: Business, application: Client
) -> None:
    """It had ended the row as "its next try is another row", and there was none."""
    held = held_by(application, business)
    made = application.from_("sms_retry_queue").upsert(next_try(stack, held), ignore_duplicates=True).execute()
    assert made.data == []
    row = business.row(UUID(held["id"]))
    assert (row["status"], row["claimed_by_application"], row["last_error"]) == ("processing", True, None)


def test_a_row_that_is_not_inserted_takes_no_place(
    stack: Stack, business: Business, application: Client, owner: Client
) -> None:
    """Whoever writes it, and whosever row has the id: a text that has ended, and another text that waits."""
    held = held_by(application, business)
    ended, other = uuid4(), business.due_text()
    business.connection.execute(
        """insert into sms_retry_queue (id, business_id, send_log_id, customer_id, status, scheduled_for)
           values (%s, %s, %s, %s, 'failed', now())""",
        [ended, business.id, held["send_log_id"], held["customer_id"]],
    )
    for writer in (application, owner):
        for taken in (ended, other):
            row = next_try(stack, held) | {"id": str(taken)}
            writer.from_("sms_retry_queue").upsert(row, ignore_duplicates=True, returning="minimal").execute()
            assert business.row(UUID(held["id"]))["status"] == "processing"
    assert business.row(ended)["status"] == "failed"


def test_an_upsert_of_many_rows_that_it_holds_queues_each(
    stack: Stack, business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """One of them as a new row: it takes the place of the one that is held."""
    rows = [business.row(business.due_text(phone=f"+1212555010{n}")) for n in range(3)]
    application.rpc("claim_due_sms_retries", {"limit_count": 50}).execute()
    columns = ("id", "business_id", "send_log_id", "customer_id")
    tries = [next_try(stack, {column: str(row[column]) for column in columns}) for row in rows]
    tries[2]["id"] = str(uuid4())
    application.from_("sms_retry_queue").upsert(tries).execute()
    assert [business.row(row["id"])["status"] for row in rows] == ["pending", "pending", "failed"]
    stack.move_clock(timedelta(minutes=1))
    assert run(queue, sender) == ["Sent", "Sent", "Sent"]


# Quiet hours cost no attempt


@pytest.mark.parametrize("attempts", [3, 7])
def test_a_text_that_waits_for_an_opening_is_queued_whatever_its_attempts(
    stack: Stack, business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender,
    attempts: int,
) -> None:  # fmt: skip
    """By the function and by an insert: the send that may not go out now is none of its attempts, and still owed."""
    opening = (stack.now() + timedelta(minutes=5)).isoformat()
    first, second = (business.customer(phone=f"+1212555010{n}") for n in range(2))
    asked = {
        "send_log_id": str(business.send_log(first)), "reason": "quiet_hours", "attempt_count": attempts,
        "scheduled_for": opening,
    }  # fmt: skip
    [queued] = application.rpc("queue_sms_retry", asked).execute().data
    assert queued["result"] == "queued"
    inserted = {
        "business_id": str(business.id), "send_log_id": str(business.send_log(second)), "customer_id": str(second),
        "attempt_count": attempts, "scheduled_for": opening, "reason": "quiet_hours",
    }  # fmt: skip
    application.from_("sms_retry_queue").insert(inserted).execute()
    stack.move_clock(timedelta(minutes=6))
    assert run(queue, sender) == ["Sent", "Sent"]


def test_attempts_that_were_made_still_end_a_text(business: Business, application: Client) -> None:
    """For any other reason, and for none."""
    for reason in ("twilio_error", "rate_limit", None):
        log = str(business.send_log(business.customer()))
        asked = {"send_log_id": log, "reason": reason, "attempt_count": 3}
        [queued] = application.rpc("queue_sms_retry", asked).execute().data
        assert queued["result"] == "attempts_exhausted"


def test_quiet_hours_make_no_number_of_what_is_none(
    stack: Stack, business: Business, application: Client, owner: Client
) -> None:
    """Null is refused as ever, and a count below the last attempt stays what it is, by a backend and by an owner."""
    for writer in (application, owner):
        customer = business.customer()
        row = {
            "business_id": str(business.id), "send_log_id": str(business.send_log(customer)),
            "customer_id": str(customer), "scheduled_for": stack.now().isoformat(), "reason": "quiet_hours",
        }  # fmt: skip
        with pytest.raises(APIError) as refused:
            writer.from_("sms_retry_queue").insert(row | {"attempt_count": None}).execute()
        assert refused.value.code in ("23502", "42501")
        [made] = writer.from_("sms_retry_queue").insert(row | {"attempt_count": 1}).execute().data
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
    """One that was sent had refused all of them, for ever. The rows of the answer are those that were cancelled."""
    client: Client = request.getfixturevalue(who)
    sent, queued, waits = planned(business, queue, sender)
    table, customer = client.from_("scheduled_sends"), str(business.scheduled_send(sent)["customer_id"])
    answer = table.update({"status": "cancelled"}, count="exact").eq("customer_id", customer).execute()
    assert {row["id"] for row in answer.data} == {str(queued), str(waits)}
    assert answer.count == 2
    assert states(business, sent, queued, waits) == ["queued", "cancelled", "cancelled"]
    assert business.text_of(sent)["status"] == "completed"
    assert business.text_of(queued)["status"] == "cancelled"


def test_what_cannot_be_cancelled_alone_is_refused(
    business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nobody believes that it was cancelled: one that was sent, alone, or several of which none can be."""
    sent, queued, waits = planned(business, queue, sender)
    table = application.from_("scheduled_sends")
    others = table.update({"status": "cancelled"}).in_("id", [str(queued), str(waits)]).execute()
    assert len(others.data) == 2
    another, *_ = planned(business, queue, sender)
    for ids in ([sent], [sent, another]):
        with pytest.raises(APIError) as refused:
            table.update({"status": "cancelled"}, returning="minimal").in_("id", [str(one) for one in ids]).execute()
        assert refused.value.code == "SR409"
        assert "It is too late to change scheduled send" in (refused.value.message or "")
    assert states(business, sent, another) == ["queued", "queued"]


def test_many_are_moved_and_reworded_as_far_as_they_can_be(
    stack: Stack, business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """A queued one is moved, and keeps its words."""
    sent, queued, waits = planned(business, queue, sender)
    table, later = application.from_("scheduled_sends"), stack.now() + timedelta(hours=2)
    reworded = table.update({"body": "Come!"}).eq("business_id", str(business.id)).execute()
    assert [row["id"] for row in reworded.data] == [str(waits)]
    moved = table.update({"scheduled_for": later.isoformat()}).eq("business_id", str(business.id)).execute()
    assert {row["id"] for row in moved.data} == {str(queued), str(waits)}
    assert business.text_of(queued)["scheduled_for"] == later
    assert business.scheduled_send(sent)["scheduled_for"] < stack.now()


def test_an_upsert_of_scheduled_sends_writes_those_that_it_can(
    stack: Stack, business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """New ones too; alone, what is too late is refused."""
    sent, _, _ = planned(business, queue, sender)
    customer = str(business.scheduled_send(sent)["customer_id"])
    new, due = str(uuid4()), (stack.now() + timedelta(hours=1)).isoformat()
    common = {"business_id": str(business.id), "customer_id": customer, "scheduled_for": due, "body": "See you"}
    late = common | {"id": str(sent), "status": "cancelled"}
    table = application.from_("scheduled_sends")
    both = table.upsert([late, common | {"id": new, "status": "scheduled"}]).execute()
    assert [row["id"] for row in both.data] == [new]
    with pytest.raises(APIError) as refused:
        table.upsert(late).execute()
    assert refused.value.code == "SR409"
    assert states(business, sent, UUID(new)) == ["queued", "scheduled"]


def test_a_trigger_of_the_applications_that_changes_others_does_not_hide_a_refusal(
    business: Business, application: Client, queue: SupabaseQueue, sender: TwilioSender
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
        with pytest.raises(APIError) as refused:
            application.from_("scheduled_sends").update({"status": "cancelled"}).eq("id", str(sent)).execute()
        assert refused.value.code == "SR409"
    finally:
        business.connection.execute("drop function public.touch() cascade")
    assert business.scheduled_send(waits)["body"] == "See you"
