"""STOP and START belong to the sender that heard them: they count at the businesses that share it, and at no other."""

import re
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import (
    another,
    answer,
    consents_of,
    environment_sends_from,
    hear,
    is_out,
    sends_from,
)
from tests.support.builders import (
    ACCOUNT,
    PHONE,
    SENDER,
    begin,
    finish,
    give_up,
    refused,
)
from tests.support.claims import claim_due
from tests.support.orders import record_consent
from tests.support.records import columns

SENDERS = {
    "BARBER": "MG" + "1" * 32, "DENTIST": "+12125550190", "SENDER": SENDER, "NEW": "MG" + "5" * 32,
    "OTHER": "MG" + "6" * 32, "GONE": "MG" + "7" * 32, "NOBODY": "+12125550199", "CAPITALS": "MG" + "AB" * 16,
    "SMALL": "MG" + "ab" * 16,
}  # fmt: skip
BARBER, DENTIST, NEW = (SENDERS[name] for name in ("BARBER", "DENTIST", "NEW"))
NOBODY = SENDERS["NOBODY"]
ACCOUNTS = dict.fromkeys(SENDERS.values(), ACCOUNT) | {
    BARBER: "AC" + "1" * 32, DENTIST: "AC" + "2" * 32, SENDERS["CAPITALS"]: "AC" + "CD" * 16,
    SENDERS["SMALL"]: "AC" + "cd" * 16, NOBODY: "AC" + "9" * 32,
}  # fmt: skip
"""Of each sender."""
MINUTE = timedelta(minutes=1)
Shops = dict[str, Business]


@pytest.fixture
def shops(business: Business) -> Shops:
    """A barber and a dentist with senders of their own, and two businesses without: each has the same customer."""
    found = {
        "barber": business,
        **{name: another(business) for name in ("dentist", "baker", "florist")},
    }
    sends_from(found["barber"], ACCOUNTS[BARBER], BARBER)
    sends_from(found["dentist"], ACCOUNTS[DENTIST], DENTIST)
    environment_sends_from(business, ACCOUNT, SENDER)
    for shop in found.values():
        shop.customer()
    return found


def out(shops: Shops) -> str:
    """Those that may not text the customer any more, by the customers' rows."""
    return " ".join(
        name for name, shop in shops.items() if consents_of(shop)[0][0] == "opted_out"
    )


def text_from(business: Business, sent_by: str | None) -> None:
    """A text that went out from this sender."""
    row, attempt = business.due_text(), uuid4()
    business.connection.execute(
        "update sms_retry_queue set status = 'completed' where id = %s", [row]
    )
    business.connection.execute(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, number_key, sent_by,
                                          finished_at, outcome, twilio_sid, settled_by)
           values (%s, %s, 1, 1, smsretry.clock(), smsretry.number_key(%s, %s), %s, smsretry.clock(), 'accepted', %s,
                   'response')""",
        [attempt, row, business.id, PHONE, sent_by, f"SM{attempt.hex}"],
    )


EVERYBODY = "barber dentist baker florist"
STOPS: Final[list[tuple[dict[str, str], str]]] = [
    ({"service": BARBER, "to": NOBODY, "account": ACCOUNTS[BARBER]}, "barber"),
    ({"service": BARBER}, "barber"),
    ({"to": DENTIST, "account": ACCOUNTS[DENTIST]}, "dentist"),
    ({"to": " 12125550190 "}, "dentist"),  # decoded wrongly
    ({"to": DENTIST, "service": BARBER}, "barber dentist"),  # the number of a service
    ({"to": NOBODY, "account": ACCOUNTS[DENTIST]}, "dentist"),
    (
        {"service": BARBER, "account": ACCOUNTS[DENTIST]},
        "dentist",
    ),  # that account speaks for its own
    ({"service": SENDER, "account": ACCOUNT}, "baker florist"),
    ({"account": ACCOUNT}, "baker florist"),
    ({}, EVERYBODY),
    ({"to": NOBODY, "account": "AC" + "9" * 32}, ""),
    ({"to": "", "service": " ", "account": ""}, EVERYBODY),
    ({"to": "'; --" * 9999, "service": "{BARBER}", "account": "%"}, ""),
]


def test_a_stop_holds_for_the_businesses_that_use_the_sender_that_received_it(
    shops: Shops,
) -> None:
    """For all, if nobody knows the sender."""
    for named, stopped in STOPS:
        assert hear(shops["barber"], "STOP", **named) == (
            "opted_out",
            len(stopped.split()),
            0,
        ), named
        assert out(shops) == stopped, named
        shops["barber"].connection.execute(
            """delete from smsretry.consents;
               update customers set sms_consent_status = 'opted_in', sms_consent_at = null, sms_consent_source = null"""
        )


def test_without_senders_a_stop_and_a_start_are_everybodys_whatever_the_webhook_names(
    stack: Stack, business: Business
) -> None:
    """There is one sender, and it is everybody's."""
    environment_sends_from(business, ACCOUNT, SENDER)
    for shop in (business, another(business)):
        shop.customer()
    assert hear(business, "STOP", to=NOBODY, account="AC" + "9" * 32) == (
        "opted_out",
        2,
        0,
    )
    stack.move_clock(MINUTE)
    assert hear(business, "START", to=NOBODY) == ("opted_in", 2, 0)


ANSWERS = {
    "words": "unsure",
    **dict.fromkeys(("STOP", "stop"), "opted_out"),
    **dict.fromkeys(("START", "yes"), "opted_in"),
}


def named(words: list[str]) -> dict[str, str]:
    """What Twilio says of the sender: `to` its number or service, or both, `of` the account of another."""
    to, _, account = " ".join(words).partition("of ")
    known = [SENDERS[word] for word in to.split() if word in SENDERS]
    senders = {"to" if sid[0] == "+" else "service": sid for sid in known}
    return senders | ({"account": ACCOUNTS[SENDERS[account]]} if account else {})


def unread(shops: Shops) -> str:
    """Those whose customer wrote what nobody has read."""
    rows = shops["barber"].connection.execute(
        "select business_id from unread_sms_words()"
    )
    waiting = {row["business_id"] for row in rows}
    return " ".join(name for name, shop in shops.items() if shop.id in waiting)


HISTORIES = {
    "all that share a sender": "baker on BARBER; STOP to BARBER = barber baker; START to BARBER = ",
    "the sender of one class ends consent at the business": (
        "baker on BARBER for marketing; STOP to BARBER = barber baker; STOP to SENDER = barber baker florist"
    ),
    "who has a sender for every class is not the environment's, nor one's that both classes outrank": (
        "baker on BARBER for marketing; baker on DENTIST for any; STOP to SENDER = florist; "
        "baker on DENTIST for transactional; baker on SENDER for any; START to SENDER = ; STOP to SENDER = florist"
    ),
    "one answers a text of the sender that a business has left": (
        "baker texts from SENDER; baker on BARBER; florist on BARBER; STOP to SENDER = baker"
    ),
    "a start lifts nothing that another sender heard": (
        "STOP to BARBER = barber; STOP to DENTIST = barber dentist; START to BARBER = dentist"
    ),
    "a start to a business's sender takes back a stop to the one that it has left, which no longer speaks for it": (
        "baker texts from SENDER; STOP to SENDER = baker florist; baker on BARBER; START to SENDER = baker; "
        "yes to SENDER = baker; START to BARBER = "
    ),
    "the provider blocks the other class until it has heard the start, too": (
        "baker on NEW for marketing; baker on OTHER for transactional; STOP to NEW = baker; STOP to OTHER = baker; "
        "START to NEW = baker; START to OTHER = "
    ),
    "one that was the environment's speaks for its business alone": (
        "environment on OTHER; barber on SENDER; STOP to OTHER = baker florist; "
        "STOP to SENDER = barber baker florist; START to SENDER = baker florist"
    ),
    "what went out from a sender that nobody knows may have gone out from any": (
        "dentist texts from NONE; baker texts from GONE; florist texts from DENTIST; "
        "STOP to BARBER = barber dentist baker"
    ),
    "a stop to a sender that was removed holds where its texts came from": (
        "baker texts from GONE; baker on DENTIST; STOP to GONE of BARBER = barber baker"
    ),
    "the default sender, which no run has told yet": (
        f"no run; barber on NEW; STOP to SENDER of SENDER = {EVERYBODY}; START in vain of SENDER = {EVERYBODY}"
    ),
    "an environment that has its ids in capitals, where the provider writes small letters": (
        "environment on CAPITALS; STOP to SMALL = baker florist; START to SMALL = ; STOP of SMALL = baker florist"
    ),
    "a start whose sender nobody knows lifts nothing, and each sender's own lifts what all heard there": (
        f"STOP to NOBODY = {EVERYBODY}; START in vain to NOBODY = {EVERYBODY}; "
        f"START in vain of NOBODY = {EVERYBODY}; "
        f"START in vain to NOBODY of BARBER = {EVERYBODY}; START to BARBER = dentist baker florist"
    ),
    "an opt-in at a business ends what any sender heard there": (
        "STOP to SENDER = baker florist; baker signs = florist; baker on BARBER; "
        "STOP to BARBER = barber baker florist; "
        "START to BARBER = florist"
    ),
    "who has an account of their own has the token that signs for it, and speaks for its own senders alone": (
        "STOP to BARBER of DENTIST = dentist; STOP to BARBER of BARBER = barber dentist; "
        "START in vain to BARBER of DENTIST = barber dentist; "
        "START in vain to NOBODY BARBER of DENTIST = barber dentist; "
        "START in vain to SENDER of DENTIST = barber dentist"
    ),
    "a sender that moved has two accounts: a stop counts whoever signs it, a start only where it is now": (
        "STOP to BARBER = barber; STOP to DENTIST = barber dentist; BARBER moves to DENTIST; "
        "START in vain to BARBER of BARBER = barber dentist; STOP to BARBER of BARBER = barber dentist; "
        "START to BARBER of DENTIST = dentist"
    ),
    "what may mean stop waits for a person until its own sender hears a plain one": (
        "words to DENTIST unread dentist; words to NOBODY unread barber dentist baker florist; "
        "stop to BARBER unread dentist baker florist; START in vain unread dentist baker florist; "
        "stop to DENTIST unread baker florist; words to SENDER unread baker florist; stop to NOBODY unread "
    ),
}  # fmt: skip
"""A word to a sender is followed by those who are opted out then, or whose words are unread."""


@pytest.mark.parametrize("history", HISTORIES)
def test_what_a_sender_received_counts_for_whom_it_texts(
    stack: Stack, shops: Shops, operators: SupabaseOperators, history: str
) -> None:
    """Step by step: a shop gets a sender for a class; or the sender hears a word."""
    barber = shops["barber"]
    for step in HISTORIES[history].split("; "):
        stack.move_clock(MINUTE)
        told, asked, names = re.split("( = | unread |$)", step, maxsplit=1)
        match told.split():
            case [shop, "on", sender, *message_class]:
                own = ACCOUNTS[SENDERS[sender]], SENDERS[sender]
                if shop == "environment":
                    environment_sends_from(barber, *own)
                else:
                    kind = message_class[-1:] or ["any"]
                    sends_from(shops[shop], *own, message_class=kind[0])
            case [shop, "texts", "from", sender]:
                text_from(shops[shop], SENDERS.get(sender))
            case [shop, "signs"]:
                record_consent(
                    operators,
                    PHONE,
                    consent="opted_in",
                    source="form",
                    business_id=shops[shop].id,
                )
            case ["no", "run"]:
                barber.connection.execute(
                    "delete from smsretry.senders where named_at is not null"
                )
            case [sender, "moves", "to", account]:
                barber.connection.execute(
                    "insert into smsretry.senders (account, sent_by, created_at) values (%s, %s, now() + '1 s')",
                    [ACCOUNTS[SENDERS[account]], SENDERS[sender]],
                )
            case [word, *of]:
                body = {"words": "I no longer want these texts"}.get(word, word)
                said = answer(barber, None, body, **named(of))["answer"]
                assert said == ("sender_unknown" if "vain" in of else ANSWERS[word])
        if asked:
            shown = out(shops) if "=" in asked else unread(shops)
            assert shown == names.strip(), step


def test_who_gets_the_number_later_is_stopped_where_the_senders_text(
    stack: Stack, shops: Shops
) -> None:
    """As who had it before, and until each of them has heard a START."""
    phone, baker = "+12125550177", shops["baker"]
    sends_from(baker, ACCOUNTS[NEW], NEW, message_class="marketing")
    for sender in (SENDER, NEW):
        hear(baker, "STOP", service=sender, phone=phone)
        stack.move_clock(MINUTE)
    hear(baker, "STOP", service=BARBER, phone=phone)
    hear(baker, "START", to=DENTIST, phone=phone)
    for shop in shops.values():
        shop.customer(phone=phone)
    assert [name for name, shop in shops.items() if is_out(shop, phone)] == [
        "barber",
        "baker",
        "florist",
    ]
    for sender, still in ((NEW, True), (SENDER, False)):
        hear(baker, "START", service=sender, phone=phone)
        assert is_out(baker, phone) is still


def test_a_start_counts_once(stack: Stack, shops: Shops) -> None:
    """What it named the first time counts."""
    barber, sid = shops["barber"], "SM" + "5" * 32
    hear(barber, "STOP", to=NOBODY)
    stack.move_clock(MINUTE)
    assert hear(barber, "START", sid=sid) == ("sender_unknown", 0, 0)
    assert hear(barber, "START", sid=sid, service=BARBER) == ("already_recorded", 0, 0)
    assert out(shops) == EVERYBODY


def test_a_refusal_is_of_the_business_whose_text_it_was_and_any_sender_of_its_hears_the_start(
    stack: Stack, shops: Shops, queue: SupabaseQueue
) -> None:
    """The provider refuses the others' texts, too. Nobody else's lock or trigger decides about this one."""
    baker, florist = columns(shops, "baker", "florist")
    attempt = uuid4()
    with stack.connect() as importing, importing.transaction():
        importing.execute(
            "select from customers where business_id = %s for update", [florist.id]
        )
        baker.due_text()
        [claim] = claim_due(queue)
        begin(queue, claim, attempt)
        finish(
            queue,
            claim,
            attempt,
            refused(21610),
            give_up("Twilio 21610", 21610, opted_out=True),
        )
    assert [name for name, shop in shops.items() if is_out(shop)] == ["baker"]
    assert consents_of(baker) == [("opted_out", "twilio_21610")] * 2
    stack.move_clock(MINUTE)
    hear(baker, "START", to=DENTIST)
    assert is_out(baker)
    hear(baker, "START", service=SENDER)
    assert not is_out(baker)
