"""How texts enter: `send_sms`, `queue_sms_retry`, and the application's own inserts. What is refused, and what stands
in whose place.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, cast
from uuid import uuid4

import httpx
import psycopg
import pytest

from smsretry import next_retry_delay, queue_sms_retry, send_sms
from smsretry.errors import InputError
from smsretry.local.business import Business
from smsretry.local.twilio.faults import AcceptThenDrop, JsonError
from smsretry.vocabulary import MessageClass
from tests.integration.story import Story
from tests.support.records import Record, columns
from tests.support.shop import Shop
from tests.support.waiting import until_locked_out

PASSING = JsonError(21702)


def test_a_first_send_goes_out_once_and_is_on_record(shop: Shop) -> None:
    """It has a row from the start, so that a crash in the middle loses nothing. Who asks again is told what to do."""
    log = shop.send_log(shop.customer())
    result = send_sms(log, queue=shop.queue, provider=shop.provider)
    assert (result.fate, shop.status_of(result.retry_id)) == ("Sent", "completed")
    assert shop.attempts_of(result.retry_id)[0]["attempt_number"] == 0
    with pytest.raises(InputError, match="was already sent: insert a new send log"):
        send_sms(log, queue=shop.queue, provider=shop.provider)
    assert len(shop.messages) == 1


def test_a_first_send_that_fails_for_a_moment_is_retried_three_times_after_each_of_the_delays(
    shop: Shop,
) -> None:
    """The first send is not one of the three retries. Row and send log end with the last error."""
    shop.twilio.fail(PASSING, times=None)
    row = send_sms(
        shop.send_log(shop.customer()), queue=shop.queue, provider=shop.provider
    ).retry_id
    waits = []
    while (waiting := shop.row(row))["status"] == "pending":
        assert waiting["why_code"] == "refused_for_now"
        waits.append(waiting["scheduled_for"] - waiting["updated_at"])
        shop.at(waiting["scheduled_for"])
        shop.run()
    assert waits == [next_retry_delay(retries) for retries in (0, 1, 2)]
    assert columns(waiting, "why_code", "attempt_count", "error_code") == (
        "attempts_used_up",
        3,
        21702,
    )
    assert shop.log_fields(row, "status error_message") == (
        "failed",
        waiting["last_error"],
    )
    assert len(shop.attempts_of(row)) == 4


def test_a_first_send_has_the_checks_of_every_retry(shop: Shop) -> None:
    """The hour, consent and the number; and its answer may be lost, after which asking again sends nothing."""
    for customer, fate, why_code in (
        ({"timezone": "Pacific/Honolulu"}, "Deferred", "quiet_hours"),
        ({"consent": "opted_out", "phone": "+12125550199"}, "Cancelled", "opted_out"),
        ({"phone": None}, "Failed", "no_phone"),
    ):
        customer_id = shop.customer(**cast(Record, customer))
        result = send_sms(
            shop.send_log(customer_id), queue=shop.queue, provider=shop.provider
        )
        assert (result.fate, result.why_code) == (fate, why_code)
    assert not shop.messages
    log = shop.send_log(shop.customer())
    shop.twilio.fail(AcceptThenDrop())
    fates = [
        send_sms(log, queue=shop.queue, provider=shop.provider).fate for _ in range(2)
    ]
    assert (fates, len(shop.messages)) == (["InDoubt", "Deferred"], 1)


def test_a_queued_retry_waits_as_long_as_its_attempts_say(shop: Shop) -> None:
    """By the database's schedule, which is Python's."""
    for attempts in (0, 1, 2, 9):
        log = shop.send_log(shop.customer())
        row = queue_sms_retry(log, "quiet_hours", attempts, queue=shop.queue).retry_id
        assert row
        queued = shop.row(row)
        wait = queued["scheduled_for"] - queued["created_at"]
        assert abs(wait - next_retry_delay(attempts)) < timedelta(seconds=1)


def test_queueing_a_text_twice_gives_the_row_that_it_has(shop: Shop) -> None:
    """One live row a text, which keeps its class: asking again frees nothing from the states' rules."""
    log = shop.send_log(shop.customer())
    first_queued = queue_sms_retry(log, "twilio_error", queue=shop.queue)
    again = queue_sms_retry(
        log, "rate_limit", 1, queue=shop.queue, message_class="transactional"
    )
    assert (first_queued.result, again.result) == ("queued", "already_queued")
    assert first_queued.retry_id == again.retry_id
    assert first_queued.retry_id
    assert shop.row(first_queued.retry_id)["message_class"] == "marketing"


def test_a_text_that_somebody_inserts_at_the_same_moment_is_that_row(
    shop: Shop,
) -> None:
    """Past the function, which locks the send log: one of the two would be an error."""
    customer = shop.customer()
    log = shop.send_log(customer)
    with ThreadPoolExecutor(1) as pool, shop.stack.connect() as other_connection:
        with other_connection.transaction():
            row = Business(other_connection, shop.now, id=shop.id).queue_row(
                log, customer
            )
            future = pool.submit(shop.sql, "select * from queue_sms_retry(%s)", log)
            until_locked_out(shop.connection, seen_by=other_connection)
        [queued] = future.result()
    assert columns(queued, "result", "retry_id") == ("already_queued", row)


def test_a_send_log_that_somebody_writes_at_this_moment_is_waited_for(
    shop: Shop,
) -> None:
    """It may be about to say that the text was sent."""
    log = shop.send_log(shop.customer())
    with (
        shop.stack.connect() as other_connection,
        other_connection.transaction(),
        shop.connection.transaction(force_rollback=True),
    ):
        other_connection.execute(
            "update send_logs set status = 'sent' where id = %s", [log]
        )
        shop.sql("set local lock_timeout = '10ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            shop.sql("select * from queue_sms_retry(%s)", log)


def test_what_cannot_be_queued_is_refused_with_what_to_do(shop: Shop) -> None:
    """Nothing is queued."""
    missing, email = uuid4(), shop.send_log(shop.customer())
    shop.sql("update send_logs set channel = 'email'")
    log, anothers = (
        shop.send_log(shop.customer()),
        shop.send_log(shop.neighbor().customer()),
    )
    refused: dict[str, Record] = {
        rf"^There is no send log {missing}\. Insert the send_logs row first": {
            "send_log_id": missing
        },
        "is of channel email, not sms": {"send_log_id": email},
        "names a customer of another business": {"send_log_id": anothers},
        "attempt_count": {"attempt_count": -1},
        "message_class must be marketing or transactional": {"message_class": "urgent"},
        "reason must be quiet_hours, twilio_error or rate_limit": {"reason": "because"},
    }
    correct: Record = {"send_log_id": log, "reason": None, "queue": shop.queue}
    for said, wrong in refused.items():
        with pytest.raises(InputError, match=said):
            queue_sms_retry(**correct | wrong)
    assert shop.value("select count(*) from sms_retry_queue") == 0


def test_past_the_last_attempt_nothing_is_queued_and_the_send_log_says_why(
    shop: Shop,
) -> None:
    """But a send that may not go out now, for quiet hours, is none of its attempts, and still owed."""
    for reason in ("twilio_error", "rate_limit", None):
        log = shop.send_log(shop.customer())
        queued = queue_sms_retry(
            log,
            cast(Any, reason),
            3,
            error="Twilio 30008: Unknown error",
            queue=shop.queue,
        )
        assert (queued.retry_id, queued.result) == (None, "attempts_exhausted")
        records = shop.sql(
            "select status, error_message from send_logs where id = %s", log
        )
        assert records == [
            {"status": "failed", "error_message": "Twilio 30008: Unknown error"}
        ]
    queue_sms_retry(shop.send_log(shop.customer()), "quiet_hours", 3, queue=shop.queue)
    customer = shop.customer()
    shop.sql(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, attempt_count, reason)
           values (%s, %s, %s, %s, 7, 'quiet_hours')""",
        *[shop.id, shop.send_log(customer), customer, shop.now()],
    )
    shop.at(shop.now() + next_retry_delay(3))
    assert shop.run() == ["Sent", "Sent"]


def test_the_application_s_two_calls_answer_with_rows_of_the_original_columns(
    shop: Shop,
) -> None:
    """As its TypeScript makes them: by name, over HTTP."""
    row = shop.due_text()
    url, key = shop.stack.environment()["SUPABASE_URL"], shop.stack.key("service_role")
    original = {
        "id", "business_id", "send_log_id", "customer_id", "status", "attempt_count", "max_attempts", "scheduled_for",
        "last_attempted_at", "last_error", "reason", "created_at", "updated_at",
    }  # fmt: skip
    for function, arguments, status in (
        ("claim_due_sms_retries", {"limit_count": 50}, "processing"),
        ("recover_stuck_sms_retries", {"stale_minutes": 10}, "pending"),
    ):
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        [found] = httpx.post(
            f"{url}/rest/v1/rpc/{function}", json=arguments, headers=headers
        ).json()
        assert columns(found, "id", "status") == (str(row), status)
        assert original <= found.keys()
        shop.later(minutes=11)


def test_no_index_and_no_trigger_of_ours_refuses_a_value(shop: Shop) -> None:
    """An index entry longer than a third of a page would be an error of the insert, and of the migration."""
    shop.due_text()
    noise = "(select string_agg(md5(n::text), '') from generate_series(1, 40000) n)"
    for table, column, value in (
        ("customers", "phone", noise),
        ("customers", "timezone", noise),
        ("send_logs", "subject", noise),
        (
            "send_logs",
            "provider_message_id",
            f"jsonb_build_object('twilio_sid', {noise})",
        ),
        ("send_logs", "provider_message_id", """'["SM", {"twilio_sid": 7}]'::jsonb"""),
    ):
        assert (
            shop.connection.execute(
                f"update {table} set {column} = {value}".encode()
            ).rowcount
            == 1
        )


# In the place of a row that the application's own processor holds


def held_text(shop: Shop, **customer: Any) -> Record:
    """A due text that it has claimed, as it would write the row back to try it again in a minute."""
    row = shop.row(shop.due_text(**customer))
    shop.sql("select claim_due_sms_retries(50)")
    return {name: row[name] for name in ("id", "business_id", "send_log_id", "customer_id")} | {
        "status": "pending", "attempt_count": 1, "scheduled_for": shop.now() + timedelta(minutes=1),
    }  # fmt: skip


def insert(shop: Shop, *rows: Record, on_conflict: str = "") -> int:
    """PostgREST's insert or upsert; how many rows it wrote."""
    names = list(rows[0])
    merge = f"on conflict (id) do update set {', '.join(f'{name} = excluded.{name}' for name in names)}"
    does = {"merge": merge, "ignore": "on conflict (id) do nothing", "": ""}[
        on_conflict
    ]
    places = ", ".join([f"({', '.join(['%s'] * len(names))})"] * len(rows))
    values = [row[name] for row in rows for name in names]
    return len(
        shop.sql(
            f"insert into sms_retry_queue ({', '.join(names)}) values {places} {does} returning 1",
            *values,
        )
    )


@pytest.mark.parametrize(
    "how",
    [
        "insert",
        "upsert of the row itself",
        "upsert of another",
        "function",
        "insert late",
        "function late",
    ],
)
def test_the_next_try_takes_the_place_of_the_row_that_the_application_s_processor_holds(
    shop: Shop, how: str
) -> None:
    """It inserts the next try and marks the present row failed. One live row is left, and one text goes out."""
    row, new = held_text(shop), uuid4()
    if how.endswith(" late"):
        shop.later(minutes=11)
        assert shop.recover() == [row["id"]]
        row["scheduled_for"] = shop.now() + timedelta(minutes=1)
    if how.startswith("function"):
        [queued] = shop.sql(
            "select * from queue_sms_retry(%s, 'twilio_error', 1)", row["send_log_id"]
        )
        assert queued["result"] == "queued"
        new = queued["retry_id"]
    elif how == "upsert of the row itself":
        insert(shop, row, on_conflict="merge")
        new = row["id"]
    else:
        insert(
            shop,
            row | {"id": new},
            on_conflict="merge" if how == "upsert of another" else "",
        )
    if new != row["id"]:
        shop.sql(
            "update sms_retry_queue set status = 'failed' where id = %s", row["id"]
        )
    assert shop.fields(new, "status last_error") == ("pending", None)
    shop.at(shop.row(new)["scheduled_for"])
    assert shop.run() == ["Sent"]
    assert len(shop.messages) == 1


STORIES = {
    f"what the application writes of its own claim counts, also when that has run out: {status}": f"""
        text
        the application claims: it
        11 minutes
        recover: it
        2 minutes
        select jsonb_array_length(claim_sms_texts(1) -> 'texts'): 1
        sql update sms_retry_queue set status = '{status}'
        it.sends.outcome settled_by: {outcome}, application
        30 minutes
        run:
        it.status in_doubt_since: {status}, None"""
    for status, outcome in (("completed", "accepted"), ("failed", "rejected"))
}


@pytest.mark.parametrize("story", STORIES)
def test_what_the_application_writes_of_its_own_claim_counts(
    shop: Shop, story: str
) -> None:
    """Nobody looks for the text any more, also if a worker was about to."""
    Story(shop).tell(STORIES[story])


def test_what_is_no_next_try_takes_no_place(shop: Shop) -> None:
    """A row that is not inserted because its id is there, a second call without another attempt, another business's
    row, and whatever is written beside a row that our own worker has.
    """
    row, other = held_text(shop), shop.due_text(phone="+12125550124")
    for taken in (row["id"], other):
        assert insert(shop, row | {"id": taken}, on_conflict="ignore") == 0
    [queued] = shop.sql("select * from queue_sms_retry(%s)", row["send_log_id"])
    assert columns(queued, "result", "retry_id") == ("already_queued", row["id"])
    theirs = shop.neighbor()
    anothers = row | {
        "id": uuid4(),
        "business_id": theirs.id,
        "customer_id": theirs.customer(),
        "attempt_count": 9,
    }
    with pytest.raises(psycopg.errors.UniqueViolation):
        insert(shop, anothers)
    record = shop.row(row["id"])
    assert columns(record, "status", "claimed_by_application", "last_error") == (
        "processing",
        True,
        None,
    )

    ours = shop.claim()
    [queued] = shop.sql(
        "select * from queue_sms_retry(%s, 'twilio_error', 1)", ours.send_log_id
    )
    assert columns(queued, "result", "retry_id") == ("already_queued", ours.id)


def test_a_text_of_no_stated_class_is_marketing(shop: Shop) -> None:
    """The stricter one: by the call, by an insert, and by a null. A stated class is kept, and told by the claim."""
    queue_sms_retry(shop.send_log(shop.customer()), "twilio_error", queue=shop.queue)
    shop.due_text()
    for stated in (None, "transactional"):
        queue_sms_retry(
            shop.send_log(shop.customer()),
            None,
            0,
            queue=shop.queue,
            message_class=cast(MessageClass, stated),
        )
    shop.later(minutes=2)
    classes = sorted(claim.message_class for claim in shop.claims())
    assert classes == ["marketing"] * 3 + ["transactional"]
    with pytest.raises(
        psycopg.errors.CheckViolation, match="sms_retry_queue_message_class"
    ):
        shop.sql("update sms_retry_queue set message_class = 'urgent'")
