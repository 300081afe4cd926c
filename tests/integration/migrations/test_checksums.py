"""Whatever was changed by hand is named with what restores it. What is the application's is not judged."""

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg.rows import dict_row

from smsretry.adapters.migrations.checksums import dropping
from smsretry.adapters.migrations.migrate import migrate
from smsretry.adapters.migrations.schemas import schema_files, whole
from smsretry.local.stack import Stack
from tests.integration.catalog import Database, complaints
from tests.integration.conftest import _ROLES
from tests.record_schema import RECORDED, lines, path
from tests.record_schema import recorded as record_anew


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
    assert path(*RECORDED).read_text(encoding="utf-8") == lines(record_anew(running_stack.postgres))


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


NOT_JUDGED = [
    "",
    # printed in another way
    "set local timezone = 'Asia/Tokyo'; set local datestyle = 'German'; set local intervalstyle = 'iso_8601'; "
    "set local quote_all_identifiers = on",
    _READ_AGAIN,  # restored from a dump, which sets other brackets
    # the application's own, also in our tables, if it takes nothing from us
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
]


def test_what_is_as_it_was_or_the_application_s_own_is_not_judged(fresh: Database) -> None:
    """Nothing is said but how many objects there are."""
    for own in NOT_JUDGED:
        with fresh.connection.transaction(force_rollback=True):
            fresh.run(own)
            assert complaints(fresh.connection) == {}, own


CHANGED = {
    "function public.begin_sms_attempt(": "do $$ begin execute format('alter function %s security definer', "
    "(select oid::regprocedure from pg_proc where proname = 'begin_sms_attempt')); end $$",
    "trigger smsretry_keep_consent on public.customers": (
        "alter table customers enable replica trigger smsretry_keep_consent"
    ),
    "constraint sms_retry_queue_lease on public.sms_retry_queue": (
        """alter table sms_retry_queue drop constraint sms_retry_queue_lease,
               add constraint sms_retry_queue_lease check (true)"""
    ),
    "constraint sms_send_attempts_one_per_claim on public.sms_send_attempts": (
        "alter table sms_send_attempts drop constraint sms_send_attempts_one_per_claim"
    ),
    "index sms_retry_queue_one_live_row on public.sms_retry_queue": (
        """drop index sms_retry_queue_one_live_row;
           create index sms_retry_queue_one_live_row on sms_retry_queue (send_log_id)"""
    ),
    'policy "Owners queue retries of their texts" on public.sms_retry_queue': (
        'alter policy "Owners queue retries of their texts" on sms_retry_queue with check (true)'
    ),
    "domain smsretry.why_code": "alter domain smsretry.why_code drop constraint known",
    "column public.sms_retry_queue.reconciled_claim_no": (
        "alter table sms_retry_queue alter column reconciled_claim_no type integer"
    ),
    "table public.sms_send_attempts": "alter table sms_send_attempts alter column delivery_looks type bigint",
    "table public.sms_retry_queue": "alter table sms_retry_queue disable row level security",
    "table smsretry.runs": "grant select on smsretry.runs to anon",
    "rights on public.sms_retry_queue.why": "grant update (why) on sms_retry_queue to authenticated",
    "schema smsretry": "grant usage on schema smsretry to anon",
    "function queue_sms_retry(": "grant execute on function queue_sms_retry to public",
}
"""What was changed by hand, by the object that is named for it."""


@pytest.mark.parametrize("half", [0, 1])
def test_what_was_changed_by_hand_is_named_and_restored_by_one_command(fresh: Database, half: int) -> None:
    """Each thing that is changed is told, and nothing else. What no statement of ours changes back is said."""
    changed = list(CHANGED.items())[half::2]
    with fresh.connection.transaction(force_rollback=True):
        fresh.run(";".join(change for _, change in changed))
        told = {what.replace("public.queue", "queue"): advice for what, advice in complaints(fresh.connection).items()}
        assert len(told) == len(changed)
        for what, _ in changed:
            [advice] = [advice for subject, advice in told.items() if subject.startswith(what)]
            assert "run `smsretry migrate`, then with --again" in advice
        found = fresh.one("select examine_sms_retries() as found")["found"]
        fresh.run("".join(dropping(found)) + whole(schema_files()))
        left = {subject for subject, advice in told.items() if "change it back" in advice}
        assert {*complaints(fresh.connection)} <= left


def test_a_function_of_the_applications_with_a_name_of_ours_is_named(fresh: Database) -> None:
    """With the statement that renames it."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run("create function sms_status(integer) returns integer language sql as 'select 1'")
        [(subject, advice)] = complaints(fresh.connection).items()
    assert subject == "function public.sms_status(integer)"
    assert advice.endswith("is another: alter routine public.sms_status(integer) rename to app_sms_status")


def test_of_another_version_s_database_the_first_are_named_and_the_rest_are_counted(fresh: Database) -> None:
    """And not a line for each of hundreds."""
    with fresh.connection.transaction(force_rollback=True):
        fresh.run("drop view smsretry.claimed_retry cascade; drop table smsretry.events, smsretry.runs cascade")
        told = complaints(fresh.connection)
    assert 10 < len(told) < 16
    assert any(advice.endswith("more differ or are missing, too") for advice in told.values())
