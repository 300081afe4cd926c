"""Whatever was changed by hand is named with what restores it. What is the application's is not judged."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.rows import dict_row

from smsretry.adapters.migrations.checksums import recorded
from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.stack import Stack
from tests.integration.catalog import Database, complaints
from tests.integration.conftest import _ROLES
from tests.record_schema import lines, path
from tests.record_schema import recorded as record_anew

_AGAIN = "run `smsretry migrate`, with --again if it was applied before"
_RIGHTS = "and that is not smsretry's: run `smsretry migrate --again`"


@pytest.fixture(scope="module")
def fresh(running_stack: Stack) -> Iterator[Database]:
    """A new installation, which each test leaves as it was."""
    running_stack.postgres.create_database("checksums")
    url = running_stack.postgres.url("checksums")
    with closing(psycopg.connect(url, autocommit=True, row_factory=dict_row)) as connection:
        connection.execute(_ROLES)
        migrate(url)
        yield Database(url, connection)


def test_the_list_is_as_it_is_recorded(running_stack: Stack) -> None:
    """Run: python -m tests.record_schema"""
    assert path().read_text(encoding="utf-8") == lines(record_anew(running_stack.postgres))


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


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "set local timezone = 'Asia/Tokyo'; set local datestyle = 'German'; set local intervalstyle = 'iso_8601'; "
        "set local quote_all_identifiers = on",
        _READ_AGAIN,
    ],
    ids=["fresh", "printed in another way", "restored from a dump, which sets other brackets"],
)
def test_of_an_installation_that_nobody_changed_nothing_is_said(fresh: Database, printed: str) -> None:
    """But how many objects there are."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(printed)
        assert complaints(fresh.connection) == {}


@pytest.mark.parametrize(
    "own",
    [
        """alter table sms_retry_queue alter column scheduled_for set default now(),
               add column campaign text not null default ''""",
        """alter table sms_retry_queue drop constraint sms_retry_queue_business_id_fkey,
               add constraint own_key foreign key (business_id) references businesses (id) on delete restrict""",
        "alter table scheduled_sends alter column created_at drop default, alter column body set not null",
        """create function own() returns trigger language plpgsql as 'begin return new; end';
           create trigger own before update on sms_retry_queue for each row execute function own();
           create policy own on sms_retry_queue for select to authenticated using (status = 'failed')""",
        "alter table sms_retry_queue enable always trigger smsretry_before_insert",
        "alter table sms_retry_queue set (fillfactor = 80, toast_tuple_target = 4080); grant all on send_logs to anon",
        "create role own; grant select on sms_send_attempts to own; grant usage on schema smsretry to own",
        "create table smsretry.own (id uuid primary key); create function smsretry.own() returns int return 1; "
        "revoke all on function smsretry.own from public; grant execute on function smsretry.own to service_role; "
        "grant select on smsretry.own to service_role; create index mine on smsretry.runs (told)",
    ],
)
def test_what_is_the_application_s_own_is_not_judged(fresh: Database, own: str) -> None:
    """Also in our tables, if it takes nothing from us."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(own)
        assert complaints(fresh.connection) == {}


CHANGED = {
    "function public.begin_sms_attempt(": (
        "do $$ begin execute format('alter function %s security definer', "
        "(select oid::regprocedure from pg_proc where proname = 'begin_sms_attempt')); end $$",
        f"differs from this version: {_AGAIN}",
    ),
    "function public.sms_status(integer)": (
        "create function sms_status(integer) returns integer language sql as 'select 1'",
        "has a name of smsretry's, and is another: alter routine public.sms_status(integer) rename to app_sms_status",
    ),
    "trigger smsretry_keep_consent on public.customers": (
        "alter table customers enable replica trigger smsretry_keep_consent",
        f"differs from this version: {_AGAIN}",
    ),
    "constraint sms_retry_queue_lease on public.sms_retry_queue": (
        """alter table sms_retry_queue drop constraint sms_retry_queue_lease,
               add constraint sms_retry_queue_lease check (true)""",
        "differs from this version. Run: alter table public.sms_retry_queue drop constraint sms_retry_queue_lease; "
        "then `smsretry migrate --again`",
    ),
    "constraint sms_send_attempts_one_per_claim on public.sms_send_attempts": (
        "alter table sms_send_attempts drop constraint sms_send_attempts_one_per_claim",
        f"is missing: {_AGAIN}",
    ),
    "index sms_retry_queue_one_live_row on public.sms_retry_queue": (
        """drop index sms_retry_queue_one_live_row;
           create index sms_retry_queue_one_live_row on sms_retry_queue (send_log_id)""",
        "differs from this version. Run: drop index public.sms_retry_queue_one_live_row; then `smsretry migrate",
    ),
    'policy "Owners queue retries of their texts" on public.sms_retry_queue': (
        'alter policy "Owners queue retries of their texts" on sms_retry_queue with check (true)',
        f"differs from this version: {_AGAIN}",
    ),
    "table public.sms_send_attempts": (
        "alter table sms_send_attempts alter column delivery_looks type bigint",
        f"differs from this version: {_AGAIN}. If it still differs, a column was changed: change it back to what ",
    ),
    "table public.sms_retry_queue": ("alter table sms_retry_queue disable row level security", "differs from this "),
    "column public.sms_retry_queue.reconciled_claim_no": (
        "alter table sms_retry_queue alter column reconciled_claim_no type integer",
        "differs from this version: ",
    ),
    "rights of anon": (
        "grant select on sms_send_attempts to anon",
        f"anon may select public.sms_send_attempts, {_RIGHTS}",
    ),
    "rights of a tenant": (
        "grant update (attempt_count) on sms_retry_queue to authenticated; grant usage on schema smsretry to anon; "
        "grant execute on function queue_sms_retry to public",
        f"authenticated may update attempt_count of public.sms_retry_queue, {_RIGHTS}",
    ),
    "settings of a request": (
        "set local synchronous_commit = off",
        "synchronous_commit is off, so a crash may forget that a text went out, which then goes out twice. Run: ",
    ),
    "role anon": ("grant service_role to anon", "may do all that service_role may. Run: revoke service_role from anon"),
    "role authenticated": ("alter role authenticated bypassrls", "is not bound by row level security, so it sees "),
    "key of the hashed numbers": (
        """with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'M') returning id)
           insert into customers (business_id, phone, sms_consent_status)
           select b.id, '+1212555012' || n, 'opted_out' from b, generate_series(1, 5) n;
           update smsretry.secret set key = sha256(key)""",
        "is not the one with which opt-outs were recorded, so nobody who opted out is recognized",
    ),
    "rights of the service": (
        "revoke insert on sms_send_attempts from service_role; "
        "do $$ begin execute format('revoke execute on function %s from service_role', "
        "(select oid::regprocedure from pg_proc where proname = 'say_opted_out')); end $$",
        "service_role may not call smsretry.say_opted_out(",
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_by_hand_is_named_with_what_restores_it(fresh: Database, what: str) -> None:
    """One thing is changed, and that one thing is told. That `--again` restores it is tried in test_migrations.py."""
    change, advice = CHANGED[what]
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(change)
        told = complaints(fresh.connection)
    [subject] = told
    assert advice in told[subject]
    assert subject.startswith(what) or (subject, what.partition(" ")[0]) == ("rights", "rights")


def test_of_another_version_s_database_the_first_are_named_and_the_rest_are_counted(fresh: Database) -> None:
    """And not a line for each of hundreds."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run("drop view smsretry.claimed_retry cascade; drop table smsretry.events, smsretry.runs cascade")
        told = complaints(fresh.connection)
    assert 10 < len(told) < 16
    assert [one for one in told if one.endswith(f" of {len(recorded())} functions, tables and the like")]
