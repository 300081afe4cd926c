"""A text in doubt whose business has a sender of its own: it is looked for wherever it may have left."""

from datetime import timedelta
from uuid import uuid4

import pytest

from smsretry.retry.models import SenderId, Text
from smsretry.retry.outcome import Accepted
from tests.support.builders import BODY, PHONE
from tests.support.senders import open_account, texts_from
from tests.support.shop import Shop

NUMBER = "+12025550101"


@pytest.mark.parametrize("trouble", ["restored", "processor died"])
@pytest.mark.parametrize("own", [True, False])
def test_a_send_that_nobody_wrote_down_is_looked_for_in_both_accounts(
    shop: Shop, trouble: str, own: bool
) -> None:
    """It may have left from the business's own sender, or from that of the environment."""
    dentist = open_account(shop.stack, number=NUMBER)
    texts_from(shop.connection, shop.id, dentist.sid, NUMBER)
    row = shop.due_text(due=timedelta(minutes=-10))
    if trouble == "restored":
        shop.sql(
            "select * from after_sms_restore(%s, false, 'Ann', 'Restored')",
            shop.now() - timedelta(minutes=5),
        )
    else:
        shop.sql("select * from claim_due_sms_retries(10)")
        shop.later(minutes=15)
    left_from = SenderId(dentist.sid, NUMBER) if own else shop.provider.default
    sent = Text(
        attempt_id=uuid4(),
        sender=left_from,
        to=PHONE,
        body=BODY,
        valid_for=timedelta(hours=1),
    )
    assert isinstance(shop.provider.send(sent), Accepted)
    for _ in range(4):
        shop.run()
        shop.later(minutes=16)
    assert (shop.status_of(row), len(shop.messages)) == ("completed", 1)
