"""An application may publish all tables: then each of ours must say which row is which, or no row could be changed."""

from datetime import timedelta

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.conftest import PHONE, Business
from tests.support.builders import run
from tests.support.orders import record_consent

LATER, OTHER, ASLEEP = "+12125550124", "+12125550125", "+18085550126"


def test_each_table_of_ours_has_a_primary_key(business: Business) -> None:
    """Also those that nobody changes in the next test."""
    without = business.connection.execute(
        """select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind = 'r' and n.nspname in ('smsretry', 'public')
             and not exists (select from pg_index i where i.indrelid = c.oid and i.indisprimary)"""
    ).fetchall()
    assert without == []


def test_texts_go_out_and_stops_are_heard_beside_a_publication_of_all_tables(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """A text in doubt, one that is deferred, a scheduled one; an opt-out, a STOP, a START, and what is old."""
    business.connection.execute("create publication everything for all tables")
    try:
        row = business.due_text()
        stack.twilio.fail(AcceptThenDrop(), to=PHONE)
        business.due_text(phone=ASLEEP, timezone="Pacific/Honolulu")
        business.scheduled(phone=LATER)
        queue_scheduled_sends(queue)
        stack.move_clock(timedelta(minutes=2))
        assert sorted(run(queue, sender)) == ["Deferred", "InDoubt", "Sent"]
        waiting = business.due_text(phone=OTHER)
        record_consent(operators, OTHER, consent="opted_out", source="telephone", business_id=business.id)
        assert business.row(waiting)["why_code"] == "opted_out"
        for word, sid in (("STOP", "a"), ("START", "b")):
            business.connection.execute("select record_inbound_sms(%s, %s, %s)", [PHONE, f"SM{sid * 32}", word])
        stack.move_clock(timedelta(minutes=5))
        assert run(queue, sender) == ["Sent"]
        assert business.row(row)["status"] == "completed"
        stack.move_clock(timedelta(days=100))
        business.connection.execute("select prune_sms_history(keep_days => 7)")
    finally:
        business.connection.execute("drop publication everything")
