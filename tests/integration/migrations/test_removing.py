"""The file that removes smsretry is run as it stands, and the application goes on."""

from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.business import PHONE, Business
from smsretry.local.demo.run import ROOT
from tests.integration.catalog import Database, complaints

_LEFT = """
select p.oid::regprocedure::text as what from pg_proc p
where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
union all select tgname from pg_trigger where not tgisinternal and tgname like '%%smsretry%%'
union all select nspname from pg_namespace where nspname = 'smsretry'
union all select conname from pg_constraint where conname = 'sms_retry_queue_reason'
"""
_THEIRS = """
insert into supabase_migrations.schema_migrations (version, name, statements) values
    ('20261126120000', 'no_smsretry', '{select 1}'),
    ('20290102000000', 'theirs', '{"-- Written from the files of supabase/schemas: change those"}');
create schema crm; create table crm.leads (phone text); create index customers_phone on crm.leads (phone)
"""


def installed(database: Database) -> Business:
    """Install it; a business that uses it."""
    migrate(database.url)
    return Business(database.connection, lambda: datetime.now(UTC)).open()


def rename_calls(database: Database, change: str) -> None:
    """The application's own calls have the names of ours; what `migrate` says to run, or to undo it."""
    for name in ("claim_due_sms_retries", "recover_stuck_sms_retries"):
        old, new = (f"app_{name}", name) if change == "back" else (name, f"app_{name}")
        database.run(f"alter routine {old}(integer) rename to {new}")


def remove(database: Database) -> None:
    """Run the file."""
    database.run(
        (ROOT / "smsretry" / "supabase" / "remove.sql").read_text(encoding="utf-8")
    )


def test_the_applications_own_processor_goes_on_and_it_is_installed_again_over_what_is_left(
    original: Database,
) -> None:
    """The processor claims as the backend's role, queues the next try and finishes; what was in doubt it does not send
    again. Installed anew, smsretry holds in doubt what the processor was sending. The history forgets our migrations,
    and none of the application's.
    """
    business = installed(original)
    begun = business.due_text()
    claim = original.single_row(
        "select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no' as claim_no", begun
    )
    begin = "select answer from begin_sms_attempt(%s, %s, %s, now() + interval '1 hour', 'test')"
    original.single_row(begin, begun, claim["claim_no"], uuid4())
    business.due_text()
    doubt = "in_doubt_since = now(), attempt_id = gen_random_uuid()"
    original.run(
        f"update sms_retry_queue set {doubt} where id = '{business.due_text()}'"
    )
    original.run(_THEIRS)
    remove(original)
    assert original.rows("select from pg_indexes where schemaname = 'crm'")
    rename_calls(original, "back")
    assert (original.rows(_LEFT), original.applied()) == (
        [],
        ["20261126120000_no_smsretry", "20290102000000_theirs"],
    )

    original.run("set role service_role")
    claimed = original.single_row("select * from claim_due_sms_retries(10)")
    assert claimed["status"] == "processing"
    original.run(
        f"""insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for)
            select business_id, send_log_id, customer_id, 1, now() from sms_retry_queue where id = '{claimed["id"]}';
            update sms_retry_queue set status = 'failed', last_error = 'Twilio was down' where id = '{claimed["id"]}'"""
    )
    again = original.single_row("select * from claim_due_sms_retries(10)")
    assert again["send_log_id"] == claimed["send_log_id"]
    original.run(
        f"update sms_retry_queue set status = 'completed' where id = '{again['id']}'"
    )
    original.run(
        f"update send_logs set status = 'sent' where id = '{again['send_log_id']}'"
    )
    assert original.rows("select * from claim_due_sms_retries(10)") == []
    errors = original.rows(
        "select last_error from sms_retry_queue where status = 'failed' order by 1"
    )
    assert [row["last_error"] for row in errors] == [
        *["In doubt when smsretry was removed"] * 2,
        "Twilio was down",
    ]
    original.run("reset role")

    business.due_text()
    assert len(original.rows("select * from claim_due_sms_retries(10)")) == 1
    rename_calls(original, "away")
    original.run(
        "create schema smsretry_local; create table smsretry_local.clock ()"
    )  # the stack's
    migrate(original.url)
    assert complaints(original.connection) == {}
    original.run(
        "update sms_retry_queue set claimed_at = now() - interval '10 minutes' where status = 'processing'"
    )
    [recovered] = original.rows(
        "select in_doubt_since from recover_stuck_sms_retries(10)"
    )
    assert recovered["in_doubt_since"] is not None


def test_an_opt_out_that_a_customers_row_does_not_say_is_written_there(
    original: Database,
) -> None:
    """Nobody else knows it afterwards. With its date and source, as a check of the application's may demand; a check
    that refuses it all the same is named, and no number is.
    """
    business = installed(original)
    business.customer(consent="opted_out")
    original.run("delete from customers")
    original.run(
        """alter table customers add constraint evidenced
           check (sms_consent_status <> 'opted_out' or sms_consent_at is not null and sms_consent_source is not null)"""
    )
    original.single_row(
        "insert into customers (business_id, phone, sms_consent_status) values (%s, %s, null) returning id",
        business.id,
        PHONE,
    )
    said = "sms_consent_status as said, sms_consent_at is null as dated, sms_consent_source is null as sourced"
    consent = f"select {said} from customers"
    assert original.single_row(consent)["said"] is None
    original.run(
        "alter table customers add constraint nobody check (sms_consent_status = 'unknown')"
    )
    with pytest.raises(
        psycopg.errors.RaiseException, match="The rule nobody of customers refuses"
    ) as raised:
        remove(original)
    assert PHONE not in str(raised.value)
    original.run("rollback; alter table customers drop constraint nobody")
    remove(original)
    assert original.single_row(consent) == {
        "said": "opted_out",
        "dated": False,
        "sourced": False,
    }


def test_row_level_security_that_was_off_is_off_again(original: Database) -> None:
    """A role of the application's own works before, beside and after; and tenants get nothing by it."""
    original.run(
        """do $$ begin create role app_worker; exception when duplicate_object then null; end $$;
           alter table sms_retry_queue disable row level security;
           grant select, insert, delete on sms_retry_queue to app_worker;
           create policy app_worker on sms_retry_queue to app_worker using (true)"""
    )
    business = installed(original)
    migrate(original.url, again=True)
    for _ in range(2):
        business.due_text()
        original.run("set role app_worker")
        assert len(original.rows("delete from sms_retry_queue returning id")) == 1
        original.run("reset role")
        remove(original)
        assert original.single_row(
            """select relrowsecurity as secured, has_table_privilege('authenticated', oid, 'select') as open
               from pg_class where oid = 'sms_retry_queue'::regclass"""
        ) == {"secured": False, "open": False}
        migrate(original.url)
