"""STOP and START belong to the sender that heard them: they count at the businesses that share it, and at no other."""

from datetime import timedelta
from typing import Any, Final
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

BARBER, DENTIST, NEW, OTHER = (
    "MG" + "1" * 32,
    "+12125550190",
    "MG" + "5" * 32,
    "MG" + "6" * 32,
)
GONE, NOBODY, CAPITALS = "MG" + "7" * 32, "+12125550199", "MG" + "AB" * 16
ACCOUNTS = {
    BARBER: "AC" + "1" * 32, DENTIST: "AC" + "2" * 32, SENDER: ACCOUNT, NEW: ACCOUNT, OTHER: ACCOUNT,
    CAPITALS: "AC" + "CD" * 16,
}  # fmt: skip
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


def test_an_account_speaks_for_its_own_senders_alone(
    stack: Stack, shops: Shops
) -> None:
    """Who has an account of their own has the token that signs for it. A sender that moved is recorded with both: a
    STOP counts whoever signs it, a START only at the account that has it now.
    """
    barber, theirs = shops["barber"], ACCOUNTS[DENTIST]
    dentist: dict[str, str] = {"account": theirs}
    assert hear(barber, "STOP", service=BARBER, **dentist) == ("opted_out", 1, 0)
    assert out(shops) == "dentist"
    stack.move_clock(MINUTE)
    hear(barber, "STOP", service=BARBER, account=ACCOUNTS[BARBER])
    stack.move_clock(MINUTE)
    for named in (
        {"service": BARBER},
        {"to": NOBODY, "service": BARBER},
        {"service": SENDER},
    ):
        assert hear(barber, "START", **named, **dentist)[0] == "sender_unknown"
    assert out(shops) == "barber dentist"
    barber.connection.execute(
        """insert into smsretry.senders (account, sent_by, created_at) values (%s, %s, now() + interval '1 second')""",
        [theirs, BARBER],
    )
    stack.move_clock(MINUTE)
    start = {"service": BARBER, "account": ACCOUNTS[BARBER]}
    assert hear(barber, "START", **start)[0] == "sender_unknown"
    hear(barber, "STOP", **start)
    assert out(shops) == "barber dentist"
    stack.move_clock(MINUTE)
    assert hear(barber, "START", service=BARBER, **dentist)[0] == "opted_in"
    assert out(shops) == "dentist"


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


HISTORIES: Final[dict[str, list[tuple[str, Any, str]]]] = {
    "all that share a sender": [("baker", BARBER, "any"), ("STOP", BARBER, "barber baker"), ("START", BARBER, "")],
    "the sender of one class ends consent at the business": [
        ("baker", BARBER, "marketing"), ("STOP", BARBER, "barber baker"), ("STOP", SENDER, "barber baker florist"),
    ],
    "who has a sender for every class is not the environment's, nor one's that both classes outrank": [
        ("baker", BARBER, "marketing"), ("baker", DENTIST, "any"), ("STOP", SENDER, "florist"),
        ("baker", DENTIST, "transactional"), ("baker", SENDER, "any"), ("START", SENDER, ""),
        ("STOP", SENDER, "florist"),
    ],
    "one answers a text of the sender that a business has left": [
        ("baker texts", SENDER, ""), ("baker", BARBER, "any"), ("florist", BARBER, "any"), ("STOP", SENDER, "baker"),
    ],
    "a start lifts nothing that another sender heard": [
        ("STOP", BARBER, "barber"), ("STOP", DENTIST, "barber dentist"), ("START", BARBER, "dentist"),
    ],
    "a start to a business's sender takes back a stop to the one that it has left, which no longer speaks for it": [
        ("baker texts", SENDER, ""), ("STOP", SENDER, "baker florist"), ("baker", BARBER, "any"),
        ("START", SENDER, "baker"), ("YES", SENDER, "baker"), ("START", BARBER, ""),
    ],
    "the provider blocks the other class until it has heard the start, too": [
        ("baker", NEW, "marketing"), ("baker", OTHER, "transactional"), ("STOP", NEW, "baker"),
        ("STOP", OTHER, "baker"), ("START", NEW, "baker"), ("START", OTHER, ""),
    ],
    "one that was the environment's speaks for its business alone": [
        ("environment", OTHER, ""), ("barber", SENDER, "any"), ("STOP", OTHER, "baker florist"),
        ("STOP", SENDER, "barber baker florist"), ("START", SENDER, "baker florist"),
    ],
    "what went out from a sender that nobody knows may have gone out from any": [
        ("dentist texts", None, ""), ("baker texts", GONE, ""), ("florist texts", DENTIST, ""),
        ("STOP", BARBER, "barber dentist baker"),
    ],
    "a stop to a sender that was removed holds where its texts came from": [
        ("baker texts", GONE, ""), ("baker", DENTIST, "any"),
        ("STOP", {"service": GONE, "account": ACCOUNTS[BARBER]}, "barber baker"),
    ],
    "the default sender, which no run has told yet": [
        ("no run", None, ""), ("barber", NEW, "any"), ("STOP", {"service": SENDER, "account": ACCOUNT}, EVERYBODY),
        ("START in vain", {"account": ACCOUNT}, EVERYBODY),
    ],
    "an environment that has its ids in capitals, where the provider writes small letters": [
        ("environment", CAPITALS, ""), ("STOP", CAPITALS.lower().replace("mg", "MG"), "baker florist"),
        ("START", CAPITALS.lower().replace("mg", "MG"), ""), ("STOP", {"account": "AC" + "cd" * 16}, "baker florist"),
    ],
    "a start whose sender nobody knows lifts nothing, and each sender's own lifts what all heard there": [
        ("STOP", NOBODY, EVERYBODY), ("START in vain", NOBODY, EVERYBODY),
        ("START in vain", {"account": "AC" + "9" * 32}, EVERYBODY),
        ("START in vain", {"to": NOBODY, "account": ACCOUNTS[BARBER]}, EVERYBODY),
        ("START", BARBER, "dentist baker florist"),
    ],
    "an opt-in at a business ends what any sender heard there": [
        ("STOP", SENDER, "baker florist"), ("baker signs", None, "florist"), ("baker", BARBER, "any"),
        ("STOP", BARBER, "barber baker florist"), ("START", BARBER, "florist"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", HISTORIES)
def test_what_a_sender_received_counts_for_whom_it_texts(
    stack: Stack, shops: Shops, operators: SupabaseOperators, history: str
) -> None:
    """Each step: a shop gets a sender for a class; or the sender hears a word, and then these are opted out."""
    barber = shops["barber"]
    for what, sender, then in HISTORIES[history]:
        stack.move_clock(MINUTE)
        match what.split():
            case ["STOP" | "START" | "YES" as word, *in_vain]:
                named = (
                    sender
                    if isinstance(sender, dict)
                    else {"to" if sender[0] == "+" else "service": sender}
                )
                receivers = (
                    "sender_unknown"
                    if in_vain
                    else "opted_out"
                    if word == "STOP"
                    else "opted_in"
                )
                assert (
                    hear(
                        barber, *((None, word) if word == "YES" else (word,)), **named
                    )[0]
                    == receivers
                )
                assert out(shops) == then, (what, sender)
            case ["environment"]:
                environment_sends_from(barber, ACCOUNTS[sender], sender)
            case ["no", "run"]:
                barber.connection.execute(
                    "delete from smsretry.senders where named_at is not null"
                )
            case [shop, "texts"]:
                text_from(shops[shop], sender)
            case [shop, "signs"]:
                record_consent(
                    operators,
                    PHONE,
                    consent="opted_in",
                    source="form",
                    business_id=shops[shop].id,
                )
                assert out(shops) == then
            case [shop]:
                sends_from(shops[shop], ACCOUNTS[sender], sender, message_class=then)


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


def test_what_may_mean_stop_waits_for_a_person_until_its_own_sender_hears_a_plain_one(
    stack: Stack, shops: Shops
) -> None:
    """What somebody texts the barber says nothing of the dentist. What nobody knows the sender of is of all."""
    barber = shops["barber"]

    def unread() -> set[str]:
        rows = barber.connection.execute("select business_id from unread_sms_words()")
        waiting = {row["business_id"] for row in rows}
        return {name for name, shop in shops.items() if shop.id in waiting}

    for heard in (DENTIST, NOBODY):
        assert (
            answer(barber, None, "I no longer want these texts", to=heard)["answer"]
            == "unsure"
        )
    stack.move_clock(MINUTE)
    answer(barber, None, "stop", service=BARBER)
    answer(barber, None, "start")
    assert unread() == {"dentist", "baker", "florist"}
    answer(barber, None, "stop", to=DENTIST)
    assert unread() == {"baker", "florist"}
    answer(barber, None, "I no longer want these texts", service=SENDER)
    assert unread() == {"baker", "florist"}
    answer(barber, None, "stop", to=NOBODY)
    assert unread() == set()


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
