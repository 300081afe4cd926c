"""The file that removes smsretry is run as it stands, and the application goes on."""

from uuid import UUID, uuid4

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
_NUMBER = "+12125550123"


def installed(database: Database, consent: str = "opted_in") -> tuple[UUID, UUID]:
    """Install it; a business and its customer."""
    migrate(database.url)
    business: UUID = database.one("insert into businesses (user_id, name) values (%s, 'M') returning id", uuid4())["id"]
    customer: UUID = database.one(
        "insert into customers (business_id, phone, sms_consent_status) values (%s, %s, %s) returning id",
        business, _NUMBER, consent,
    )["id"]  # fmt: skip
    return business, customer


def text(database: Database, business: UUID, customer: UUID) -> UUID:
    """A send log and its row of the queue, as the application inserts them; the row."""
    row: UUID = database.one(
        """with l as (insert into send_logs (business_id, customer_id, channel, subject)
                      values (%s, %s, 'sms', 'Hi') returning id, business_id, customer_id)
           insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           select business_id, id, customer_id, now() - interval '1 minute' from l returning id""",
        business, customer,
    )["id"]  # fmt: skip
    return row


def rename_calls(database: Database, change: str) -> None:
    """The application's own calls have the names of ours; what `migrate` says to run, or to undo it."""
    for name in ("claim_due_sms_retries", "recover_stuck_sms_retries"):
        old, new = (f"app_{name}", name) if change == "back" else (name, f"app_{name}")
        database.run(f"alter routine {old}(integer) rename to {new}")


def remove(database: Database) -> None:
    """Run the file."""
    database.run((ROOT / "smsretry" / "supabase" / "remove.sql").read_text(encoding="utf-8"))


def test_the_applications_own_processor_goes_on_and_it_is_installed_again_over_what_is_left(original: Database) -> None:
    """The processor claims as the backend's role, queues the next try and finishes; what was in doubt it does not send
    again. Installed anew, smsretry holds in doubt what the processor was sending.
    """
    business, customer = installed(original)
    begun = text(original, business, customer)
    claim = original.one("select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no' as claim_no", begun)
    begin = "select answer from begin_sms_attempt(%s, %s, %s, now() + interval '1 hour', 'test')"
    original.one(begin, begun, claim["claim_no"], uuid4())
    text(original, business, customer)
    remove(original)
    rename_calls(original, "back")
    assert (original.rows(_LEFT), original.applied()) == ([], [])

    original.run("set role service_role")
    claimed = original.one("select * from claim_due_sms_retries(10)")
    assert claimed["status"] == "processing"
    original.run(
        f"""insert into sms_retry_queue (business_id, send_log_id, customer_id, attempt_count, scheduled_for)
            select business_id, send_log_id, customer_id, 1, now() from sms_retry_queue where id = '{claimed["id"]}';
            update sms_retry_queue set status = 'failed', last_error = 'Twilio was down' where id = '{claimed["id"]}'"""
    )
    again = original.one("select * from claim_due_sms_retries(10)")
    assert again["send_log_id"] == claimed["send_log_id"]
    original.run(f"update sms_retry_queue set status = 'completed' where id = '{again['id']}'")
    original.run(f"update send_logs set status = 'sent' where id = '{again['send_log_id']}'")
    assert original.rows("select * from claim_due_sms_retries(10)") == []
    errors = original.rows("select last_error from sms_retry_queue where status = 'failed' order by 1")
    assert [row["last_error"] for row in errors] == ["In doubt when smsretry was removed", "Twilio was down"]
    original.run("reset role")

    text(original, business, customer)
    assert len(original.rows("select * from claim_due_sms_retries(10)")) == 1
    original.run("update sms_retry_queue set last_attempted_at = now() - interval '1 hour' where status = 'processing'")
    rename_calls(original, "away")
    migrate(original.url)
    assert complaints(original.connection) == {}
    [recovered] = original.rows("select in_doubt_since from recover_stuck_sms_retries(10)")
    assert recovered["in_doubt_since"] is not None


def test_an_opt_out_that_a_customers_row_does_not_say_is_written_there(original: Database) -> None:
    """Nobody else knows it afterwards."""
    business, _ = installed(original, "opted_out")
    original.run("delete from customers")
    insert = "insert into customers (business_id, phone) values (%s, %s) returning sms_consent_status"
    assert original.one(insert, business, _NUMBER) == {"sms_consent_status": "unknown"}
    remove(original)
    assert original.one("select sms_consent_status from customers") == {"sms_consent_status": "opted_out"}
