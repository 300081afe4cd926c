"""STOP and START belong to the sender that heard them: they count at the businesses that share it, and at no other."""

from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
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
from tests.support.builders import ACCOUNT, PHONE, SENDER, begin, finish, give_up, refused, run
from tests.support.claims import claim_due
from tests.support.orders import record_consent

BARBER_ACCOUNT: Final = "AC" + "1" * 32
BARBER: Final = "MG" + "1" * 32
DENTIST_ACCOUNT: Final = "AC" + "2" * 32
DENTIST: Final = "+12125550190"
NOBODY: Final = "+12125550199"
MINUTE: Final = timedelta(minutes=1)
IN: Final = ("opted_in", None)
Shops = dict[str, Business]


@pytest.fixture
def shops(business: Business) -> Shops:
    """A barber and a dentist with senders of their own, and two businesses without: each has the same customer."""
    found = {"barber": business, **{name: another(business) for name in ("dentist", "baker", "florist")}}
    sends_from(found["barber"], BARBER_ACCOUNT, BARBER)
    sends_from(found["dentist"], DENTIST_ACCOUNT, DENTIST)
    environment_sends_from(business, ACCOUNT, SENDER)
    for shop in found.values():
        shop.customer()
    return found


def status(shops: Shops) -> dict[str, str]:
    """Whether each has consent, by the customer's row."""
    return {name: consents_of(shop)[0][0] for name, shop in shops.items()}


def out(shops: Shops) -> list[str]:
    """Those that may not text the customer any more."""
    return [name for name, consent in status(shops).items() if consent == "opted_out"]


def text_from(business: Business, account: str | None, sent_by: str | None, *, phone: str = PHONE) -> None:
    """A text that went out from this sender."""
    row, attempt = business.due_text(phone=phone), uuid4()
    business.connection.execute("update sms_retry_queue set status = 'completed' where id = %s", [row])
    business.connection.execute(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, number_key, sent_by,
                                          sent_account, finished_at, outcome, twilio_sid, settled_by)
           values (%s, %s, 1, 1, smsretry.clock(), smsretry.number_key(%s, %s), %s, %s, smsretry.clock(), 'accepted',
                   %s, 'response')""",
        [attempt, row, business.id, phone, sent_by, account, f"SM{attempt.hex}"],
    )


EVERYBODY: Final = ["barber", "dentist", "baker", "florist"]
STOPS: Final[list[tuple[dict[str, str], list[str]]]] = [
    ({"service": BARBER, "to": NOBODY, "account": BARBER_ACCOUNT}, ["barber"]),
    ({"service": BARBER}, ["barber"]),
    ({"to": DENTIST, "account": DENTIST_ACCOUNT}, ["dentist"]),
    ({"to": " 12125550190 "}, ["dentist"]),  # decoded wrongly
    ({"to": DENTIST, "service": BARBER}, ["barber", "dentist"]),  # the number of a service
    ({"to": NOBODY, "account": DENTIST_ACCOUNT}, ["dentist"]),
    ({"service": SENDER, "account": ACCOUNT}, ["baker", "florist"]),
    ({"account": ACCOUNT}, ["baker", "florist"]),
    ({}, EVERYBODY),
    ({"to": NOBODY, "account": "AC" + "9" * 32}, EVERYBODY),
    ({"service": BARBER, "account": DENTIST_ACCOUNT}, EVERYBODY),  # a contradiction
    ({"to": "", "service": " ", "account": ""}, EVERYBODY),
    ({"to": "'; --" * 9999, "service": "{BARBER}", "account": "%"}, EVERYBODY),
]


def forget(business: Business) -> None:
    """Nothing has been said."""
    business.connection.execute(
        """delete from smsretry.consents; delete from smsretry.inbound_texts;
           update customers set sms_consent_status = 'opted_in', sms_consent_at = null, sms_consent_source = null"""
    )


def test_a_stop_holds_for_the_businesses_that_use_the_sender_which_heard_it(shops: Shops) -> None:
    """For all, if nobody knows the sender."""
    for named, stopped in STOPS:
        assert hear(shops["barber"], "STOP", **named) == ("opted_out", len(stopped), 0), named
        assert out(shops) == stopped, named
        forget(shops["barber"])


def test_without_senders_a_stop_and_a_start_are_everybodys_whatever_the_webhook_names(
    stack: Stack, business: Business
) -> None:
    """There is one sender, and it is everybody's."""
    shops = {"one": business, "two": another(business)}
    environment_sends_from(business, ACCOUNT, SENDER)
    for shop in shops.values():
        shop.customer()
    assert hear(business, "STOP", to=NOBODY, account="AC" + "9" * 32) == ("opted_out", 2, 0)
    stack.move_clock(MINUTE)
    assert hear(business, "START", to=NOBODY) == ("opted_in", 2, 0)


NEW, OTHER = "MG" + "5" * 32, "MG" + "6" * 32
ACCOUNTS: Final = {BARBER: BARBER_ACCOUNT, DENTIST: DENTIST_ACCOUNT, SENDER: ACCOUNT, NEW: ACCOUNT, OTHER: ACCOUNT}
HISTORIES: Final[dict[str, list[tuple[str, str, str]]]] = {
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
    "a start to a business's own sender means its texts, whichever sender heard the stop": [
        ("STOP", SENDER, "baker florist"), ("baker", NEW, "any"), ("START", NEW, "florist"),
    ],
    "a start to a shared one may be meant for another, and one to the sender that was left is not for it": [
        ("STOP", SENDER, "baker florist"), ("baker", BARBER, "any"), ("STOP", BARBER, "barber baker florist"),
        ("START", BARBER, "baker florist"), ("START", SENDER, "baker"),
    ],
    "the provider blocks the other class until it has heard the start, too": [
        ("baker", NEW, "marketing"), ("baker", OTHER, "transactional"), ("STOP", NEW, "baker"),
        ("STOP", OTHER, "baker"), ("START", NEW, "baker"), ("START", OTHER, ""),
    ],
    "one that was the environment's speaks for its business alone": [
        ("environment", OTHER, ""), ("barber", SENDER, "any"), ("STOP", OTHER, "baker florist"),
        ("STOP", SENDER, "barber baker florist"), ("START", SENDER, "baker florist"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("history", HISTORIES)
def test_what_a_sender_heard_counts_for_whom_it_texts(stack: Stack, shops: Shops, history: str) -> None:
    """Each step: a shop gets a sender for a class; or the sender hears a word, and then these are opted out."""
    for what, sender, then in HISTORIES[history]:
        stack.move_clock(MINUTE)
        if what in ("STOP", "START"):
            hear(shops["barber"], what, **{"to" if sender == DENTIST else "service": sender})
            assert " ".join(out(shops)) == then, (what, sender)
        elif what == "environment":
            environment_sends_from(shops["barber"], ACCOUNTS[sender], sender)
        elif what == "baker texts":
            text_from(shops["baker"], ACCOUNTS[sender], sender)
        else:
            sends_from(shops[what], ACCOUNTS[sender], sender, message_class=then)


def test_a_text_that_names_no_sender_counts_for_any_and_one_of_an_unknown_sender_for_the_environments(
    shops: Shops,
) -> None:
    """The application's own processor keeps none, and an environment may have changed."""
    dentist = shops["dentist"]
    for sent_by, heard, holds in (
        (None, SENDER, True), (None, BARBER, True), (BARBER, SENDER, False), ("MG" + "7" * 32, SENDER, True),
    ):  # fmt: skip
        text_from(dentist, None, sent_by)
        hear(dentist, "STOP", service=heard)
        assert ("dentist" in out(shops)) is holds
        dentist.connection.execute("delete from sms_retry_queue")
        forget(dentist)


def test_a_start_whose_sender_nobody_knows_lifts_nothing_and_says_so(stack: Stack, shops: Shops) -> None:
    """A STOP to nobody knows whom holds for all, and each sender's own START takes it back there."""
    barber, sid = shops["barber"], "SM" + "5" * 32
    hear(barber, "STOP", to=NOBODY)
    stack.move_clock(MINUTE)
    assert hear(barber, "START", sid=sid) == ("sender_unknown", 0, 0)
    assert hear(barber, "START", sid=sid, service=BARBER) == ("already_recorded", 0, 0)
    for named in (
        {"to": NOBODY},
        {"account": "AC" + "9" * 32},
        {"service": BARBER, "account": DENTIST_ACCOUNT},
        {"to": NOBODY, "account": BARBER_ACCOUNT},
    ):
        assert hear(barber, "START", **named) == ("sender_unknown", 0, 0)
    assert out(shops) == EVERYBODY
    assert hear(barber, "START", service=BARBER) == ("opted_in", 1, 0)
    assert out(shops) == ["dentist", "baker", "florist"]


@pytest.mark.parametrize("senders", [1, 2])
def test_an_account_speaks_for_its_one_sender_and_for_none_of_two(stack: Stack, shops: Shops, senders: int) -> None:
    """A webhook that passes the account alone. A STOP holds for all of the account's."""
    if senders == 2:
        sends_from(shops["baker"], BARBER_ACCOUNT, "MG" + "3" * 32)
    stopped = ["barber", "baker"][:senders]
    hear(shops["barber"], "STOP", account=BARBER_ACCOUNT)
    assert out(shops) == stopped
    stack.move_clock(MINUTE)
    assert hear(shops["barber"], "START", account=BARBER_ACCOUNT)[0] == (
        "opted_in" if senders == 1 else "sender_unknown"
    )
    assert out(shops) == ([] if senders == 1 else stopped)


def test_an_opt_in_at_a_business_ends_what_any_sender_heard_there(
    stack: Stack, shops: Shops, operators: SupabaseOperators
) -> None:
    """A later STOP is taken back as if there had been none before."""
    baker = shops["baker"]
    hear(baker, "STOP", service=SENDER)
    stack.move_clock(MINUTE)
    record_consent(operators, PHONE, consent="opted_in", source="form", business_id=baker.id)
    sends_from(baker, BARBER_ACCOUNT, BARBER)
    hear(baker, "STOP", service=BARBER)
    stack.move_clock(MINUTE)
    hear(baker, "START", service=BARBER)
    assert out(shops) == ["florist"]


def test_what_may_mean_stop_waits_for_a_person_until_its_own_sender_hears_a_plain_one(
    stack: Stack, shops: Shops
) -> None:
    """What somebody texts the barber says nothing of the dentist."""
    barber = shops["barber"]

    def unread() -> Any:
        found = barber.connection.execute(
            "select count(*) as n from smsretry.inbound_texts where said = 'unsure' and seen_at is null"
        ).fetchone()
        return found and found["n"]

    assert answer(barber, None, "I no longer want these texts", to=DENTIST)["answer"] == "unsure"
    stack.move_clock(MINUTE)
    answer(barber, None, "stop", service=BARBER)
    answer(barber, None, "start")
    assert unread() == 1
    answer(barber, None, "stop", to=DENTIST)
    assert unread() == 0


# The provider's refusal


def refuse(business: Business, queue: SupabaseQueue, sent_by: str | None, account: str | None) -> None:
    """A text of this business is refused because the recipient is unsubscribed from the sender."""
    row = business.due_text()
    [claim] = [c for c in claim_due(queue, 50) if c.id == row]
    attempt = uuid4()
    begin(queue, claim, attempt)
    business.connection.execute(
        "update sms_send_attempts set sent_by = %s, sent_account = %s where id = %s", [sent_by, account, attempt]
    )
    finish(queue, claim, attempt, refused(21610), give_up("Twilio 21610", 21610, opted_out=True))


def test_a_refusal_holds_for_the_businesses_that_share_the_sender(
    stack: Stack, shops: Shops, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Their customers are not written here. Their next texts end, and the sender's START takes it back."""
    sends_from(shops["florist"], BARBER_ACCOUNT, BARBER)
    refuse(shops["barber"], queue, BARBER, BARBER_ACCOUNT)
    assert [consents_of(shops[name]) for name in ("florist", "dentist")] == [[IN], [IN]]
    assert consents_of(shops["barber"]) == [("opted_out", "twilio_21610")] * 2
    row = shops["florist"].due_text()
    other = shops["baker"].due_text()
    assert sorted(run(queue, sender)) == ["Cancelled", "Sent"]
    assert shops["florist"].row(row)["why_code"] == "opted_out"
    assert shops["baker"].row(other)["status"] == "completed"
    stack.move_clock(MINUTE)
    assert hear(shops["barber"], "START", to=DENTIST)[0] == "opted_in"
    assert is_out(shops["florist"])
    assert hear(shops["barber"], "START", service=BARBER)[0] == "opted_in"
    assert not is_out(shops["florist"])


def test_a_refusal_of_the_environments_sender_holds_for_those_without_one(shops: Shops, queue: SupabaseQueue) -> None:
    """Also if the application sent it, or another environment."""
    for sent_by in (SENDER, None, "MG" + "7" * 32):
        refuse(shops["baker"], queue, sent_by, None)
        assert [name for name, shop in shops.items() if is_out(shop)] == ["baker", "florist"]
        forget(shops["baker"])


def test_without_senders_a_refusal_is_of_the_business_whose_text_it_was(
    business: Business, queue: SupabaseQueue
) -> None:
    """No run has told who else uses the sender."""
    other = another(business)
    other.customer()
    refuse(business, queue, SENDER, ACCOUNT)
    assert (is_out(business), is_out(other)) == (True, False)


def test_a_refusal_waits_for_no_lock_and_no_trigger_of_a_business_that_shares_the_sender(
    stack: Stack, shops: Shops, queue: SupabaseQueue
) -> None:
    """An import of the florist's decides nothing about the baker's text."""
    florist = shops["florist"]
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers where business_id = %s for update", [florist.id])
        refuse(shops["baker"], queue, SENDER, ACCOUNT)
    assert is_out(florist)


# A sender that is gone, and one that was the environment's


def test_a_stop_to_a_sender_that_was_removed_holds_where_its_texts_came_from(shops: Shops) -> None:
    """The account still has another sender. The person answers a text of the one that is gone."""
    baker = shops["baker"]
    text_from(baker, BARBER_ACCOUNT, "MG" + "7" * 32)
    sends_from(baker, DENTIST_ACCOUNT, "MG" + "8" * 32)
    for named in ({"service": "MG" + "7" * 32}, {"to": NOBODY}, {}):
        hear(baker, "STOP", account=BARBER_ACCOUNT, **named)
        assert out(shops) == ["barber", "baker"]
        forget(baker)


def test_a_stop_to_the_environments_sender_holds_although_no_run_has_told_which_it_is(
    stack: Stack, shops: Shops
) -> None:
    """Right after an upgrade, or if the application sends by itself. A business's own sender is in the same account."""
    barber = shops["barber"]
    barber.connection.execute("delete from smsretry.senders where told_at is not null")
    sends_from(barber, ACCOUNT, "MG" + "7" * 32)
    hear(barber, "STOP", service=SENDER, account=ACCOUNT)
    assert out(shops) == ["barber", "dentist", "baker", "florist"]
    stack.move_clock(MINUTE)
    assert hear(barber, "START", account=ACCOUNT) == ("sender_unknown", 0, 0)


def test_an_environment_that_has_its_ids_in_capitals_hears_what_comes_in(stack: Stack, shops: Shops) -> None:
    """The provider takes them so, and names them in its own way."""
    service, account = "MG" + "ab" * 16, "AC" + "cd" * 16
    environment_sends_from(shops["baker"], account.upper(), service.upper())
    hear(shops["baker"], "STOP", service=service, account=account)
    assert out(shops) == ["baker", "florist"]
    stack.move_clock(MINUTE)
    assert hear(shops["baker"], "START", service=service, account=account) == ("opted_in", 2, 0)
    hear(shops["baker"], "STOP", account=account)
    assert out(shops) == ["baker", "florist"]
