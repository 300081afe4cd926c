"""Whatever was changed by hand is named, and what the line says restores it."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.rows import dict_row

from smsretry.adapters.migrations.catalog import OF_OTHERS, Entry, fresh_catalog, public_functions
from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.local.stack import Stack
from tests.e2e.planted.database import PLANTED, Planted
from tests.integration.catalog import Database, api_functions, compared, complaints, restoring_statements
from tests.integration.conftest import _ROLES
from tests.integration.migrations.test_migrations import VERSION_1_0_0
from tests.record_catalog import lines, path, recorded

_ELSEWHERE = "role authenticator"
"""What a statement sets for the next connection."""


@pytest.fixture(scope="module")
def fresh(running_stack: Stack) -> Iterator[Database]:
    """A new installation, which each test leaves as it was."""
    running_stack.postgres.create_database("catalog")
    url = running_stack.postgres.url("catalog")
    with closing(psycopg.connect(url, autocommit=True, row_factory=dict_row)) as connection:
        connection.execute(_ROLES)
        migrate(url)
        yield Database(url, connection)


def test_of_a_fresh_installation_nothing_is_said(fresh: Database) -> None:
    """Neither in another time zone, nor printed in another way."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(
            "set local timezone = 'Asia/Tokyo'; set local datestyle = 'German'; set local intervalstyle = 'iso_8601'"
        )
        fresh.run("set local quote_all_identifiers = on")
        assert complaints(fresh.connection) == {}
    subjects = {one.subject.partition(" (")[0] for one in compared(fresh.connection)}
    assert subjects > {"views", "triggers", "policies"}


_READ_AGAIN = """
do $$
declare
    one record;
begin
    for one in
        select k.conrelid::regclass as of, k.conname as name, pg_get_constraintdef(k.oid) as it from pg_constraint k
        where k.contype = 'c' and k.conrelid <> 0
          and (k.connamespace = 'smsretry'::regnamespace or k.conrelid in ('public.sms_retry_queue'::regclass,
               'public.sms_send_attempts'::regclass, 'public.scheduled_sends'::regclass))
    loop
        execute format('alter table %s drop constraint %I, add constraint %2$I %s', one.of, one.name, one.it);
    end loop;
    for one in select v.oid::regclass as of, pg_get_viewdef(v.oid) as it from pg_class v
               where v.relkind = 'v' and v.relnamespace = 'smsretry'::regnamespace
    loop
        execute format('create or replace view %s with (security_invoker = true) as %s', one.of, one.it);
    end loop;
end
$$;
"""


def test_of_a_restored_database_nothing_is_said(fresh: Database) -> None:
    """A dump prints each rule, and PostgreSQL sets other brackets when it has read that."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(_READ_AGAIN)
        assert complaints(fresh.connection) == {}


def test_the_list_has_all_that_the_schema_files_make(fresh: Database) -> None:
    """But what is only in tables that the application has when it has none of its own."""
    found = fresh.one("select examine_sms_retries('catalog', %s) as said", api_functions())["said"]
    made = {entry.key for entry in map(Entry.model_validate, found) if entry.kind != "grant"}
    ours = {key for key in made if key[1] not in (*OF_OTHERS, "public.sms_retry_queue") and key[2] not in OF_OTHERS}
    ours -= {key for key in ours if key[0] == "table" and f"public.{key[2]}" in OF_OTHERS}
    wanted = {entry.key for entry in fresh_catalog()}
    assert ours - wanted == set(), "run: python -m tests.record_catalog"
    assert public_functions() == sorted(api_functions())


@pytest.mark.long
def test_the_list_is_as_it_is_recorded(running_stack: Stack) -> None:
    """Run: python -m tests.record_catalog"""
    assert path().read_text(encoding="utf-8") == lines(recorded(running_stack.postgres))


def test_of_an_installation_of_1_0_0_that_was_upgraded_nothing_is_said(original: Database) -> None:
    """The application's own keys, checks, indexes, trigger and policies are not judged."""
    migrate(original.url, shipped=[one for one in migrations() if one.version <= VERSION_1_0_0])
    migrate(original.url)
    assert complaints(original.connection) == {}


def test_of_an_application_s_own_types_nothing_is_said(original: Database) -> None:
    """An enum or a varchar where we only read: PostgreSQL then writes casts into our views and triggers."""
    original.run(
        """create type channel as enum ('email', 'sms');
           alter table send_logs drop constraint send_logs_channel_known;
           alter table send_logs alter column channel type channel using channel::channel;
           alter table customers alter column phone type varchar(20), alter column timezone type varchar;
           alter table businesses alter column timezone type varchar(64)"""
    )
    migrate(original.url)
    assert complaints(original.connection) == {}


@pytest.mark.parametrize(
    "own",
    [
        "alter table sms_retry_queue alter column scheduled_for set default now()",
        """alter table sms_retry_queue drop constraint sms_retry_queue_business_id_fkey,
               add constraint own_key foreign key (business_id) references businesses (id) on delete restrict""",
        """alter table sms_retry_queue drop constraint sms_retry_queue_business_id_fkey,
               add constraint sms_retry_queue_business_id_fkey foreign key (business_id) references businesses (id)""",
        "drop index customers_phone; create index customers_phone on customers (phone) include (timezone)",
        "alter table scheduled_sends alter column created_at drop default, alter column body set not null",
        "alter table sms_retry_queue add column campaign text, alter column created_at set default clock_timestamp()",
        """create function own() returns trigger language plpgsql as 'begin return new; end';
           create trigger own before update on sms_retry_queue for each row execute function own();
           create policy own on sms_retry_queue for select to authenticated using (status = 'failed')""",
        "alter table sms_retry_queue enable always trigger smsretry_before_insert",
        "alter table sms_retry_queue set (fillfactor = 80, toast_tuple_target = 4080); grant all on send_logs to anon",
        "create role own; grant select on sms_send_attempts to own; grant usage on schema smsretry to own",
        "alter table smsretry.runs enable row level security; create index own on smsretry.runs (told)",
        "create table smsretry.own (id uuid primary key); create function smsretry.own() returns int return 1",
    ],
)
def test_what_is_the_application_s_own_is_not_judged(fresh: Database, own: str) -> None:
    """Also in our tables, if it takes nothing from us."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(own)
        assert complaints(fresh.connection) == {}


@pytest.mark.parametrize("planted", PLANTED, ids=[planted.what for planted in PLANTED])
def test_what_was_changed_by_hand_is_named_and_its_statement_restores_it(fresh: Database, planted: Planted) -> None:
    """One thing is changed, and that one thing is told. What only a migration restores is restored below."""
    with fresh.connection.transaction(force_rollback=True):
        if _ELSEWHERE in planted.database:
            fresh.run(planted.database.replace("alter role authenticator set", "set local"))
        else:
            fresh.run(planted.database)
        told = {f"{subject}: {advice}": advice for subject, advice in complaints(fresh.connection).items()}
        assert len(told) == 1, told
        [(said, advice)] = told.items()
        assert said.startswith(planted.line[5:])
        if _ELSEWHERE not in planted.database and (statements := restoring_statements(fresh.connection)):
            fresh.run("; ".join(statements))
            assert complaints(fresh.connection) == {} or "then `smsretry migrate --again`" in advice


def test_migrating_again_restores_all_that_is_said_to_be_restored_by_it(empty: Database) -> None:
    """All at once, and each statement that must be run first."""
    migrate(empty.url)
    for planted in PLANTED:
        if (
            "smsretry migrate" in planted.line
            or "grants" in planted.line
            or "policy" in planted.line
            or "otherwise" in planted.what
        ):
            with empty.connection.transaction():
                empty.run(planted.database)
    assert len(complaints(empty.connection)) > 8
    empty.run("; ".join(restoring_statements(empty.connection)))
    migrate(empty.url, again=True)
    assert complaints(empty.connection) == {}
