"""`smsretry doctor` rehearses: queue, claim, begin and finish in the database, of which nothing stays."""

from typing import Any

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.errors import MigrationError
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.catalog import Database
from tests.support.records import Record

ROWS = """
select 'businesses' as what, to_jsonb(t) as row from businesses t
union all select 'customers', to_jsonb(t) from customers t
union all select 'send_logs', to_jsonb(t) from send_logs t
union all select 'sms_retry_queue', to_jsonb(t) from sms_retry_queue t
union all select 'sms_send_attempts', to_jsonb(t) from sms_send_attempts t
union all select 'consents', to_jsonb(t) from smsretry.consents t
order by 1, 2
"""


def _rehearse(database: Database) -> Record:
    return database.rows("select * from try_sms_retry_queue()")[0]


def test_a_rehearsal_goes_through_on_an_empty_database_and_leaves_nothing(
    migrated: Database,
) -> None:
    """Not even a customer."""
    assert _rehearse(migrated) == {
        "subject": "rehearsal of a text",
        "ok": True,
        "advice": None,
    }
    assert migrated.rows(ROWS) == []


def test_a_rehearsal_touches_no_row_of_the_application(
    business: Business, operators: SupabaseOperators, stack: Stack
) -> None:
    """Due texts are neither taken nor changed, nor waited for while somebody holds all of them."""
    for number in range(5):
        business.due_text(phone=f"+1212555010{number}")
    with stack.connect() as connection:
        before = connection.execute(ROWS).fetchall()
        with connection.transaction():
            connection.execute("select 1 from sms_retry_queue for update")
            connection.execute("select 1 from customers for update")
            [finding, *_] = operators.rehearse("all")
        assert (finding.ok, finding.advice) == (True, None)
        assert connection.execute(ROWS).fetchall() == before


PLANNED = """
with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple Street') returning id),
     c as (insert into customers (business_id, phone) select id, '+12125550123' from b returning id, business_id)
select from c cross join lateral schedule_sms(c.business_id, c.id, 'Hi', smsretry.clock() + interval '1 day')
"""
HARMS = {
    "alter table sms_retry_queue add check (completed_by is not null or status <> 'completed')": (
        "finish_sms_attempt (23514): "
    ),
    """create function busy() returns trigger language plpgsql as $$
       begin if new.status = 'processing' then return null; end if; return new; end $$;
       create trigger busy before update on sms_retry_queue for each row execute function busy()""": (
        "claim_sms_retry (SR500): it took no row"
    ),
    """create function lost() returns trigger language plpgsql as $$ begin return null; end $$;
       create trigger lost before insert on sms_send_attempts for each row execute function lost()""": (
        "begin_sms_attempt (23000): its attempt was not kept"
    ),
    "alter role service_role nobypassrls": ("queue_sms_retry (SR404): "),
    "revoke insert on smsretry.consents from service_role": (
        "record_inbound_sms (42501): permission denied for table consents"
    ),
    """alter table smsretry.consents alter id restart with 1;
       select smsretry.keep_words(
           smsretry.words_at(array[gen_random_uuid()], '+12125550123', 'opted_out', 'letter', now()));
       alter table smsretry.consents alter id restart with 1""": (
        "record_inbound_sms (23505): duplicate key value"
    ),
    "revoke update on scheduled_sends from service_role": (
        "queue_scheduled_sms (42501): permission denied for table scheduled_sends in smsretry.queue_scheduled. "
        "A grant is missing: run `smsretry migrate --again`"
    ),
    "revoke update on sms_send_attempts from service_role": (
        "finish_sms_attempt (42501): permission denied for table sms_send_attempts in smsretry.accept_attempt. "
        "A grant is missing: run `smsretry migrate --again`"
    ),
}

CHANGES = {
    """create function spelled() returns trigger language plpgsql as $$
       begin new.phone := '(500) 555-0006'; return new; end $$;
       create trigger spelled before insert on customers for each row execute function spelled()""": (
        "A trigger on customers writes numbers in another form"
    ),
    "alter role service_role set session_replication_role = replica": (
        "session_replication_role switches the triggers off"
    ),
    """create function tomorrow() returns trigger language plpgsql as $$
       begin new.scheduled_for := new.scheduled_for + interval '1 day'; return new; end $$;
       create trigger tomorrow before insert on sms_retry_queue for each row execute function tomorrow()""": (
        "A default or a trigger on sms_retry_queue changes when a text is due"
    ),
    "alter table sms_retry_queue alter status set default 'queued'": (
        "The default of sms_retry_queue.status is 'queued'"
    ),
    """create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1.2); return new; end $$;
       create trigger slow before insert on sms_retry_queue for each row execute function slow()""": (
        "A trigger on customers, send_logs or sms_retry_queue takes more than a second"
    ),
    "alter table sms_retry_queue alter message_class set default 'transactional'": (
        "A default or a trigger on sms_retry_queue changes"
    ),
}


def test_what_changes_a_text_as_it_is_written_is_named_beside_the_rehearsal(
    migrated: Database,
) -> None:
    """It keeps nobody from migrating. Elsewhere nothing is told."""
    for change, said in CHANGES.items():
        with migrated.connection.transaction(force_rollback=True):
            migrated.run(f"{change}; set local role service_role")
            complaint = migrated.rows("select * from try_sms_retry_queue()")[1]
        assert (complaint["ok"], complaint["advice"].startswith(said)) == (
            False,
            True,
        ), complaint
    assert migrated.rows("select * from try_sms_retry_queue()")[1]["ok"]


def test_a_rehearsal_says_at_which_step_it_fails(migrated: Database) -> None:
    """With PostgreSQL's code and message; no value of a row is in them."""
    for harm, said in HARMS.items():
        with migrated.connection.transaction(force_rollback=True):
            migrated.run(PLANNED)
            migrated.run(
                f"alter table sms_retry_queue add column completed_by text; {harm}"
            )
            migrated.run("set local role service_role")
            found = _rehearse(migrated)
        assert (found["ok"], found["advice"].startswith(f"fails: {said}")) == (
            False,
            True,
        ), (harm, found)


def test_a_rehearsal_takes_a_text_that_is_there_where_none_can_be_made(
    original: Database,
) -> None:
    """The application's own rules may refuse a customer. Without a text nothing is migrated; a sent one will do."""
    original.run("alter table customers add column full_name text not null")
    with pytest.raises(
        MigrationError,
        match=r'null value in column "full_name".*insert a business.*Nothing was changed\.$',
    ):
        migrate(original.url)

    original.run(
        """insert into businesses (user_id, name) values (gen_random_uuid(), 'Maple Street');
           insert into customers (business_id, phone, full_name, sms_consent_status)
           select id, '+12125550123', 'Ann', 'opted_out' from businesses;
           insert into send_logs (business_id, customer_id, channel, subject, status, provider_message_id)
           select business_id, id, 'sms', 'Hi Ann', 'sent', '{"twilio_sid": "SM1"}' from customers;
           alter table send_logs add column template text default 'hello';
           update send_logs set template = 'x'; alter table send_logs alter template drop default,
               alter template set not null"""
    )
    migrate(original.url)
    before = original.rows(ROWS)
    assert _rehearse(original) == {
        "subject": "rehearsal of a text",
        "ok": True,
        "advice": None,
    }
    assert original.rows(ROWS) == before


def test_an_empty_database_is_rehearsed_with_rows_of_the_caller_s_which_are_taken_back(
    original: Database,
) -> None:
    """As the pytest plugin does for a schema whose columns need values."""
    original.run("alter table businesses add column slug text not null")

    def write_sample(connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "insert into businesses (user_id, name, slug) values (gen_random_uuid(), 'Maple Street', 'maple')"
        )

    assert migrate(original.url, write_sample=write_sample) == migrations()
    assert original.rows(ROWS) == []


def test_a_trigger_that_finds_its_tables_by_the_caller_s_path_is_named_with_what_to_run(
    original: Database,
) -> None:
    """Its function runs with our search_path."""
    original.run(
        """create table texts_seen (id uuid);
           create function note() returns trigger language plpgsql as $$
           begin insert into texts_seen values (new.id); return new; end $$;
           create trigger "Note it" after insert on sms_retry_queue for each row execute function note()"""
    )
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    assert (
        'an insert of the application\'s (42P01): relation "texts_seen" does not exist in public.note. '
        in str(raised.value)
    )
    original.run("alter function note() set search_path = public")
    assert migrate(original.url) == migrations()
