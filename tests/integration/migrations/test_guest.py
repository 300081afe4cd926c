"""A guest in an application that was made for others: adopted as printed, a day's texts, removed, compared."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.migrations.fitting import COLUMNS
from smsretry.adapters.migrations.migrate import migrate
from smsretry.errors import MigrationError
from smsretry.local.business import PHONE, ZONE, Business
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from tests.integration.catalog import Database, complaints
from tests.support.records import columns
from tests.support.restoring import schema_of

_SCHEMA = Path(__file__).with_name("guest_schema.sql").read_bytes()
_REMOVE = (ROOT / "smsretry" / "supabase" / "remove.sql").read_text("utf-8")
_KEPT = """
select c.oid::regclass::text || '.' || a.attname as what, a.attnotnull::text || (d.oid is not null) as how
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
union all
select conrelid::regclass || '.' || conname, contype::text
from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'
union all
select indexrelid::regclass || '', 'index' from pg_index where indrelid::regclass::text !~ '[.]'
"""
"""What columns, constraints and indexes there are; whether a column may be null and has a default."""
_BEGIN = "select answer from begin_sms_attempt(%s, %s, %s, now() + interval '1 hour', 'test')"


@pytest.fixture
def gym(empty: Database) -> Database:
    """The application's database."""
    empty.run(_SCHEMA)
    return empty


@pytest.fixture
def migrator(gym: Database, running_stack: Stack) -> str:
    """The URL of who migrates it, who is no superuser."""
    name = gym.connection.info.dbname
    gym.run(f'grant create on database "{name}" to gym_migrator')
    running_stack.postgres.allow_login("gym_migrator")
    return running_stack.postgres.url(name, user="gym_migrator")


def kept_objects(database: Database) -> set[tuple[str, str]]:
    """What the application has."""
    return {columns(row, "what", "how") for row in database.rows(_KEPT)}


def write(business: Business) -> UUID:
    """Insert what the application inserts, in its original columns, defaults left out; returns the queue's row."""
    plan = "insert into scheduled_sends (business_id, scheduled_for) values (%s, %s)"
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    business.connection.execute(plan, [business.id, tomorrow])
    return business.due_text()


def make_it_fit(database: Database, url: str) -> None:
    """Run what `migrate` prints, to the letter."""
    with pytest.raises(MigrationError) as raised:
        migrate(url)
    _, *lines, _ = str(raised.value).splitlines()
    for line in lines:
        assert " rename " not in line or "routine" in line
        database.run(line[line.index(": alter ") + 2 :])


def send_all(database: Database) -> int:
    """Send all that is due, as a worker's calls do; returns how many texts went out."""
    database.run("set role service_role")
    texts = database.single_row("select claim_sms_texts(50) as claim")["claim"]["texts"]
    for text in texts:
        attempt = uuid4()
        fence = [text["id"], text["claim_no"], attempt]
        assert database.single_row(_BEGIN, *fence) == {"answer": "go"}
        sid = f"SM{attempt.hex}"
        finish = """select applied from finish_sms_attempt(
            %s, %s, %s, next_status => 'completed', outcome => 'accepted', twilio_sid => %s)"""
        assert database.single_row(finish, *fence, sid) == {"applied": True}
    database.run("reset role")
    return len(texts)


def test_an_application_of_another_kind_is_adopted_as_printed_sends_its_texts_and_is_as_it_was_after_removal(
    gym: Database, migrator: str
) -> None:
    """What is printed takes no default, rule or index; its own inserts work before, after and once it is removed."""
    business = Business(gym.connection, lambda: datetime.now(UTC)).open()
    write(business)
    before = kept_objects(gym)
    make_it_fit(gym, migrator)
    assert kept_objects(gym) == before
    renamed = "select has_function_privilege('anon', oid, 'execute') as may from pg_proc where proname = %s"
    assert gym.single_row(renamed, "app_recover_stuck_sms_retries") == {"may": False}
    write(business)
    fitted = schema_of(gym.url)
    warned: list[str] = []
    migrate(migrator, warn=warned.append)
    assert [text for text in warned if not text.startswith("consent: ")] == []
    assert complaints(gym.connection) == {}
    write(business)
    assert send_all(gym) == 3
    gym.run(f"delete from customers where id = '{business.customer(phone=None)}'")
    write(business)

    gym.run(f"set role gym_migrator; {_REMOVE}; reset role")
    after = schema_of(gym.url)
    left = set(after.splitlines())
    assert [
        line
        for line in fitted.splitlines()
        if line.rstrip(",") not in {each.rstrip(",") for each in left}
    ] == []
    assert "smsretry" not in after
    added = kept_objects(gym) - before
    assert {what.rpartition(".")[0] for what, how in added if how != "index"} == {
        "sms_send_attempts",
        "sms_retry_queue",
        "scheduled_sends",
        "businesses",
    }
    of_history = {what for what, how in added if how == "index"}
    assert all(index.startswith("sms_send_attempts_") for index in of_history)
    write(business)
    assert gym.single_row("select app_sms_total() as n") == {"n": 5}


def test_a_customer_whose_consent_is_null_gets_no_text(original: Database) -> None:
    """An application's column may be null, and that is no yes."""
    migrate(original.url)
    business = Business(original.connection, lambda: datetime.now(UTC)).open()
    row = business.due_text()
    original.run("update customers set sms_consent_status = null")
    [text] = original.single_row("select claim_sms_texts(1) as claim")["claim"]["texts"]
    fence = [row, text["claim_no"], uuid4()]
    assert original.single_row(_BEGIN, *fence) == {"answer": "ended"}
    assert business.row(row)["why_code"] == "not_consented"


# Each column of another type

_ODD = {
    "uuid": "text default gen_random_uuid()::text",
    "integer": "smallint default 3",
    "timestamp with time zone": "timestamp(3) default current_timestamp",
    "jsonb": "json default '{}'",
}
_DEFAULTS = {
    "status": "pending",
    "reason": "rate_limit",
    "message_class": "marketing",
    "channel": "sms",
    "phone": PHONE,
    "timezone": ZONE,
}


_FILLED = "id business_id status attempt_count max_attempts scheduled_for created_at updated_at"


def odd(column: str, type_: str, limited: str) -> str:
    """A column as an application may have it, with a default and a check; many are never null."""
    text = f"{limited} default '{_DEFAULTS.get(column, 'unknown')}'"
    filled = "not null" if column in _FILLED.split() else ""
    return f"{column} {_ODD.get(type_, text)} {filled} check ({column} is null or {column} is not null)"


@pytest.mark.parametrize("limited", ["varchar(40)", "character(40)", "label"])
def test_what_is_printed_for_a_column_keeps_its_default_check_and_index(
    empty: Database, limited: str
) -> None:
    """Each column that smsretry needs is of another type; the application inserts before, after, and beside it."""
    empty.run(
        f"create type label as enum ('unknown', '{ZONE}', '{PHONE}', 'pending', 'rate_limit', 'marketing', 'sms')"
    )
    for table, types in COLUMNS.items():
        parts = ", ".join(odd(name, type_, limited) for name, type_ in types.items())
        empty.run(f"create table {table} ({parts}, primary key (id))")
        for name, type_ in types.items():
            if type_ != "jsonb":  # json has no order
                empty.run(f"create index {table}_{name}_own on {table} ({name})")
    insert = "; ".join(f"insert into {table} default values" for table in COLUMNS)
    empty.run(insert)
    before = kept_objects(empty)
    make_it_fit(empty, empty.url)
    assert kept_objects(empty) == before
    empty.run(insert)
    migrate(empty.url)
    empty.run(insert)
    assert empty.single_row("select count(*) as n from sms_retry_queue") == {"n": 3}


def test_a_time_without_a_zone_is_taken_for_utc_wherever_the_database_is(
    original: Database,
) -> None:
    """A default that is UTC's stays so; one that is the session's does, too. Where that differs, `migrate` says it."""
    name = original.connection.info.dbname
    original.run(f"alter database {name} set timezone to 'Asia/Kolkata'")
    original.run(
        """set timezone to 'Asia/Kolkata';
           alter table sms_retry_queue alter scheduled_for type timestamp using '2026-03-01 10:00',
               alter created_at drop default, alter created_at type timestamp using created_at at time zone 'UTC',
               alter created_at set default (now() at time zone 'utc'),
               alter updated_at type timestamp, alter updated_at set default current_timestamp;
           with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple') returning id),
                c as (insert into customers (business_id) select id from b returning id, business_id),
                l as (insert into send_logs (business_id, customer_id, channel) select business_id, id, 'sms' from c
                      returning id, customer_id, business_id)
           insert into sms_retry_queue (business_id, customer_id, send_log_id, scheduled_for)
           select business_id, customer_id, id, '2026-03-01 10:00' from l"""
    )
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    assert "say 'Asia/Kolkata'" in str(raised.value)
    make_it_fit(original, original.url)
    [row] = original.rows(
        """insert into sms_retry_queue (business_id, customer_id, send_log_id, scheduled_for)
           select business_id, customer_id, send_log_id, scheduled_for from sms_retry_queue
           returning now() = created_at and now() = updated_at as now, scheduled_for as due"""
    )
    assert row == {"now": True, "due": datetime(2026, 3, 1, 10, tzinfo=UTC)}
