"""Texts in doubt, and the minutes in which evidence of them is looked for."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from smsretry.local.twilio.faults import ListError, SendFault
from smsretry.retry.before import LIFE
from smsretry.retry.profile import DEFAULT, Profile
from tests.support.builders import BODY, PHONE, SID, sent_by_hand
from tests.support.claims import next_due
from tests.support.shop import Shop

LOOK = timedelta(minutes=1, seconds=1)
"""After that the first look is due."""


def in_doubt(
    shop: Shop, fault: SendFault, *, body: str = BODY, phone: str = PHONE
) -> UUID:
    """A text whose answer is lost."""
    row = shop.due_text(body=body, phone=phone)
    shop.twilio.fail(fault)
    assert shop.run() == ["InDoubt"]
    return row


def fails_in_doubt(shop: Shop, fault: SendFault) -> UUID:
    """One whose life ended, too, before the provider's list could be had. Now it can."""
    row = in_doubt(shop, fault)
    shop.twilio.fail(ListError(), times=None)
    shop.later(hours=LIFE / timedelta(hours=1) + 1)
    assert shop.run() == ["Failed"]
    shop.twilio.heal()
    return row


def live(
    shop: Shop, profile: Profile = DEFAULT, *, minutes: float = 30, step: float = 1
) -> list[str]:
    """Let minutes pass, with a run at each step at which something is due; what the texts came to."""
    fates = []
    for _ in range(round(minutes / step)):
        shop.later(minutes=step)
        if next_due(shop.connection) == 0:
            fates += shop.run(profile)
    return fates


def sent_unrecorded(shop: Shop, body: str) -> str:
    """A message of the application's own to the same person, of which nothing is recorded; returns its SID."""
    sid: str = sent_by_hand(shop.provider, PHONE, body).sid
    return sid


def record(shop: Shop, sid: str) -> None:
    """What an application does that knows its message's name."""
    log = shop.send_log(shop.customer())
    said = "update send_logs set status = 'sent', provider_message_id = jsonb_build_object('twilio_sid', %s::text)"
    shop.sql(f"{said} where id = %s", sid, log)


def settle(shop: Shop, attempt: Any, sid: str = SID) -> str:
    """As the application's webhook does."""
    return str(shop.value("select settle_sms_attempt(%s, %s)", attempt, sid))
