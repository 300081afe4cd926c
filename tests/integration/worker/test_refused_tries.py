"""What a person must mend is tried by one text for all, and ever less often."""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.desk.actions.requests import ExplainText, LookAgain
from smsretry.local.twilio.faults import JsonError
from tests.support.builders import AT_ONCE
from tests.support.senders import open_account, texts_from
from tests.support.shop import Shop


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """Where a person asks and acts."""
    return Desk(operators, profile=AT_ONCE, meaning=code_meaning)


def refuse(shop: Shop, code: int, *phones: str) -> list[UUID]:
    """Texts that Twilio refuses with this code until that is mended."""
    for phone in phones:
        shop.twilio.fail(JsonError(code), to=phone, times=None)
    return [shop.due_text(phone=phone) for phone in phones]


def posts(shop: Shop, **later: float) -> int:
    """How many requests a run makes so much later."""
    before = shop.twilio.posts
    shop.later(**later)
    shop.run()
    return shop.twilio.posts - before


BRITISH = [f"+4420794601{n:02}" for n in range(10, 20)]
CANADIAN = [f"+1416555{n:04}" for n in range(10, 20)]


def test_one_text_of_a_destination_tries_what_a_person_must_mend(shop: Shop) -> None:
    """After 30 minutes, 2, 6 and 12 hours, as after deliveries. Once it goes out, so do the others, by the next run.

    Another country is another permission, and so is another code.
    """
    rows = refuse(shop, 21408, *BRITISH) + refuse(shop, 21408, *CANADIAN)
    other = refuse(shop, 29999, "+12125550190", "+12125550191")
    assert Counter(shop.run()) == {"Held": 22}
    assert posts(shop, minutes=15) == 0
    assert posts(shop, minutes=16) == 3
    assert [posts(shop, minutes=20) for _ in range(5)] == [0] * 5
    assert posts(shop, minutes=30) == 3
    shop.twilio.heal()
    assert posts(shop, hours=1) == 0
    assert posts(shop, hours=20) + posts(shop, minutes=1) == 22
    assert {shop.status_of(row) for row in rows + other} == {"completed"}


def test_a_person_s_word_lets_a_refused_text_try(shop: Shop, desk: Desk) -> None:
    """And a number that nobody has verified concerns its own text alone. Its story tells equal refusals in a line."""
    row, _ = refuse(shop, 21608, "+12125550190", "+12125550191")
    assert posts(shop) == 2
    assert posts(shop, minutes=31) == 2
    look = LookAgain(retry_ids=[row], dry_run=False, who="ann", because="Verified")
    desk.answer(look)
    assert posts(shop) == 1
    [story] = desk.explain(ExplainText(id=row))
    lines = [line for line in story.happened if "rejected" in line]
    assert len(lines) == 1
    assert "3 times, the last at" in lines[0]
    shop.twilio.heal()
    desk.answer(look)
    assert posts(shop) == 1
    assert shop.status_of(row) == "completed"


def test_a_text_that_ends_leaves_the_try_to_another(shop: Shop) -> None:
    """Nobody waits for one that was cancelled."""
    rows = refuse(shop, 29999, *BRITISH[:3])
    shop.run()
    assert posts(shop, minutes=31) == 1
    [tried] = [
        row
        for row in rows
        if shop.row(row)["scheduled_for"] > shop.now() + timedelta(hours=1)
    ]
    shop.sql(
        "update sms_retry_queue set status = 'cancelled', held_since = null where id = %s",
        tried,
    )
    assert posts(shop, minutes=2) == 1


def test_a_refusal_of_one_sender_keeps_no_text_that_leaves_from_another(
    shop: Shop,
) -> None:
    """What was refused there may be permitted here: each tries."""
    refuse(shop, 29999, *BRITISH[:3])
    shop.run()
    number = "+12125550190"
    account = open_account(shop.stack, number=number)
    texts_from(shop.connection, shop.id, account.sid, number)
    assert posts(shop, minutes=31) == 3
