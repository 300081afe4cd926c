"""Databases that do not fit: each thing is named with what to do, before anything is changed, and that works."""

import re
from uuid import uuid4

import pytest

from smsretry.adapters.migrations.fitting import VALUES
from smsretry.adapters.migrations.migrate import Migration, migrate, migrations
from smsretry.data import table
from smsretry.errors import MigrationError
from tests.integration.catalog import Database, complaints
from tests.integration.migrations.test_beside_others import everything

_NO_FOREIGN_KEYS = """
do $$ declare k record; begin
    for k in select conrelid::regclass as t, conname from pg_constraint where contype = 'f' loop
        execute format('alter table %s drop constraint %I', k.t, k.conname);
    end loop;
    for k in select tablename as t, policyname as conname from pg_policies loop
        execute format('drop policy %I on %I', k.conname, k.t);
    end loop;
end $$;
"""
_STATES = """
create type state as enum ('pending', 'processing', 'completed', 'failed', 'cancelled');
drop index retry_queue_by_due_time;
alter table sms_retry_queue drop constraint retry_status_known, alter status drop default;
alter table sms_retry_queue alter status type state using status::state, alter status set default 'pending';
"""
_SCHEDULED = """
create table scheduled_sends (
    id uuid primary key default gen_random_uuid(), business_id uuid not null, scheduled_for timestamptz not null,
    status text not null, message_class text not null default 'marketing');
alter table scheduled_sends enable row level security;
"""
_ROW = """
with b as (insert into businesses (user_id, name) values (gen_random_uuid(), 'M') returning id),
     c as (insert into customers (business_id) select id from b returning id, business_id),
     l as (insert into send_logs (business_id, customer_id, channel) select business_id, id, 'sms' from c
           returning id, business_id, customer_id)
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
select business_id, id, customer_id, {when} from l, generate_series(1, {rows});
"""

REFUSED = {
    "columns of other types": (
        """create type consent as enum ('opted_in', 'opted_out', 'unknown'); create domain e164 as text;
           alter table customers drop constraint customers_consent_known, alter sms_consent_status drop default;
           alter table customers alter sms_consent_status type consent using sms_consent_status::consent,
               alter phone type e164;
           alter table send_logs alter error_message type varchar(40);
           alter table sms_retry_queue alter created_at type timestamp""",
        [
            "customers.sms_consent_status is an enum, and must be text: alter table public.customers alter column ",
            "customers.phone is public.e164, and must be text: ",
            "send_logs.error_message is character varying(40), and must be text: ",
            "sms_retry_queue.created_at is timestamp without time zone, and must be timestamp with time zone: ",
        ],
    ),
    "ids that are texts": (
        _NO_FOREIGN_KEYS
        + """alter table businesses alter id drop default; alter table businesses alter id type text;
             alter table customers alter business_id type text""",
        ["businesses.id is text, and must be uuid: ", "customers.business_id is text, and must be uuid: "],
    ),
    "columns that are missing, and json": (
        """alter table customers drop column sms_consent_at, drop column phone_status;
           alter table send_logs drop column error_message, alter provider_message_id type json""",
        [
            "customers.phone_status is missing: alter table public.customers add column phone_status text",
            "customers.sms_consent_at is missing: ",
            "send_logs.error_message is missing: ",
            "send_logs.provider_message_id is json, and must be jsonb: ",
        ],
    ),
    "what must not be null": (
        """alter table sms_retry_queue alter attempt_count drop not null, alter scheduled_for drop not null,
               alter max_attempts drop not null""",
        [
            "sms_retry_queue.attempt_count must not be null: ",
            "sms_retry_queue.scheduled_for must not be null: ",
            "sms_retry_queue.max_attempts must not be null: ",
        ],
    ),
    "checks that know fewer values": (
        _SCHEDULED
        + """alter table sms_retry_queue drop constraint retry_status_known, add constraint retry_status_known
                 check (status in ('pending', 'processing', 'completed', 'failed'));
             alter table send_logs add constraint known check (status in ('pending', 'delivered', 'failed'));
             alter table customers drop constraint customers_consent_known, alter phone_status type varchar,
                 add constraint consent check (sms_consent_status = 'opted_in' or sms_consent_status = 'unknown'),
                 add constraint phone_known check (phone_status is null or phone_status in ('valid', 'invalid')),
                 add constraint sources check (sms_consent_source in ('form', 'import')) not valid;
             alter table send_logs drop constraint send_logs_channel_known,
                 add constraint channels check (channel in ('email', 'text'));
             alter table scheduled_sends add constraint classes check (message_class in ('marketing', 'info'))""",
        [
            "customers.sms_consent_status may not be opted_out: alter table public.",
            "customers.phone_status may not be not_mobile: alter table public.",
            "customers.sms_consent_source may not be inbound_start or inbound_stop or inbound_words or twilio_21610 or "
            "whatever people give as a source: alter table public.",
            "send_logs.channel may not be sms: alter table public.",
            "send_logs.status may not be sent: alter table public.",
            "scheduled_sends.message_class may not be transactional: alter table public.",
            "sms_retry_queue.status may not be cancelled: alter table public.",
        ],
    ),
    "names of ours": (
        """create function sms_status(uuid) returns text language sql as $$ select 'mine' $$;
           create function queue_sms_retry(uuid) returns text language sql as $$ select 'mine' $$;
           create procedure pause_sms_sender(text) language sql as $$ select 1 $$;
           alter table sms_retry_queue add column claim_no text, add column why jsonb,
               add constraint sms_retry_queue_attempts check (attempt_count < 100);
           alter table businesses add column sms_hours jsonb;
           create index sms_retry_queue_customer on sms_retry_queue (customer_id, status);
           alter policy "see own retries" on sms_retry_queue rename to "Owners read their retries" """,
        [
            "column public.businesses.sms_hours has a name of smsretry's, and is another: ",
            "column public.sms_retry_queue.claim_no has a name of smsretry's, and is another: ",
            "column public.sms_retry_queue.why has a name of smsretry's, and is another: ",
            "constraint sms_retry_queue_attempts on public.sms_retry_queue has a name of smsretry's, and is another: ",
            "function public.pause_sms_sender(text) has a name of smsretry's, and is another: ",
            "function public.queue_sms_retry(uuid) has a name of smsretry's, and is another: ",
            "function public.sms_status(uuid) has a name of smsretry's, and is another: ",
            "index sms_retry_queue_customer on public.sms_retry_queue has a name of smsretry's, and is another: ",
            'policy "Owners read their retries" on public.sms_retry_queue has a name of smsretry\'s, and is another: ',
        ],
    ),
    "policies by which tenants do more": (
        """create policy "add ""own"" retries" on sms_retry_queue for insert with check (true);
           create policy change on sms_retry_queue for update to authenticated using (true);
           create policy everything on sms_retry_queue to authenticated using (true);
           create policy backend on sms_retry_queue to service_role using (true);
           create policy narrow on sms_retry_queue as restrictive to authenticated using (true)""",
        [
            'policy "add ""own"" retries" of sms_retry_queue lets tenants add rows of any kind: drop policy ',
            'policy "change" of sms_retry_queue lets tenants change rows: ',
            'policy "everything" of sms_retry_queue lets tenants add, change and delete rows (it lets them read, too: '
            "to keep that, make it again `for select`): ",
        ],
    ),
    "two rows for one text": (
        _ROW.format(when="now() + n * interval '1 hour'", rows=1).replace("series(1, 1)", "series(1, 3) n"),
        ["rows of sms_retry_queue (2) are for a text that another row is to send as well: "],
    ),
    "scheduled sends that are past": (
        _SCHEDULED
        + """insert into businesses (id, user_id, name) values (gen_random_uuid(), gen_random_uuid(), 'M');
             insert into scheduled_sends (business_id, scheduled_for, status)
             select id, now() - past, 'scheduled'
             from businesses, unnest(array['200 days', '3 days', '47 hours', '1 minute', '-1 day']::interval[]) past""",
        ["rows of scheduled_sends (2) are `scheduled` though their time has passed, and would become texts now, "],
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_named_and_what_is_said_makes_it_fit(original: Database, what: str) -> None:
    """All of it at once, and nothing else, before anything is changed. Each statement can be run as it stands."""
    change, said = REFUSED[what]
    original.run(change)
    before = everything(original)
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    assert everything(original) == before
    first, *lines, last = str(raised.value).splitlines()
    assert first == "Some of what is in this database does not fit:"
    assert last.endswith("run `smsretry migrate` again. Nothing was changed.")
    assert len(lines) == len(said)
    for beginning in said:
        assert any(line.strip().startswith(beginning) for line in lines), beginning
    for line in lines:
        original.run(re.sub(r".*?: (?=(alter|update|drop|delete) )| \((or|what is in) .*|, and alike.*", "", line))
    if what != "ids that are texts":  # each column that refers to them has to follow, and policies with them
        migrate(original.url)
        assert complaints(original.connection) == {}


def test_what_hangs_on_a_type_is_named(original: Database) -> None:
    """Indexes, views, policies, checks, generated columns, triggers. The statement works when they are dropped."""
    original.run(
        _STATES
        + """
        create index waiting_by_time on sms_retry_queue (scheduled_for) where status in ('pending', 'processing');
        create view "Waiting, all" as select id, business_id, status from sms_retry_queue where status = 'pending';
        create policy "Only what waits" on sms_retry_queue as restrictive for select to authenticated
            using (status <> 'cancelled');
        alter table sms_retry_queue add constraint held check (status <> 'failed' or attempt_count > 0),
            add column over boolean generated always as (status in ('completed', 'failed')) stored;
        create trigger on_end before update on sms_retry_queue for each row
            when (new.status = 'completed') execute function set_updated_at()"""
    )
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    [line] = str(raised.value).splitlines()[1:-1]
    statement, _, used = line.partition(" (what is in the way ")
    for part in (
        "column over",
        "constraint held",
        "index public.waiting",
        "policy Only",
        "trigger on_end",
        "Waiting, all",
    ):
        assert part in used
    original.run(
        """drop view "Waiting, all"; drop policy "Only what waits" on sms_retry_queue; drop index waiting_by_time;
           drop trigger on_end on sms_retry_queue;
           alter table sms_retry_queue drop column over, drop constraint held"""
    )
    original.run(statement.partition("must be text: ")[2])
    assert migrate(original.url) == migrations()


def test_whatever_a_refusal_says_of_a_number_is_looked_for_in_the_checks() -> None:
    """A word that a new code brings must be allowed, too."""
    said = {row["phone_status"] for row in table("twilio_errors")} - {""}
    assert said == set(VALUES["customers", "phone_status"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("alter table customers rename to people; create view customers as select * from people", '"customers"'),
        (_NO_FOREIGN_KEYS + "alter table businesses drop constraint businesses_pkey", 'referenced table "businesses"'),
        (
            "alter table sms_retry_queue add column tenant text not null",
            'null value in column "tenant" of relation "sms_',
        ),
        (
            "alter table sms_retry_queue alter reason set not null",
            'null value in column "reason" of relation "sms_retry_',
        ),
        (
            """alter table send_logs drop column error_message,
                   add column error_message text generated always as (upper(status)) stored""",
            '"error_message"',
        ),
        (
            """alter table businesses add column sms_hours text;
               insert into businesses (user_id, name, sms_hours) values (gen_random_uuid(), 'M', 'nine to five')""",
            '"businesses_sms_hours" of relation "businesses" is violated',
        ),
        ("alter table send_logs alter status set default 'sent'", "queue_sms_retry (SR500)"),
        ("create rule nothing as on update to send_logs do instead nothing", "and its send log pending"),
        (
            """create function busy() returns trigger language plpgsql as 'begin return null; end';
               create trigger busy before insert on sms_retry_queue for each row execute function busy()""",
            "queue_sms_retry (SR409)",
        ),
    ],
)
def test_what_postgresql_or_the_rehearsal_refuses_is_named_by_them(original: Database, change: str, said: str) -> None:
    """Without a statement, and nothing was changed."""
    original.run(change)
    before = everything(original)
    with pytest.raises(MigrationError, match=r"Nothing was changed\.$") as raised:
        migrate(original.url)
    assert said in str(raised.value)
    assert everything(original) == before


def test_rows_without_a_business_are_refused_and_mended_by_hand(original: Database) -> None:
    """The claim is fair between businesses, and would never reach one."""
    original.run("alter table sms_retry_queue alter business_id drop not null")
    original.run(_ROW.format(when="now()", rows=1) + "update sms_retry_queue set business_id = null")
    with pytest.raises(MigrationError, match=r"sms_retry_queue\.business_id must not be null: delete from "):
        migrate(original.url)


def test_a_database_of_another_kind_is_refused_with_what_it_lacks(empty: Database) -> None:
    """A new database on the right host, or a PostgreSQL of the developer's own."""
    empty.run("drop schema auth cascade")
    with pytest.raises(MigrationError, match=r"no database of a Supabase project: it has no auth\.uid\(\).*--db-url"):
        migrate(empty.url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://postgres:{secret}@127.0.0.1:1/nowhere", "refused"),
        ("postgresql://postgres:wr0ng-secret@127.0.0.1:{port}/nowhere", "password authentication"),
        ("postgresql://postgres:{secret}@127.0.0.1:{port}/nowhere", '"nowhere"'),
        ("nonsense", "--db-url"),
        ("https://project.supabase.co", "--db-url"),
        ("postgresql://postgres:wr0ng%secret@127.0.0.1:1/postgres", "--db-url"),
        ("postgresql://postgres:{secret}@127.0.0.1:1/postgres?pgbouncer=true", "--db-url"),
        ("postgresql://postgres:wr0ng@secret@127.0.0.1:1/postgres", "write %40 for @"),
    ],
)
def test_a_database_that_is_not_reached_is_a_readable_error_without_the_password(
    original: Database, url: str, said: str
) -> None:
    """A closed port, a wrong password, no such database, a typing error, the web address, an unescaped sign."""
    secret, port = re.findall(r":([^:/]+)@.*?:(\d+)", original.url)[0]
    with pytest.raises(MigrationError) as raised:
        migrate(url.format(secret=secret, port=port))
    message = str(raised.value)
    assert said in message
    assert "--db-url" in message
    assert not {word for word in (secret, "wr0ng", "secret@", "%secret") if word in message}
    assert raised.value.__cause__ is raised.value.__context__ is None


# A database that an earlier state made

_EARLIER = """
create schema smsretry;
create table smsretry.suppressions (number_key bytea primary key, business_id uuid, since timestamptz, source text);
create table smsretry.unwritten_consents (
    id bigint, number_key bytea, business_id uuid, consent text, since timestamptz);
create function smsretry.number_key(business_id uuid, phone text) returns bytea language sql immutable as $$
    select sha256(convert_to(business_id::text || ' ' || phone, 'UTF8')) $$;
"""


@pytest.fixture
def earlier(original: Database) -> Database:
    """As much of such a database as is asked of it."""
    original.run(_EARLIER)
    return original


def test_a_database_of_an_earlier_state_is_recognized_and_its_opt_outs_are_exported(earlier: Database) -> None:
    """Of each number that stands opted out at a business, by its customers' rows or by what was kept of the number."""
    businesses = [uuid4(), uuid4()]
    for n, business in enumerate(businesses):
        earlier.run(f"insert into businesses (id, user_id, name) values ('{business}', gen_random_uuid(), 'M')")
        for phone, consent in (("1", "opted_out"), ("2", "opted_in"), ("3", "unknown"), ("4", "opted_in")):
            earlier.run(
                f"""insert into customers (business_id, phone, sms_consent_status, sms_consent_at)
                    values ('{business}', '+1212555010{phone}', '{consent}', '2026-01-0{phone}')"""
            )
        earlier.run(
            f"""insert into smsretry.suppressions select smsretry.number_key(b, '+12125550102'), b, '2026-02-02', 'stop'
                from (values ('{business}'::uuid)) v (b) where {n} = 0;
                insert into smsretry.unwritten_consents
                select n, smsretry.number_key('{business}', '+1212555010' || n), '{business}',
                       case n when 3 then 'opted_out' else 'opted_in' end, '2026-03-03' from generate_series(3, 4) n"""
        )
    before = everything(earlier)
    with pytest.raises(MigrationError, match="earlier state of smsretry that was never released") as raised:
        migrate(earlier.url)
    assert everything(earlier) == before
    query = str(raised.value).partition("editor's download):\n")[2].partition("     Of numbers")[0]
    found = earlier.rows(query.replace("%", "%%"))
    told = {(row["business_id"], row["number"][-1], f"{row['date']:%m-%d}") for row in found}
    one, other = businesses
    assert told == {
        (one, "1", "01-01"),
        (other, "1", "01-01"),
        (one, "2", "02-02"),
        (one, "3", "03-03"),
        (other, "3", "03-03"),
    }


@pytest.mark.parametrize("state", ["its history alone", "another text of a file"])
def test_a_history_that_we_do_not_ship_is_recognized(empty: Database, state: str) -> None:
    """Of a state before, or of one in which the same file said something else."""
    if state == "its history alone":
        migrate(empty.url)
        empty.run("insert into supabase_migrations.schema_migrations values ('20261127120000', '{}', 'day_one')")
    else:
        first, *others = migrations()
        migrate(empty.url, shipped=[Migration(first.version, first.name, first.text + "select 1;\n"), *others])
    with pytest.raises(MigrationError, match="earlier state of smsretry that was never released"):
        migrate(empty.url)
