"""Texts go out from the account of their business, with its credentials, and are looked for where they left."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from uuid import uuid4

import pytest
from pydantic import SecretStr

from smsretry import next_retry_delay
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import SENDER
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.faults import AcceptThenDrop
from smsretry.retry.delivery import DeliveryReport
from smsretry.retry.models import SenderId, Text
from smsretry.retry.outcome import Accepted, NotSent, Rejected
from smsretry.sending.entry import send_sms
from smsretry.settings import Settings
from tests.support.builders import PHONE, SID
from tests.support.senders import open_account, texts_from
from tests.support.shop import Shop

NUMBER, OTHER_NUMBER, STRANGERS = "+12025550101", "+12025550102", "+12025550103"
SERVICE, EMPTY = "MG" + "a" * 32, "MG" + "b" * 32
KEY = "SK" + "1" * 32
BY_KEY = {
    "twilio_auth_token": None,
    "twilio_api_key_sid": KEY,
    "twilio_api_key_secret": SecretStr("key's"),
}
"""Settings of an environment without a token: it is known at once which accounts they do not reach."""

Connect = Callable[..., TwilioProvider]


@pytest.fixture
def connect(settings: Settings) -> Iterator[Connect]:
    """Connects the production adapter with changed settings."""
    with ExitStack() as open_ones:
        yield lambda **changes: open_ones.enter_context(
            TwilioProvider(Settings.model_construct(**{**dict(settings), **changes}))
        )


@pytest.fixture
def dentist(shop: Shop) -> Account:
    """A subaccount, with a messaging service."""
    return open_account(
        shop.stack, number=NUMBER, services={SERVICE: {NUMBER}, EMPTY: set()}
    )


@pytest.fixture
def stranger(shop: Shop) -> Account:
    """Somebody's own account."""
    return open_account(
        shop.stack, number=STRANGERS, subaccount=False, api_keys={KEY: "key's"}
    )


def text(account: Account, sent_by: str) -> Text:
    """A text from there."""
    sender = SenderId(account.sid, sent_by)
    return Text(
        attempt_id=uuid4(),
        sender=sender,
        to=PHONE,
        body="Hello",
        valid_for=next_retry_delay(2),
    )


def listed(**accounts: dict[str, str]) -> SecretStr:
    """As in the environment."""
    return SecretStr(json.dumps(accounts))


def test_each_business_texts_from_its_own_account(shop: Shop, dentist: Account) -> None:
    """A subaccount by its parent's token; a business without a sender from the environment's."""
    texts_from(shop.connection, shop.id, dentist.sid, SERVICE)
    row, others = shop.due_text(), shop.neighbor().due_text(phone="+12125550124")
    assert shop.run() == ["Sent", "Sent"]
    main = shop.twilio.accounts.main.sid
    sent = {
        message.to: (message.account_sid, message.sent_by) for message in shop.messages
    }
    assert sent == {PHONE: (dentist.sid, SERVICE), "+12125550124": (main, SENDER)}
    assert [shop.attempts_of(one)[0]["sent_account"] for one in (row, others)] == [
        dentist.sid,
        main,
    ]


def test_an_account_without_credentials_holds_its_own_texts_and_says_what_to_do(
    shop: Shop, connect: Connect, stranger: Account
) -> None:
    """The others' leave. Once the list has them, its texts leave by themselves. A first send is left to the workers."""
    texts_from(shop.connection, shop.id, stranger.sid, STRANGERS)
    shop.neighbor().due_text(phone="+12125550124")
    row = shop.due_text()
    slip = replace(
        shop,
        provider=connect(
            twilio_accounts=listed(**{stranger.sid: {"auth_tokn": "a slip"}})
        ),
    )
    results = slip.results()
    assert sorted(result.fate for result in results.values()) == ["Held", "Sent"]
    assert results[row].why_code == "no_credentials"
    assert results[row].why.startswith(
        f"TWILIO_ACCOUNTS: account {stranger.sid}: must have auth_token"
    )
    assert (shop.row(row)["attempt_count"], len(shop.messages)) == (0, 1)
    log = shop.send_log(shop.customer(phone="+12125550125"))
    first_result = send_sms(log, queue=shop.queue, provider=connect(**BY_KEY))
    assert (first_result.fate, first_result.why_code) == ("GivenBack", "no_credentials")
    shop.later(minutes=16)
    mended = connect(
        twilio_accounts=listed(
            **{stranger.sid: {"api_key_sid": KEY, "api_key_secret": "key's"}}
        )
    )
    assert replace(shop, provider=mended).run() == ["Sent", "Sent"]
    assert {message.account_sid for message in shop.messages[1:]} == {stranger.sid}


def test_what_credentials_do_not_reach_proves_nothing(
    shop: Shop, connect: Connect, dentist: Account, stranger: Account
) -> None:
    """A parent's token serves its subaccounts; only Twilio knows what is none. A key serves its own account alone."""
    twilio = connect()
    answer = twilio.send(text(stranger, STRANGERS))
    assert isinstance(answer, Rejected)
    assert (answer.refusal.kind, answer.refusal.certain) == ("account_refused", True)
    asked = {
        one: twilio.fetch_report(SID, account=one)
        for one in (stranger.sid, dentist.sid, None)
    }
    assert asked == {
        stranger.sid: DeliveryReport("denied"),
        dentist.sid: DeliveryReport("not kept"),
        None: DeliveryReport("not kept"),
    }

    main = shop.twilio.accounts.main
    main.api_keys[KEY] = "key's"
    twilio = connect(**BY_KEY)
    why = twilio.credentials_problem(dentist.sid)
    assert why is not None
    assert why.startswith(f"There are no credentials for account {dentist.sid}")
    assert twilio.send(text(dentist, NUMBER)) == NotSent(why)
    look = twilio.look_up(
        PHONE, sender=SenderId(dentist.sid, NUMBER), since=shop.now(), at=shop.now()
    )
    assert look.unread == why
    assert twilio.fetch_report(SID, account=dentist.sid) == DeliveryReport("denied")
    assert twilio.fetch_report(SID, account=None) == DeliveryReport("not kept")
    assert isinstance(twilio.send(text(main, SENDER)), Accepted)


def test_a_text_in_doubt_is_looked_for_in_the_account_that_sent_it(
    shop: Shop, dentist: Account
) -> None:
    """Its business has moved to another account meanwhile, whose list knows nothing of it. One that is out of reach is
    no evidence that a text is absent.
    """
    barber = open_account(shop.stack, number=OTHER_NUMBER)
    texts_from(shop.connection, shop.id, dentist.sid, NUMBER)
    shop.due_text()
    shop.twilio.fail(AcceptThenDrop())
    assert shop.run() == ["InDoubt"]
    texts_from(shop.connection, shop.id, barber.sid, OTHER_NUMBER)
    dentist.owner = None
    for _ in range(6):
        shop.later(minutes=20)
        assert set(shop.run()) <= {"InDoubt", "Held"}
    dentist.owner = shop.twilio.accounts.main
    shop.later(hours=1)
    assert shop.run() == ["Sent"]
    assert [message.account_sid for message in shop.messages] == [dentist.sid]


def test_a_text_in_doubt_that_cannot_be_looked_for_without_credentials_says_so(
    shop: Shop, connect: Connect, stranger: Account
) -> None:
    """Who reads that the list could not be had would look for the trouble at the provider."""
    texts_from(shop.connection, shop.id, stranger.sid, STRANGERS)
    row, entry = (
        shop.due_text(),
        listed(**{stranger.sid: {"auth_token": stranger.auth_token}}),
    )
    shop.twilio.fail(AcceptThenDrop())
    able = replace(shop, provider=connect(twilio_accounts=entry))
    assert able.run() == ["InDoubt"]
    shop.later(minutes=61)
    assert replace(shop, provider=connect(**BY_KEY)).run() == ["Held"]
    assert (
        f"There are no credentials for account {stranger.sid}" in shop.row(row)["why"]
    )
    shop.later(minutes=61)
    assert able.run() == ["Sent"]


def checked(
    twilio: TwilioProvider, account: Account, sent_by: str
) -> list[tuple[bool, str]]:
    """What a check finds: whether it is right, and the advice or the subject."""
    return [
        (finding.ok, finding.advice or finding.subject)
        for finding in twilio.check_sender(SenderId(account.sid, sent_by))
    ]


def test_a_sender_is_checked_with_what_its_credentials_can_read(
    shop: Shop, connect: Connect, dentist: Account, stranger: Account
) -> None:
    """The account, and then the number, or the service and its registration."""
    parent, there = connect(), (True, f"account {dentist.sid}")
    [active, (ok, unheard)] = checked(parent, dentist, NUMBER)
    assert (active, ok, "a STOP is known to Twilio alone" in unheard) == (
        there,
        True,
        True,
    )
    dentist.webhooks[NUMBER] = "https://demo.twilio.com/welcome/sms/reply/"
    assert "a STOP is known to Twilio alone" in checked(parent, dentist, NUMBER)[1][1]
    dentist.webhooks[NUMBER] = "https://app.example.com/sms"
    assert checked(parent, dentist, NUMBER) == [there, (True, "number …0101")]
    [active, service] = checked(parent, dentist, SERVICE)
    assert (active, service[0]) == (there, True)
    assert (
        "its numbers and registration are shown only to the account's own credentials"
        in service[1]
    )
    assert "does not own it" in checked(parent, dentist, OTHER_NUMBER)[1][1]
    [(ok, advice)] = checked(parent, stranger, STRANGERS)
    assert (ok, "any other account needs an entry in TWILIO_ACCOUNTS" in advice) == (
        False,
        True,
    )
    sender = connect(
        twilio_accounts=listed(**{dentist.sid: {"auth_token": dentist.auth_token}})
    )
    assert "no A2P campaign" in checked(sender, dentist, SERVICE)[1][1]
    dentist.campaigns[SERVICE] = ["VERIFIED"]
    dentist.webhooks[SERVICE] = "https://app.example.com/sms"
    assert checked(sender, dentist, SERVICE)[1] == (
        True,
        f"messaging service {SERVICE}",
    )
    (ok, advice) = checked(sender, dentist, EMPTY)[1]
    assert (ok, "it has no number that can text" in advice) == (False, True)
    dentist.short_codes[EMPTY] = ["12345"]
    dentist.webhooks[EMPTY] = "https://app.example.com/sms"
    assert checked(sender, dentist, EMPTY)[1] == (True, f"messaging service {EMPTY}"), (
        "a short code needs no campaign"
    )
    dentist.status = "suspended"
    assert checked(parent, dentist, NUMBER) == [
        (False, "the account is suspended: see the Twilio console")
    ]
    assert (
        "in the Twilio console whether the account is active"
        in checked(sender, dentist, NUMBER)[0][1]
    )
