"""The file that removes smsretry is run as it stands, and the application goes on."""

from uuid import UUID, uuid4

import pytest

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.demo.run import ROOT
from tests.integration.catalog import Database, complaints

_LEFT = """
select p.oid::regprocedure::text as what from pg_proc p
where p.pronamespace = 'public'::regnamespace and 'search_path=pg_catalog, pg_temp' = any (p.proconfig)
union all select tgname from pg_trigger where not tgisinternal and tgname like 'smsretry%%'
union all select nspname from pg_namespace where nspname = 'smsretry'
union all select conname from pg_constraint where conname = 'sms_retry_queue_lease'
"""
_OWN_CALLS = """
alter routine app_claim_due_sms_retries(integer) rename to claim_due_sms_retries;
alter routine app_recover_stuck_sms_retries(integer) rename to recover_stuck_sms_retries
"""
_NUMBER = "+12125550123"


def _text(database: Database, business: UUID, customer: UUID) -> UUID:
    """A send log and its row of the queue, as the application inserts them; the row."""
    log = database.one(
        "insert into send_logs (business_id, customer_id, channel, subject) values (%s, %s, 'sms', 'Hi') returning id",
        business, customer,
    )["id"]  # fmt: skip
    row: UUID = database.one(
        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           values (%s, %s, %s, now() - interval '1 minute') returning id""",
        business, log, customer,
    )["id"]  # fmt: skip
    return row


@pytest.fixture
def removed(original: Database) -> tuple[Database, UUID, UUID]:
    """An installation that smsretry was in: a text that waits, one in doubt. Its business and customer."""
    migrate(original.url)
    business = original.one("insert into businesses (user_id, name) values (%s, 'Maple') returning id", uuid4())["id"]
    customer = original.one(
        "insert into customers (business_id, phone, sms_consent_status) values (%s, %s, 'opted_in') returning id",
        business, _NUMBER,
    )["id"]  # fmt: skip
    begun = _text(original, business, customer)
    claim = original.one("select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no' as claim_no", begun)
    original.one(
        "select answer from begin_sms_attempt(%s, %s, %s, now() + interval '1 hour', 'test')",
        begun, claim["claim_no"], uuid4(),
    )  # fmt: skip
    _text(original, business, customer)
    remove = (ROOT / "smsretry" / "supabase" / "remove.sql").read_text(encoding="utf-8")
    original.run(remove)
    original.run(_OWN_CALLS)
    assert original.rows(_LEFT) == []
    assert original.applied() == []
    return original, business, customer


def test_the_applications_own_processor_claims_queues_the_next_try_and_finishes(
    removed: tuple[Database, UUID, UUID],
) -> None:
    """As the backend's role. What was in doubt it does not send again."""
    database, *_ = removed
    database.run("set role service_role")
    claimed = database.one("select * from claim_due_sms_retries(10)")
    assert claimed["status"] == "processing"
    database.run(
        f"""insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for)
            select business_id, send_log_id, customer_id, 1, now() from sms_retry_queue where id = '{claimed["id"]}';
            update sms_retry_queue set status = 'failed', last_error = 'Twilio was down' where id = '{claimed["id"]}'"""
    )
    again = database.one("select * from claim_due_sms_retries(10)")
    assert again["send_log_id"] == claimed["send_log_id"]
    database.run(f"update sms_retry_queue set status = 'completed' where id = '{again['id']}'")
    database.run(f"update send_logs set status = 'sent' where id = '{again['send_log_id']}'")
    database.run("update sms_retry_queue set updated_at = now() - interval '1 hour'")
    assert database.rows("select * from recover_stuck_sms_retries(10)") == []
    assert database.rows("select * from claim_due_sms_retries(10)") == []
    errors = database.rows("select last_error from sms_retry_queue where status = 'failed' order by 1")
    assert [row["last_error"] for row in errors] == ["In doubt when smsretry was removed", "Twilio was down"]


def test_it_is_installed_again_over_what_is_left(removed: tuple[Database, UUID, UUID]) -> None:
    """And what the application's processor is sending is in doubt then."""
    database, business, customer = removed
    _text(database, business, customer)
    assert len(database.rows("select * from claim_due_sms_retries(10)")) == 2
    database.run("update sms_retry_queue set last_attempted_at = now() - interval '1 hour' where status = 'processing'")
    for name in ("claim_due_sms_retries", "recover_stuck_sms_retries"):
        database.run(f"alter routine {name}(integer) rename to app_{name}")
    migrate(database.url)
    assert complaints(database.connection) == {}
    recovered = database.rows("select in_doubt_since from recover_stuck_sms_retries(10)")
    assert [row["in_doubt_since"] is not None for row in recovered] == [True, True]


def test_an_opt_out_that_a_customers_row_does_not_say_is_written_there(original: Database) -> None:
    """Nobody else knows it afterwards."""
    migrate(original.url)
    business = original.one("insert into businesses (user_id, name) values (%s, 'Maple') returning id", uuid4())["id"]
    insert = "insert into customers (business_id, phone, sms_consent_status) values (%s, %s, %s) returning id"
    original.one(insert, business, _NUMBER, "opted_out")
    original.run("delete from customers")
    original.one(insert, business, _NUMBER, "unknown")
    remove = (ROOT / "smsretry" / "supabase" / "remove.sql").read_text(encoding="utf-8")
    original.run(remove)
    assert original.one("select sms_consent_status from customers") == {"sms_consent_status": "opted_out"}
