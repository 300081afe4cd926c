"""Columns of another type on which much hangs: the statements that the message prints go through, in its order."""

import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.errors import MigrationError
from tests.integration.catalog import Database
from tests.integration.migrations.test_shapes import NO_FOREIGN_KEYS

_ENUMS = """
create type state as enum ('pending', 'processing', 'completed', 'failed', 'cancelled');
create type consent as enum ('opted_in', 'opted_out', 'unknown');
drop index retry_queue_by_due_time;
alter table sms_retry_queue drop constraint retry_status_known, alter status drop default;
alter table sms_retry_queue alter status type state using status::state, alter status set default 'pending';
alter table customers drop constraint customers_consent_known, alter sms_consent_status drop default;
alter table customers alter sms_consent_status type consent using sms_consent_status::consent;

create index waiting_by_time on sms_retry_queue (scheduled_for) where status in ('pending', 'processing');
create index by_status on sms_retry_queue (status);
create view waiting as select id, business_id, status from sms_retry_queue where status = 'pending';
create view "Waiting, by business" with (security_invoker = true) as
    select business_id, count(*) as n, min(status) as least from waiting group by business_id;
revoke all on "Waiting, by business" from anon;
create materialized view ended as select id, status from sms_retry_queue where status <> 'pending';
create unique index ended_id on ended (id);
create policy "Only what waits" on sms_retry_queue as restrictive for select to authenticated
    using (status <> 'cancelled' or id::text <> '
');
create policy "Of those who consent" on send_logs for select to authenticated
    using (exists (select from customers c where c.id = customer_id and c.sms_consent_status = 'opted_in'));
alter table sms_retry_queue add constraint held check (status <> 'failed' or attempt_count > 0);
alter table sms_retry_queue add column over boolean generated always as (status in ('completed', 'failed')) stored;
create index what_is_over on sms_retry_queue (over);
create trigger on_end before update on sms_retry_queue for each row
    when (new.status = 'completed') execute function set_updated_at();
"""
_OWN = """
select indexdef as said from pg_indexes where schemaname = 'public'
union all select viewname || viewowner from pg_views where schemaname = 'public'
union all select policyname || permissive || cmd from pg_policies
union all select conname from pg_constraint where conrelid = 'sms_retry_queue'::regclass and contype <> 'n'
union all select attname || attgenerated::text from pg_attribute
where attrelid = 'sms_retry_queue'::regclass and attnum > 0 and not attisdropped
union all select tgname from pg_trigger where not tgisinternal
union all select c.oid::regclass || ' ' || has_table_privilege(r.rolname, c.oid, 'select')::text || r.rolname
from pg_class c, pg_roles r where c.relkind in ('v', 'm') and r.rolname in ('anon', 'authenticated')
                              and c.relnamespace = 'public'::regnamespace
order by 1
"""


def _own(database: Database) -> list[str]:
    """What the application made, by name; of indexes the definition, without the old type."""
    said = (row["said"] for row in database.rows(_OWN))
    return sorted(one.replace("::state", "::text").replace("[]", "").replace("::text", "") for one in said)


def test_all_that_hangs_on_an_enum_is_named_at_once_in_an_order_that_works(original: Database) -> None:
    """Indexes, views on views, policies of other tables, defaults, checks, generated columns, triggers."""
    original.run(_ENUMS)
    before = _own(original)
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    block = str(raised.value).partition("  begin;\n")[2].partition("  commit;\n")[0]
    assert block
    with original.connection.transaction():
        original.run(block)
    assert _own(original) == before
    assert migrate(original.url) == migrations()
    types = original.rows(
        """select attname, format_type(atttypid, null) as type from pg_attribute
           where attrelid in ('sms_retry_queue'::regclass, 'customers'::regclass)
             and attname in ('status', 'sms_consent_status')"""
    )
    assert {row["type"] for row in types} == {"text"}


@pytest.mark.long
def test_ids_that_are_texts_and_refer_to_each_other_change_together(original: Database) -> None:
    """A foreign key needs both at once, and so does a policy that compares them."""
    original.run(
        NO_FOREIGN_KEYS
        + """alter table businesses alter id drop default, alter id type text;
             alter table customers alter business_id type text;
             alter table customers add constraint whose foreign key (business_id) references businesses (id);
             create policy "own customers" on customers to authenticated
                 using (exists (select from businesses b where b.id = business_id and b.user_id = auth.uid()))"""
    )
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    with original.connection.transaction():
        original.run(str(raised.value).partition("  begin;\n")[2].partition("  commit;\n")[0])
    migrate(original.url, dry_run=True)
    kept = original.one("select confrelid::regclass::text as said from pg_constraint where conname = 'whose'")
    assert kept == {"said": "businesses"}
    assert original.rows("select from pg_policies where policyname = 'own customers'")


@pytest.mark.long
def test_a_column_with_a_name_of_ours_and_other_values_is_renamed(original: Database) -> None:
    """Of another type, or of ours: the statement works, and the application's values stay."""
    original.run("alter table businesses add column sms_hours jsonb default '{}'")
    with pytest.raises(MigrationError) as raised:
        migrate(original.url)
    [line] = str(raised.value).splitlines()[1:-1]
    assert line.strip().startswith(
        "businesses.sms_hours is jsonb, and must be text: alter table public.businesses rename "
    )
    original.run(line.partition(": ")[2].partition(" (and")[0])
    original.run("alter table businesses add column sms_hours text")
    original.run("insert into businesses (user_id, name, sms_hours) values (gen_random_uuid(), 'M', 'nine to five')")
    with pytest.raises(MigrationError, match="holds what is not a business's hours") as raised:
        migrate(original.url)
    statement = str(raised.value).partition("rename it: ")[2].partition(" (and")[0]
    original.run(statement.replace("app_sms_hours", "app_words"))
    assert migrate(original.url) == migrations()
    assert original.one("select app_words, app_sms_hours from businesses") == {
        "app_words": "nine to five", "app_sms_hours": {}
    }  # fmt: skip
