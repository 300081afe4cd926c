"""What `flows/HOWTO.md` says of removing smsretry is run as it stands there."""

from uuid import uuid4

from smsretry.adapters.migrations.migrate import migrate
from smsretry.local.demo.run import ROOT
from tests.e2e.documents import Document
from tests.integration.catalog import Database, complaints

_LEFT = """
select p.oid::regprocedure::text as what from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prosrc like '%%smsretry%%'
union all select tgname from pg_trigger where not tgisinternal and tgfoid::regproc::text like 'smsretry.%%'
union all select nspname from pg_namespace where nspname = 'smsretry'
"""


def test_what_is_removed_leaves_the_applications_tables_and_can_be_installed_again(original: Database) -> None:
    """Rows stay, and the application goes on writing them."""
    migrate(original.url)
    business = original.one("insert into businesses (user_id, name) values (%s, 'Maple') returning id", uuid4())["id"]
    customer = original.one(
        "insert into customers (business_id, phone) values (%s, '+12125550123') returning id", business
    )["id"]
    [remove] = Document(ROOT / "flows" / "HOWTO.md").blocks("sql")
    original.run(remove.text)
    assert original.rows(_LEFT) == []
    assert original.applied() == []
    original.run(f"update customers set sms_consent_status = 'opted_out' where id = '{customer}'")
    original.run(
        f"""with log as (insert into send_logs (business_id, customer_id, channel, subject)
                         values ('{business}', '{customer}', 'sms', 'Come in') returning id)
            insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
            select '{business}', id, '{customer}', now() from log"""
    )
    migrate(original.url)
    assert complaints(original.connection) == {}
    assert original.one("select count(*) as n from sms_retry_queue")["n"] == 1
