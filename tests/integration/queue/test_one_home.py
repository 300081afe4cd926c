"""A policy value has one home: where Python and SQL both need it, one tells the other, or a test compares them."""

import re
from collections import defaultdict
from datetime import timedelta
from typing import get_args

import psycopg
import pytest

from smsretry.adapters.migrations.schemas import schema_files
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import ListTexts, Requeue, WhichTexts
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import ListError
from smsretry.retry.backoff import RETRY_DELAYS, next_retry_delay
from smsretry.retry.before import LIFE
from smsretry.retry.delivery import FAILURES, FINAL
from smsretry.retry.profile import STALE_MINUTES
from smsretry.vocabulary import MESSAGE_ID, DeliveryStatus
from tests.conftest import Business
from tests.support.builders import SID, run
from tests.support.claims import claim_due


def answer(business: Business, query: str, *values: object) -> object:
    """The one value that the database answers."""
    [row] = business.connection.execute(query.encode(), values).fetchall()
    [value] = row.values()
    return value


def test_no_two_sql_files_have_the_same_constant() -> None:
    """What two of them need is a function in `policy/`: later one of the two would be changed."""
    homes = defaultdict[str, list[str]](list)
    for file in schema_files():
        for constant in re.findall(r"\b(k_\w+ constant .+?);", file.text):
            homes[constant].append(file.creates)
    assert {constant: files for constant, files in homes.items() if len(files) > 1} == {}


def test_python_reads_the_schedule_of_retries_that_the_database_goes_by(business: Business) -> None:
    """Past its end the last delay repeats."""
    for retries in (*range(len(RETRY_DELAYS) + 2), 1000, 2**31 - 1):
        assert answer(business, "select smsretry.retry_delay(%s)", retries) == next_retry_delay(retries)


@pytest.mark.parametrize(("minutes", "recovered"), [(STALE_MINUTES - 1, 0), (STALE_MINUTES, 1)])
def test_without_stale_minutes_recovery_waits_as_long_as_a_run_does(
    stack: Stack, business: Business, queue: SupabaseQueue, minutes: int, recovered: int
) -> None:
    """The application's call had that default before there was a package."""
    business.due_text()
    claim_due(queue, 1)
    stack.move_clock(timedelta(minutes=minutes))
    assert answer(business, "select count(*) from recover_stuck_sms_retries()") == recovered


def test_what_the_application_recovers_has_an_end_from_its_first_look_on(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its call says nothing of a text's life, and SQL had a number of its own for that."""
    row = business.due_text()
    business.connection.execute("select * from claim_due_sms_retries(1)")
    stack.move_clock(timedelta(minutes=11))
    business.connection.execute("select * from recover_stuck_sms_retries(10)")
    assert business.row(row)["expires_at"] is None
    stack.twilio.fail(ListError(), times=None)
    assert run(queue, sender) == ["InDoubt"]
    left = business.row(row)["expires_at"] - business.row(row)["updated_at"]
    assert left == LIFE


def test_a_claim_tells_how_long_a_body_may_be_and_one_character_more(business: Business, queue: SupabaseQueue) -> None:
    """So a body of megabytes is seen to be too long, and costs the other rows of its claim nothing."""
    business.due_text(body="x" * 5_000_000)
    [claim] = claim_due(queue, 1)
    assert claim.longest_body == answer(business, "select smsretry.longest_body()")
    assert len(claim.body or "") - 1 == claim.longest_body


@pytest.mark.parametrize(("phone", "told"), [("+12125550123", "…0123"), ("12345", "…"), ("", "…"), (None, "…")])
def test_a_claim_tells_no_more_of_a_number_than_its_last_digits(
    business: Business, queue: SupabaseQueue, phone: str | None, told: str
) -> None:
    """Four digits of five would be nearly all of it."""
    business.due_text(phone=phone)
    [claim] = claim_due(queue, 1)
    assert claim.masked == told


@pytest.mark.parametrize(
    "sid",
    [
        SID,
        SID.replace("SM", "MM"),
        SID * 2,
        f" {SID}",
        f"{SID}\n",
        "SM",
        "",
        "0b7f7a6e-1d3b-4a8e",
        "212-555-0100",
        "+12125550100",
    ],
)
def test_python_and_sql_know_the_same_message_ids(business: Business, sid: str) -> None:
    """A form checks one before it is sent, and the database whatever is called."""
    assert answer(business, "select smsretry.is_message_id(%s)", sid) is bool(re.fullmatch(MESSAGE_ID, sid))


@pytest.mark.parametrize("status", get_args(DeliveryStatus))
def test_python_and_sql_agree_on_what_a_delivery_status_means(business: Business, status: DeliveryStatus) -> None:
    """Python decides what follows from it, and SQL which of two reports is the later one."""
    [found] = business.connection.execute(
        """select smsretry.is_lost(r.status) as lost,
                  sign(smsretry.delivery_rank(r.status) - smsretry.delivery_rank('undelivered')) as beyond_lost
           from (select %s::text as status) r""",
        [status],
    ).fetchall()
    assert found["lost"] == (status in FAILURES) == (found["beyond_lost"] == 0)
    assert (status in FINAL) == (found["beyond_lost"] > 0)


LENGTHS = [
    ("sms_retry_queue", "why", "longest_reason"), ("sms_retry_queue", "last_error", "longest_reason"),
    ("scheduled_sends", "why", "longest_reason"), ("scheduled_sends", "body", "longest_body"),
]  # fmt: skip


@pytest.mark.parametrize(("table", "column", "longest"), LENGTHS)
def test_a_table_takes_as_much_as_is_ever_kept(business: Business, table: str, column: str, longest: str) -> None:
    """Its constraint holds the number itself."""
    business.due_text()
    business.scheduled()
    change = f"update {table} set {column} = repeat('x', smsretry.{longest}() + %s)".encode()
    business.connection.execute(change, [0])
    with pytest.raises(psycopg.errors.CheckViolation):
        business.connection.execute(change, [1])


@pytest.mark.parametrize("column", ["scheduled_for", "expires_at", "last_attempted_at"])
@pytest.mark.parametrize(
    "at", ["1999-12-31 23:59:59+00", "2000-01-01 00:00+00", "2100-01-01 00:00+00", "2100-01-01 00:00:01+00"]
)
def test_a_row_takes_the_times_that_are_ours(business: Business, column: str, at: str) -> None:
    """Likewise."""
    business.due_text()
    change = f"update sms_retry_queue set {column} = %s".encode()
    if answer(business, "select smsretry.on_calendar(%s)", at) is not None:
        business.connection.execute(change, [at])
    else:
        with pytest.raises(psycopg.errors.CheckViolation):
            business.connection.execute(change, [at])


_CHANGE = "change_sms_texts('requeue', jsonb_build_object('customer_id', gen_random_uuid())"
ORDERS = [
    (Requeue, "limit", f"{_CHANGE}, row_limit => %s)"),
    (Requeue, "more_attempts", f"{_CHANGE}, more_attempts => %s)"),
    (ListTexts, "limit", 'list_sms(\'{"states": ["due"]}\', row_limit => %s)'),
]


@pytest.mark.parametrize(("form", "field", "call"), ORDERS)
def test_a_form_takes_the_numbers_that_its_function_takes(
    business: Business, form: type[WhichTexts], field: str, call: str
) -> None:
    """The form refuses a number before it becomes a parameter of a run, and the function whoever calls."""
    of_form = form.model_json_schema()["properties"][field]
    for number in (of_form["minimum"], of_form["maximum"]):
        business.connection.execute(f"select * from {call}".encode(), [number])
    for number in (of_form["minimum"] - 1, of_form["maximum"] + 1):
        with pytest.raises(psycopg.Error) as refused:
            business.connection.execute(f"select * from {call}".encode(), [number])
        assert refused.value.sqlstate == "SR422"


def test_status_calls_late_what_the_uptime_check_calls_late(
    stack: Stack, business: Business, operators: SupabaseOperators
) -> None:
    """It is told from when on."""
    standing = QueueStatus.of(operators.status())
    business.due_text(due=timedelta(seconds=-standing.late_seconds))
    business.connection.execute(
        "insert into smsretry.runs (id, started_at, finished_at, told) values (gen_random_uuid(), %s, %s, '')",
        [stack.now(), stack.now()],
    )
    with pytest.raises(psycopg.ProgrammingError, match="1 texts are overdue"):
        business.connection.execute("select check_sms_retries()")
    stack.move_clock(timedelta(seconds=-1))
    business.connection.execute("select check_sms_retries()")


def test_an_application_s_claim_tells_that_the_number_opted_out(business: Business) -> None:
    """Its processor goes by the claim, and was told what the customer's second row says."""
    business.customer()
    business.connection.execute("update customers set sms_consent_status = 'opted_out'")
    row = business.due_text()
    [claim] = business.connection.execute("select * from claim_due_sms_retries(1)").fetchall()
    assert (claim["id"], claim["sms_consent_status"]) == (row, "opted_out")


def test_a_scheduled_send_whose_line_cannot_be_read_hides_no_other(business: Business, queue: SupabaseQueue) -> None:
    """All that were queued with it had gone untold, and the run ended with an error."""
    bad, good = business.scheduled(), business.scheduled(phone="+12125550100")
    business.connection.execute(
        f"""alter function queue_scheduled_sms rename to queue_scheduled_sms_as_it_is;
            create function queue_scheduled_sms(limit_count integer, ahead interval, life interval, without uuid[])
            returns table (scheduled_id uuid, business_id uuid, customer_id uuid, result text, why text, retry_id uuid)
            language sql as $$
                select q.scheduled_id, q.business_id, q.customer_id,
                       case q.scheduled_id when '{bad}' then 'a later version''s word' else q.result end,
                       q.why, q.retry_id
                from queue_scheduled_sms_as_it_is(limit_count, ahead, life) q $$;
            grant execute on function queue_scheduled_sms to service_role""".encode()
    )
    try:
        told = queue.queue_scheduled(10, timedelta(minutes=2))
    finally:
        business.connection.execute(
            b"""drop function queue_scheduled_sms;
                alter function queue_scheduled_sms_as_it_is rename to queue_scheduled_sms"""
        )
    assert [(send.scheduled_id, send.result) for send in told] == [(good, "queued")]
    assert business.scheduled_send(bad)["status"] == "queued"
