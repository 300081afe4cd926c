"""A migration takes nothing from the application without a word: what it drops, it makes again or names before.

Two invented applications are compared before and after by a catalog of this file's own, which shares no code with the
package. What is missing afterwards must have been announced, and what was announced must be missing.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from psycopg.rows import tuple_row

from smsretry.adapters.migrations import migrate as migrating
from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.errors import MigrationError
from smsretry.local.stack import Stack
from tests.integration.catalog import Database
from tests.integration.conftest import ORIGINAL
from tests.integration.migrations.test_migrating_beside_readers import everything

_APPLICATIONS = Path(__file__).with_name("applications")
_VERSION_1_0_0 = "20261125000400"
_TABLES = "('businesses', 'customers', 'send_logs', 'scheduled_sends', 'sms_retry_queue')"
_CATALOG = f"""
select 'policy', tablename, policyname, concat_ws(' | ', permissive, roles, cmd, qual, with_check,
       (select description from pg_description d join pg_policy y on y.oid = d.objoid
        where y.polname = policyname and y.polrelid = tablename::regclass and d.classoid = 'pg_policy'::regclass))
from pg_policies where tablename in {_TABLES}
union all
select 'grant', table_name, grantee, privilege_type from information_schema.table_privileges
where table_name in {_TABLES} and grantee <> current_user
union all
select 'column grant', table_name, grantee, privilege_type || ' ' || column_name
from information_schema.column_privileges where table_name in {_TABLES} and grantee <> current_user
union all
select 'column', table_name, column_name, concat_ws(' ', data_type, is_nullable, column_default)
from information_schema.columns where table_name in {_TABLES}
union all
select 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid) || tgenabled::text from pg_trigger
where not tgisinternal and tgrelid::regclass::text in {_TABLES}
union all
select 'index', tablename, indexname, indexdef from pg_indexes where tablename in {_TABLES}
union all
select 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid::regclass::text in {_TABLES} and contype <> 'n'
union all
select 'table', relname, 'row level security', relrowsecurity::text || relforcerowsecurity::text from pg_class
where relname in {_TABLES}
union all
select 'option', relname, split_part(o, '=', 1), o from pg_class, unnest(reloptions) o where relname in {_TABLES}
union all
select 'publication', tablename, pubname, '' from pg_publication_tables where tablename in {_TABLES}
union all
select 'comment', table_name, column_name, col_description(table_name::regclass, ordinal_position)
from information_schema.columns where table_name in {_TABLES}
union all
select 'function', 'public', proname, prosrc from pg_proc where pronamespace = 'public'::regnamespace
"""
Fact = tuple[str, str, str, str]
Application = Callable[[str], Database]


def facts(database: Database) -> set[Fact]:
    """The shared tables, and the functions in public, as they are."""
    with closing(database.connection.cursor(row_factory=tuple_row)) as cursor:
        return {fact for fact in cursor.execute(_CATALOG.encode()).fetchall() if fact[3] is not None}


def lost(before: set[Fact], after: set[Fact]) -> set[tuple[str, str]]:
    """The names of what is gone or otherwise, each with its table."""
    return {(relation, name) for _, relation, name, _ in before - after}


def unannounced(gone: set[tuple[str, str]], announced: list[str]) -> set[tuple[str, str]]:
    """What no sentence names."""
    return {(relation, name) for relation, name in gone if not any(_names(one, relation, name) for one in announced)}


def _names(sentence: str, relation: str, name: str) -> bool:
    return relation in sentence and name in sentence.replace('""', '"')


@pytest.fixture
def application(new_database: Callable[[], Database]) -> Iterator[Application]:
    """Makes the database of an invented application."""
    made = []

    def make(name: str) -> Database:
        database = new_database()
        made.append(database)
        database.run(ORIGINAL + (_APPLICATIONS / f"{name}.sql").read_bytes())
        return database

    yield make
    for database in made:
        database.run("drop owned by dispatcher; drop role dispatcher" if _has_dispatcher(database) else "")


def _has_dispatcher(database: Database) -> bool:
    return bool(database.rows("select from pg_roles where rolname = 'dispatcher'"))


APPLICATIONS = ("team", "own_ways")


@pytest.mark.long
@pytest.mark.parametrize("name", APPLICATIONS)
def test_what_an_application_loses_was_announced_and_nothing_else_was(application: Application, name: str) -> None:
    """In a dry run, in earnest, and when all is applied again, which takes nothing any more."""
    database = application(name)
    before = facts(database)
    foreseen, announced, again = list[str](), list[str](), list[str]()
    migrate(database.url, drop_policies=True, past_sends="cancel", dry_run=True, announce=foreseen.append)
    assert facts(database) == before
    migrate(database.url, drop_policies=True, past_sends="cancel", announce=announced.append)
    assert announced == foreseen
    once = facts(database)
    gone = lost(before, once)
    assert gone
    assert unannounced(gone, announced) == set()
    untrue = [one for one in announced if not any(_names(one, *each) for each in gone)]
    assert [one.partition(":")[0] for one in untrue] == ["policies of sms_retry_queue"]  # what is added to them
    migrate(database.url, again=True, announce=again.append)
    assert again == []
    assert facts(database) == once


@pytest.mark.long
def test_the_comparison_sees_what_is_not_brought_back(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the restoring, the adoption takes the policies that only read or restrict, and says nothing of it."""
    database = application("team")
    before, announced = facts(database), list[str]()
    monkeypatch.setattr(migrating, "restore_policies", lambda *_: ())
    migrate(database.url, drop_policies=True, announce=announced.append)
    assert unannounced(lost(before, facts(database)), announced) >= {
        ("sms_retry_queue", "Second factor"), ("sms_retry_queue", "Team members read"),
        ("sms_retry_queue", "The dispatcher works"), ("sms_retry_queue", "see own retries"),
    }  # fmt: skip


def test_a_policy_that_lets_tenants_do_more_is_named_with_what_to_run_before_anything_is_changed(
    application: Application,
) -> None:
    """The statements as printed make the migration go through. Of a policy for all commands the reading stays."""
    database = application("team")
    before = everything(database)
    with pytest.raises(MigrationError) as raised:
        migrate(database.url)
    assert everything(database) == before
    lines = [line.strip() for line in str(raised.value).splitlines()[1:-1]]
    assert [line.partition(" lets tenants ")[0] for line in lines] == [
        'policy "Team members ""do"" all" of sms_retry_queue',
        'policy "add own retries" of sms_retry_queue',
        'policy "change own retries" of sms_retry_queue',
    ]
    assert "`smsretry migrate --drop-policies`" in str(raised.value)
    for line in lines:
        database.run(line.partition(": ")[2])
    announced: list[str] = []
    assert migrate(database.url, announce=announced.append) == migrations()
    assert not [one for one in announced if one.startswith("policy ")]
    kept = database.one("""select cmd from pg_policies where policyname = 'Team members "do" all'""")
    assert kept == {"cmd": "SELECT"}


def test_after_a_migration_people_see_what_they_saw_before(application: Application) -> None:
    """A team member still sees the team's rows. Without a second factor nobody does, the owner included."""
    database = application("team")
    owner, member, team = uuid4(), uuid4(), uuid4()
    business = database.one(
        "insert into businesses (user_id, name, team_id) values (%s, 'Maple Street', %s) returning id", owner, team
    )["id"]
    database.rows("insert into members values (%s, %s) returning 1", team, member)
    customer = database.one("insert into customers (business_id) values (%s) returning id", business)["id"]
    log = database.one(
        "insert into send_logs (business_id, customer_id, channel) values (%s, %s, 'sms') returning id",
        business, customer,
    )["id"]  # fmt: skip
    database.rows(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           values (%s, %s, %s, now()) returning 1""",
        business, log, customer,
    )  # fmt: skip

    def seen(user: UUID, factor: str) -> int:
        with database.connection.transaction(force_rollback=True):
            claims = json.dumps({"sub": str(user), "aal": factor})
            database.rows("select set_config('request.jwt.claims', %s, true)", claims)
            database.run("set local role authenticated")
            found: int = database.one("select count(*) as n from sms_retry_queue")["n"]
            return found

    def all_seen() -> list[int]:
        return [seen(user, factor) for user in (owner, member, uuid4()) for factor in ("aal1", "aal2")]

    before = all_seen()
    assert before == [0, 1, 0, 1, 0, 0]
    migrate(database.url, drop_policies=True)
    assert all_seen() == before


@pytest.mark.long
def test_a_policy_with_a_name_of_ours_is_not_replaced(original: Database) -> None:
    """It may be a narrower one. Renamed, it is kept."""
    original.run('alter policy "see own retries" on sms_retry_queue rename to "Owners read their retries"')
    with pytest.raises(MigrationError, match='rename to "Owners read their retries \\(own\\)"') as raised:
        migrate(original.url)
    original.run(str(raised.value).splitlines()[1].partition(": ")[2])
    migrate(original.url)
    names = original.rows("select policyname from pg_policies where tablename = 'sms_retry_queue' and cmd = 'SELECT'")
    assert {row["policyname"] for row in names} == {"Owners read their retries", "Owners read their retries (own)"}


@pytest.mark.long
def test_a_policy_made_after_the_installation_is_told_on_an_upgrade_and_stays(empty: Database) -> None:
    """No file of the upgrade drops it. When all is applied again it would go, and that is refused."""
    migrate(empty.url, shipped=[one for one in migrations() if one.version <= _VERSION_1_0_0])
    empty.run("create policy mine on sms_retry_queue for update to authenticated using (true)")
    announced: list[str] = []
    migrate(empty.url, announce=announced.append)
    told = 'policy "mine" of sms_retry_queue lets tenants change rows. To narrow it: drop policy'
    assert [one[: len(told)] for one in announced] == [told]
    with pytest.raises(MigrationError, match='drop policy "mine" on '):
        migrate(empty.url, again=True)
    migrate(empty.url, again=True, drop_policies=True, announce=announced.append)
    assert announced[1:] == ['policy "mine" of sms_retry_queue is dropped: it lets tenants change rows']


def test_a_function_that_only_has_a_name_of_ours_is_not_replaced(original: Database) -> None:
    """Neither one with our parameters nor another one, which a later file would drop."""
    original.run("create function sms_status(uuid) returns text language sql as $$ select 'mine' $$")
    original.run("create function pause_sms_sender(text, text, text) returns text language sql as $$ select 'mine' $$")
    before = everything(original)
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    assert everything(original) == before
    _, *statements, _ = str(raised.value).splitlines()
    assert [statement.strip() for statement in statements] == [
        "alter function public.pause_sms_sender(text,text,text) rename to app_pause_sms_sender;",
        "alter function public.sms_status(uuid) rename to app_sms_status;",
    ]
    original.run("".join(statements))
    assert original.one("select app_sms_status(null) as said") == {"said": "mine"}


@pytest.mark.long
def test_rows_that_an_adoption_cancels_are_counted_before(original: Database) -> None:
    """Two live rows for one text."""
    business = original.one("insert into businesses (user_id, name) values (%s, 'M') returning id", uuid4())["id"]
    customer = original.one("insert into customers (business_id) values (%s) returning id", business)["id"]
    original.run(
        f"""with log as (insert into send_logs (business_id, customer_id, channel)
                         values ('{business}', '{customer}', 'sms') returning id)
            insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
            select '{business}', log.id, '{customer}', now() from log, generate_series(1, 3)"""
    )
    announced: list[str] = []
    migrate(original.url, dry_run=True, announce=announced.append)
    assert announced[1] == "2 rows of sms_retry_queue are cancelled, because their text has another live row"


def test_doctor_warns_of_a_policy_by_which_tenants_add_what_ours_refuses(stack: Stack) -> None:
    """What it says to run ends it. A policy that only reads, one of the backend's and ours are not named."""
    leaks = "select subject, advice from smsretry.check_leaks() where subject like '% of sms_retry_queue'"
    with closing(stack.connect()) as connection, connection.transaction(force_rollback=True):
        connection.execute(
            """create policy "Their own" on sms_retry_queue for insert to authenticated with check (attempt_count = 0);
               create policy reads on sms_retry_queue for select to authenticated using (attempt_count = 0);
               create policy backend on sms_retry_queue to service_role using (attempt_count = 0)"""
        )
        [warning] = connection.execute(leaks).fetchall()
        assert warning["subject"] == 'policy "Their own" of sms_retry_queue'
        connection.execute(warning["advice"].partition("Run: ")[2].encode())
        assert connection.execute(leaks).fetchall() == []
