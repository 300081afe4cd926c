"""A text in doubt whose business has a sender of its own: it is looked for wherever it may have left."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.retry.models import SenderId, Text
from smsretry.retry.outcome import Accepted
from tests.conftest import Business
from tests.support.builders import BODY, PHONE, run
from tests.support.senders import open_account, texts_from

NUMBER = "+12025550101"


def forgotten(stack: Stack, business: Business) -> None:
    """The database was restored from a backup that does not know of the send."""
    business.connection.execute(
        "select * from doubt_sms_retries(%s, false, 'Ann', 'Restored')", [stack.now() - timedelta(minutes=5)]
    )


def died(stack: Stack, business: Business) -> None:
    """The application's own processor, which begins nothing, has died over it."""
    business.connection.execute("select * from claim_due_sms_retries(10)")
    stack.move_clock(timedelta(minutes=15))


@pytest.mark.parametrize("trouble", [forgotten, died])
@pytest.mark.parametrize("own", [True, False])
def test_a_send_that_nobody_wrote_down_is_looked_for_in_both_accounts(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, *,
    trouble: Callable[[Stack, Business], None], own: bool,
) -> None:  # fmt: skip
    """It may have left from the business's own sender, or from that of the environment."""
    dentist = open_account(stack, number=NUMBER)
    texts_from(business.connection, business.id, dentist.sid, NUMBER)
    row = business.due_text(due=timedelta(minutes=-10))
    left_from = SenderId(dentist.sid, NUMBER) if own else sender.default
    trouble(stack, business)
    sent = Text(attempt_id=uuid4(), sender=left_from, to=PHONE, body=BODY, valid_for=timedelta(hours=1))
    assert isinstance(sender.send(sent), Accepted)
    for _ in range(4):
        run(queue, sender)
        stack.move_clock(timedelta(minutes=16))
    assert business.row(row)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1
