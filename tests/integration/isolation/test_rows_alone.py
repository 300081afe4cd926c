"""A row answers for itself alone: whatever it holds, whoever wrote or locked it, the others go on as if it were not
there. What cannot be read ends or waits with that reason.
"""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from smsretry import send_sms
from smsretry.errors import QueueError, SmsRetryError
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.sending.run import run_once
from tests.integration.story import Story
from tests.support.builders import results_of, run_over
from tests.support.claims import claim_doubtful
from tests.support.records import Record
from tests.support.shop import Shop

MEDDLE = """
create function public.meddle() returns trigger language plpgsql as $$ begin {}; return new; end $$;
create trigger zz_meddle before insert on {} for each row execute function public.meddle()
"""
MENDED = "drop function public.meddle() cascade"


# Huge values


def test_megabytes_in_a_column_cost_the_claim_no_page(shop: Shop) -> None:
    """A claim that opened and hashed them would end at PostgREST's statement timeout, and nobody's texts be claimed."""
    hostile = shop.neighbor()
    customer = hostile.customer()
    for _ in range(12):
        hostile.queue_row(hostile.send_log(customer), customer)
    good = shop.due_text()
    noise = "(select string_agg(md5(n::text || random()), '') from generate_series(1, 60000) n)"
    cheap = pages_of_a_claim(shop)
    for change in (
        f"update customers set timezone = {noise}",
        f"update send_logs set provider_message_id = jsonb_build_object('x', {noise})",
    ):
        shop.sql(f"{change} where business_id = %s", hostile.id)
        assert pages_of_a_claim(shop) - cheap < 200, (
            change
        )  # to read one of the twelve whole takes 254
    assert good in [claim.id for claim in shop.claims()]


def pages_of_a_claim(shop: Shop) -> int:
    """Without the dead rows that others left. The fewest of three: a claim reads more when its plans are made anew."""
    shop.sql(
        "vacuum customers, send_logs, sms_retry_queue, sms_send_attempts, businesses"
    )
    explain = "explain (analyze, buffers, format json) select id from claim_due_sms_retries(50)"
    touched = list[int]()
    for _ in range(3):
        with shop.connection.transaction(force_rollback=True):
            plan = shop.value(explain)[0]["Plan"]
        touched.append(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])
    return min(touched)


STORIES = {
    "what is kept of megabytes is what a person reads: it is cut where it enters, or is copied": """
        text
        text error phone=+12125550124
        sql update customers set sms_consent_source = repeat('a form on our page ', 50000)
        sql update sms_retry_queue set status = 'failed' where id = {error}
        sql insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, last_error) \
            select business_id, send_log_id, customer_id, scheduled_for, repeat('x', 1000000) \
            from sms_retry_queue where id = {error}
        select length(last_error) from sms_retry_queue where last_error like 'xx%': 2000
        run: Sent, Sent
        select length(consent_source) from sms_send_attempts where retry_id = {it}: 200""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_huge_values(shop: Shop, story: str) -> None:
    """Nobody else's text waits for it."""
    Story(shop).tell(STORIES[story])


def test_an_answer_that_is_cut_off_costs_no_claim(shop: Shop) -> None:
    """max-rows below a group and a claim: each of them is one value."""
    for n in range(20):
        shop.due_text(phone=f"+121255501{n:02}")
    shop.stack.rpc_faults.max_rows = 10
    assert shop.run() == ["Sent"] * 20


# Locks


@pytest.mark.parametrize("table", ["customers", "send_logs"])
def test_what_another_transaction_holds_locked_delays_only_its_own_text(
    shop: Shop, table: str
) -> None:
    """An idle transaction may last for hours, and there may be many: one short wait, and no attempt is used. It might
    have gone out now, so its life counts from here.
    """
    locked, free = (
        shop.due_text(phone="+12125550101"),
        shop.due_text(phone="+12125550102"),
    )
    row = shop.row(locked)
    with shop.stack.connect() as connection, connection.transaction():
        key = row["customer_id" if table == "customers" else "send_log_id"]
        connection.execute(
            f"select from {table} where id = %s for update".encode(), [key]
        )
        fates = {row: result.fate for row, result in shop.results().items()}
    assert fates == {locked: "Deferred", free: "Sent"}
    assert shop.fields(locked, "attempt_count why_code") == (
        0,
        "locked",
    )
    assert shop.row(locked)["expires_at"] is not None
    shop.later(minutes=1)
    assert shop.run() == ["Sent"]


# What the database refuses


@pytest.mark.parametrize("alone", [True, False])
def test_a_row_that_the_database_refuses_to_begin_stops_no_other(
    shop: Shop, alone: bool
) -> None:
    """A trigger of the application's refuses one text. It is the oldest, so each run comes to it first."""
    bad = shop.due_text(due=timedelta(days=-1))
    neighbors = [shop if alone else shop.neighbor() for _ in range(3)]
    rows = [
        neighbor.due_text(phone=f"+1212555{n:04}")
        for n, neighbor in enumerate(neighbors)
    ]
    forbid = MEDDLE.format(
        f"if new.retry_id = '{bad}' then raise 'not this one'; end if",
        "sms_send_attempts",
    )
    with shop.changed(forbid, MENDED):
        for _ in range(2):
            shop.run()
            shop.later(minutes=1)
    assert shop.ends(*rows) == "completed completed completed"
    assert shop.run() == ["Sent"]


def test_without_the_key_of_the_hashes_nothing_is_sent_and_no_opt_out_is_taken(
    shop: Shop,
) -> None:
    """Nobody who opted out would be recognized. Whoever writes an opt-out is told, and what to do."""
    shop.due_text()
    customer = shop.customer(consent="opted_out")
    [key] = shop.sql("delete from smsretry.secret returning encode(key, 'hex') as hex")
    try:
        keyless = run_over(shop.queue, shop.provider)
        assert [result.fate for result in results_of(keyless)] == ["Deferred"]
        assert "smsretry.secret is empty" in (
            keyless.flow_control.database_trouble or ""
        )
        with pytest.raises(
            psycopg.errors.NoDataFound, match=r"smsretry\.secret is empty"
        ):
            shop.sql("update customers set sms_consent_status = 'opted_out'")
        with pytest.raises(SmsRetryError):
            shop.record_consent("opted_out", everywhere=True)
    finally:
        shop.sql(
            "insert into smsretry.secret (key) values (decode(%s, 'hex'))", key["hex"]
        )
    assert (
        shop.value(
            "select count(*) from customers where sms_consent_status = 'opted_in' and id <> %s",
            customer,
        )
        == 1
    )
    shop.later(minutes=1)
    assert shop.run() == ["Cancelled"]


# What no worker can read


@pytest.fixture
def unbounded(shop: Shop) -> Iterator[None]:
    """A database without the bounds on instants, such as one whose owner took them away."""
    rule = "from pg_constraint where conname = 'sms_retry_queue_instants'"
    bounds = shop.value(f"select pg_get_constraintdef(oid) {rule}")
    shop.sql("alter table sms_retry_queue drop constraint sms_retry_queue_instants")
    yield
    shop.sql("truncate sms_retry_queue cascade")
    shop.sql(
        f"alter table sms_retry_queue add constraint sms_retry_queue_instants {bounds}"
    )


def readable(shop: Shop, row: UUID) -> Record:
    """Of a row, what psycopg can read, too."""
    [record] = shop.sql(
        "select status, last_error, why, held_since from sms_retry_queue where id = %s",
        row,
    )
    return record


@pytest.mark.usefixtures("unbounded")
def test_a_first_send_whose_row_cannot_be_read_ends_with_that_reason(
    shop: Shop,
) -> None:
    """The reason names the column, and quotes no value of it. proofs/neighbors has rows that others wrote."""
    for change, fate, status in (
        ("new.expires_at := 'infinity'", "Failed", "failed"),
        (
            "new.status := 'cancelled'",
            "ClaimLost",
            "cancelled",
        ),  # as an opt-out may be faster
    ):
        with shop.changed(MEDDLE.format(change, "sms_retry_queue"), MENDED):
            result = send_sms(
                shop.send_log(shop.customer()), queue=shop.queue, provider=shop.provider
            )
        assert (result.fate, readable(shop, result.retry_id)["status"]) == (
            fate,
            status,
        )
    reason = shop.value(
        "select last_error from sms_retry_queue where status = 'failed'"
    )
    assert (
        reason
        == "Columns of its row, its customer or its business cannot be read: expires_at"
    )
    assert shop.messages == ()


@pytest.mark.usefixtures("unbounded")
def test_a_row_in_doubt_that_cannot_be_read_is_held_and_not_called_failed(
    shop: Shop,
) -> None:
    """It may have gone out."""
    row = shop.due_text()
    shop.twilio.fail(AcceptThenDrop())
    assert shop.run() == ["InDoubt"]
    shop.later(minutes=2)
    shop.sql("update sms_retry_queue set expires_at = 'infinity' where id = %s", row)
    assert claim_doubtful(shop.queue, 50) == []
    row_now = readable(shop, row)
    assert (row_now["status"], row_now["held_since"] is not None) == ("pending", True)
    assert (
        "Columns of its row, its customer or its business cannot be read: expires_at"
        in row_now["why"]
    )


@pytest.mark.usefixtures("unbounded")
def test_what_recovery_took_back_is_reported_as_far_as_it_can_be_read(
    shop: Shop,
) -> None:
    """A row that cannot be read must not stop the run before it has claimed anything."""
    good, bad = shop.due_text(), shop.due_text(phone="+12125550199")
    shop.claims()
    shop.later(minutes=11)
    shop.sql(
        "update sms_retry_queue set in_doubt_since = 'infinity', attempt_id = gen_random_uuid() where id = %s",
        bad,
    )
    assert shop.recover() == [good]
    assert readable(shop, bad)["status"] == "pending"


def test_when_columns_are_missing_all_claims_are_given_back(shop: Shop) -> None:
    """Code and database are of different versions: no row's fault, so no row pays."""
    rows = [shop.due_text(phone=f"+1212555010{n}") for n in range(3)]
    before = [shop.row(row) for row in rows]
    hide = """create schema beside; grant usage on schema beside to service_role;
              alter function claim_sms_texts set schema beside;
              create function claim_sms_texts(limit_count integer, account text default null, sender text default null,
                                              room jsonb default '{}', suspect boolean default false,
                                              slow uuid[] default '{}')
              returns jsonb language sql as $$
                  select jsonb_set(c, '{texts}', (select coalesce(jsonb_agg(t - 'fingerprint'), '[]')
                                                  from jsonb_array_elements(c -> 'texts') t))
                  from beside.claim_sms_texts(limit_count, account, sender, room, suspect, slow) c $$;
              grant execute on function claim_sms_texts to service_role"""
    undo = """drop function claim_sms_texts; alter function beside.claim_sms_texts set schema public;
              drop schema beside"""
    with (
        shop.changed(hide, undo),
        pytest.raises(
            QueueError,
            match=r"unusable columns: fingerprint\. .*`smsretry migrate` with this version",
        ),
    ):
        shop.claims()
    after = [shop.row(row) for row in rows]
    assert {row["status"] for row in after} == {"pending"}
    assert [row["scheduled_for"] for row in after] == [
        row["scheduled_for"] for row in before
    ]
    assert {row["recover_count"] for row in after} == {0}
    assert len(shop.claims()) == len(rows)


# What the database refuses


def test_a_run_that_could_claim_no_due_text_is_red_with_the_databases_words_and_one_that_could_is_green(
    shop: Shop,
) -> None:
    """The detail of the error is among them, and no number."""
    refused = shop.due_text(phone="+12125550101")
    shop.sql(
        f"""create function public.refuse() returns trigger language plpgsql as $$ begin
                raise 'No updates' using detail = 'Not of +1 212 555 0101 today'; end $$;
            create trigger refuse before update on sms_retry_queue for each row
                when (old.id = '{refused}') execute function public.refuse()"""
    )
    results, summary = run_once(run_over(shop.queue, shop.provider))
    assert (results, summary.needs_attention) == ([], True)
    assert "No updates: Not of … today" in str(summary)

    shop.due_text(phone="+12125550102")
    results, summary = run_once(run_over(shop.queue, shop.provider))
    assert ([result.fate for result in results], summary.needs_attention) == (
        ["Sent"],
        False,
    )
    shop.sql("drop function public.refuse() cascade")
    assert shop.run() == ["Sent"]
