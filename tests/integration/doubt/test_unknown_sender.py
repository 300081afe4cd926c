"""A text in doubt whose sender nobody wrote down is looked for wherever its business's texts may have gone out from."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.retry.models import SenderId, Text
from smsretry.retry.profile import DEFAULT
from smsretry.sending.ports import Services
from smsretry.sending.run import Run, run_once
from tests.conftest import PHONE, Business
from tests.support.builders import BODY
from tests.support.platform import OwnSender, hexadecimal, open_account


@pytest.mark.parametrize("by", ["its own sender", "the environment's"])
def test_what_the_applications_own_processor_sent_before_it_died_is_found(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, by: str
) -> None:
    """It claims as it always has, begins nothing, and may know the sender of the business or not."""
    own = OwnSender(hexadecimal("AC", "own"), hexadecimal("MG", "own"))
    open_account(stack, own.account, hexadecimal("", "token"), subaccount=True, senders=[own.sent_by])
    own.assign(business.connection, business.id)
    row_id = business.due_text()
    assert business.connection.execute("select id from claim_due_sms_retries(1)").fetchall()
    sent_from = SenderId(*own.address) if by == "its own sender" else sender.default
    sender.send(Text(attempt_id=uuid4(), to=PHONE, body=BODY, valid_for=timedelta(hours=1), sender=sent_from))
    for _ in range(8):
        stack.move_clock(timedelta(minutes=11))
        run_once(Run(Services(queue, sender, DEFAULT)), limit=10, stale_minutes=10)
    assert business.row(row_id)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1
