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
    hear_in_full,
    sends_from,
)
from tests.support.builders import ACCOUNT, PHONE, SENDER, begin, finish, give_up, refused, run
from tests.support.claims import claim_due

BARBER_ACCOUNT: Final = "AC" + "1" * 32
BARBER: Final = "MG" + "1" * 32
DENTIST_ACCOUNT: Final = "AC" + "2" * 32
DENTIST: Final = "+12125550190"
NOBODY: Final = "+12125550199"
MINUTE: Final = timedelta(minutes=1)
OUT, IN, IN_AGAIN = ("opted_out", "inbound_stop"), ("opted_in", None), ("opted_in", "inbound_start")
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


STOPS: Final = [
    pytest.param({"service": BARBER, "to": NOBODY, "account": BARBER_ACCOUNT}, ["barber"], id="service"),
    pytest.param({"service": BARBER}, ["barber"], id="service alone"),
    pytest.param({"to": DENTIST, "account": DENTIST_ACCOUNT}, ["dentist"], id="number"),
    pytest.param({"to": " 12125550190 "}, ["dentist"], id="number, decoded wrongly"),
    pytest.param({"to": DENTIST, "service": BARBER}, ["barber", "dentist"], id="number of a service"),
    pytest.param({"to": NOBODY, "account": DENTIST_ACCOUNT}, ["dentist"], id="account"),
    pytest.param({"service": SENDER, "account": ACCOUNT}, ["baker", "florist"], id="environment"),
    pytest.param({"account": ACCOUNT}, ["baker", "florist"], id="environment's account"),
    pytest.param({}, ["barber", "dentist", "baker", "florist"], id="nothing"),
    pytest.param({"to": NOBODY, "account": "AC" + "9" * 32}, ["barber", "dentist", "baker", "florist"], id="unknown"),
    pytest.param(
        {"service": BARBER, "account": DENTIST_ACCOUNT}, ["barber", "dentist", "baker", "florist"], id="contradiction"
    ),
    pytest.param({"to": "", "service": " ", "account": ""}, ["barber", "dentist", "baker", "florist"], id="empty"),
    pytest.param(
        {"to": "'; --" * 9999, "service": "{BARBER}", "account": "%"},
        ["barber", "dentist", "baker", "florist"],
        id="hostile",
    ),
]


@pytest.mark.parametrize(("named", "stopped"), STOPS)
def test_a_stop_holds_for_the_businesses_that_use_the_sender_which_heard_it(
    shops: Shops, named: dict[str, str], stopped: list[str]
) -> None:
    """For all, if nobody knows the sender."""
    assert hear(shops["barber"], "STOP", **named) == ("opted_out", len(stopped), 0)
    assert out(shops) == stopped


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


def test_a_stop_to_a_shared_sender_holds_for_all_that_share_it(stack: Stack, shops: Shops) -> None:
    """The provider blocks the number for them, too. Their START takes it back for all."""
    sends_from(shops["baker"], BARBER_ACCOUNT, BARBER)
    assert hear(shops["barber"], "STOP", service=BARBER) == ("opted_out", 2, 0)
    assert out(shops) == ["barber", "baker"]
    stack.move_clock(MINUTE)
    assert hear(shops["barber"], "START", service=BARBER) == ("opted_in", 2, 0)
    assert out(shops) == []


def test_a_stop_to_the_sender_of_one_class_ends_consent_at_the_business(shops: Shops) -> None:
    """Consent is of a number at a business. The environment serves who has a sender for one class only."""
    sends_from(shops["baker"], BARBER_ACCOUNT, BARBER, message_class="marketing")
    hear(shops["barber"], "STOP", service=BARBER)
    assert out(shops) == ["barber", "baker"]
    hear(shops["barber"], "STOP", service=SENDER)
    assert out(shops) == ["barber", "baker", "florist"]


@pytest.mark.parametrize("rest", ["transactional", "any"])
def test_a_business_with_senders_for_every_class_is_not_the_environments(shops: Shops, rest: str) -> None:
    """Neither is a sender its own that both classes outrank."""
    baker = shops["baker"]
    sends_from(baker, BARBER_ACCOUNT, BARBER, message_class="marketing")
    sends_from(baker, DENTIST_ACCOUNT, DENTIST, message_class=rest)
    hear(baker, "STOP", service=SENDER)
    assert out(shops) == ["florist"]
    sends_from(baker, DENTIST_ACCOUNT, DENTIST, message_class="transactional")
    sends_from(baker, ACCOUNT, SENDER, message_class="any")
    hear(baker, "START", service=SENDER)
    hear(baker, "STOP", service=SENDER)
    assert out(shops) == ["florist"]


def test_a_stop_to_the_sender_that_a_business_has_left_holds_if_it_texted_the_number_from_there(shops: Shops) -> None:
    """The person answers an old text. A business that never texted it from there is none of theirs."""
    baker, florist = shops["baker"], shops["florist"]
    text_from(baker, ACCOUNT, SENDER)
    for shop in (baker, florist):
        sends_from(shop, BARBER_ACCOUNT, BARBER)
    assert hear(baker, "STOP", service=SENDER, account=ACCOUNT)[0] == "opted_out"
    assert out(shops) == ["baker"]


@pytest.mark.parametrize(
    ("sent_by", "heard", "holds"),
    [(None, SENDER, True), (None, BARBER, True), (BARBER, SENDER, False), ("MG" + "7" * 32, SENDER, True)],
)
def test_a_text_that_names_no_sender_counts_for_any_and_one_of_an_unknown_sender_for_the_environments(
    shops: Shops, sent_by: str | None, heard: str, holds: bool
) -> None:
    """The application's own processor keeps none, and an environment may have changed."""
    text_from(shops["dentist"], None, sent_by)
    hear(shops["dentist"], "STOP", service=heard)
    assert ("dentist" in out(shops)) is holds


# START


def test_a_start_lifts_nothing_that_another_sender_heard(stack: Stack, shops: Shops) -> None:
    """STOP to the barber and to the dentist, START to the barber."""
    hear(shops["barber"], "STOP", service=BARBER)
    hear(shops["barber"], "STOP", to=DENTIST)
    stack.move_clock(MINUTE)
    assert hear(shops["barber"], "START", service=BARBER) == ("opted_in", 1, 0)
    assert consents_of(shops["barber"]) == [IN_AGAIN]
    assert out(shops) == ["dentist"]


@pytest.mark.parametrize(
    "named",
    [
        {}, {"to": NOBODY}, {"account": "AC" + "9" * 32}, {"service": BARBER, "account": DENTIST_ACCOUNT},
        {"to": NOBODY, "account": BARBER_ACCOUNT},
    ],
)  # fmt: skip
def test_a_start_whose_sender_nobody_knows_lifts_nothing_and_says_so(
    stack: Stack, shops: Shops, named: dict[str, str]
) -> None:
    """A STOP to nobody knows whom holds for all, and each sender's own START takes it back there."""
    hear(shops["barber"], "STOP", to=NOBODY)
    stack.move_clock(MINUTE)
    sid = "SM" + "5" * 32
    assert hear(shops["barber"], "START", sid=sid, **named) == ("sender_unknown", 0, 0)
    assert hear(shops["barber"], "START", sid=sid, service=BARBER) == ("already_recorded", 0, 0)
    assert len(out(shops)) == 4
    assert hear(shops["barber"], "START", service=BARBER) == ("opted_in", 1, 0)
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


def test_a_start_to_the_new_sender_takes_back_a_stop_to_the_old_if_nobody_shares_it(stack: Stack, shops: Shops) -> None:
    """Whoever texts START to a number that is one business's alone wants its texts."""
    baker = shops["baker"]
    hear(baker, "STOP", service=SENDER)
    own = "MG" + "4" * 32
    sends_from(baker, BARBER_ACCOUNT, own)
    stack.move_clock(MINUTE)
    hear(baker, "START", service=own)
    assert out(shops) == ["florist"]


def test_a_start_to_a_shared_sender_takes_back_no_stop_to_the_one_that_a_business_has_left(
    stack: Stack, shops: Shops
) -> None:
    """It may be meant for another business. A later opt-in at this one lifts it."""
    baker, barber = shops["baker"], shops["barber"]
    hear(baker, "STOP", service=SENDER)
    sends_from(baker, BARBER_ACCOUNT, BARBER)
    hear(baker, "STOP", service=BARBER)
    stack.move_clock(MINUTE)
    hear(baker, "START", service=BARBER)
    assert (consents_of(barber), consents_of(baker)) == ([IN_AGAIN], [OUT])
    stack.move_clock(MINUTE)
    hear(baker, "START", service=SENDER)  # which sends for it no more
    assert out(shops) == ["baker"]


def test_a_start_to_one_class_does_not_take_back_a_stop_to_the_other_until_both_have_heard_it(
    stack: Stack, shops: Shops
) -> None:
    """The provider still blocks the other."""
    baker = shops["baker"]
    sends_from(baker, ACCOUNT, "MG" + "5" * 32, message_class="marketing")
    sends_from(baker, ACCOUNT, "MG" + "6" * 32, message_class="transactional")
    for service in ("MG" + "5" * 32, "MG" + "6" * 32):
        hear(baker, "STOP", service=service)
    stack.move_clock(MINUTE)
    assert hear(baker, "START", service="MG" + "5" * 32) == ("opted_in", 0, 0)
    assert out(shops) == ["baker"]
    stack.move_clock(MINUTE)
    assert hear(baker, "START", service="MG" + "6" * 32) == ("opted_in", 1, 0)


def test_a_yes_to_one_class_takes_no_stop_in_words_back_for_a_start_to_the_other(stack: Stack, shops: Shops) -> None:
    """It may answer another question. A START to the class that heard the words takes them back."""
    baker, marketing, transactional = shops["baker"], "MG" + "5" * 32, "MG" + "6" * 32
    sends_from(baker, ACCOUNT, marketing, message_class="marketing")
    sends_from(baker, ACCOUNT, transactional, message_class="transactional")
    hear(baker, None, "please stop texting me", service=marketing)
    hear(baker, "STOP", service=transactional)
    for said, service, customers in (("yes", marketing, 0), ("start", transactional, 0), ("start", marketing, 1)):
        stack.move_clock(MINUTE)
        assert hear(baker, None, said, service=service) == ("opted_in", customers, 0)


def test_an_opt_in_at_a_business_ends_what_any_sender_heard_there(
    stack: Stack, shops: Shops, operators: SupabaseOperators
) -> None:
    """A later STOP is taken back as if there had been none before."""
    baker = shops["baker"]
    hear(baker, "STOP", service=SENDER)
    stack.move_clock(MINUTE)
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=baker.id)
    sends_from(baker, BARBER_ACCOUNT, BARBER)
    hear(baker, "STOP", service=BARBER)
    stack.move_clock(MINUTE)
    hear(baker, "START", service=BARBER)
    assert out(shops) == ["florist"]


def test_a_stop_that_met_a_locked_customer_is_completed_for_the_businesses_it_was_for(
    stack: Stack, shops: Shops
) -> None:
    """Whatever the repeated webhook names, and whoever sends by then."""
    sid, barber = "SM" + "a" * 32, shops["barber"]
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers where business_id = %s for update", [barber.id])
        assert hear_in_full(barber, "STOP", sid=sid, service=BARBER)["unmarked"] == 1
    sends_from(barber, DENTIST_ACCOUNT, DENTIST)
    assert hear(barber, "STOP", sid=sid) == ("already_recorded", 1, 0)
    assert out(shops) == ["barber"]


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
    assert opted_out(shops["florist"])
    assert hear(shops["barber"], "START", service=BARBER)[0] == "opted_in"
    assert not opted_out(shops["florist"])


@pytest.mark.parametrize("sent_by", [SENDER, None, "MG" + "7" * 32])
def test_a_refusal_of_the_environments_sender_holds_for_those_without_one(
    shops: Shops, queue: SupabaseQueue, sent_by: str | None
) -> None:
    """Also if the application sent it, or another environment."""
    refuse(shops["baker"], queue, sent_by, None)
    assert [name for name, shop in shops.items() if opted_out(shop)] == ["baker", "florist"]


def test_without_senders_a_refusal_is_of_the_business_whose_text_it_was(
    business: Business, queue: SupabaseQueue
) -> None:
    """No run has told who else uses the sender."""
    other = another(business)
    other.customer()
    refuse(business, queue, SENDER, ACCOUNT)
    assert (opted_out(business), opted_out(other)) == (True, False)


def test_a_refusal_waits_for_no_lock_and_no_trigger_of_a_business_that_shares_the_sender(
    stack: Stack, shops: Shops, queue: SupabaseQueue
) -> None:
    """An import of the florist's decides nothing about the baker's text."""
    florist = shops["florist"]
    with stack.connect() as importing, importing.transaction():
        importing.execute("select from customers where business_id = %s for update", [florist.id])
        importing.execute("select smsretry.lock_number(%s, %s)", [florist.id, PHONE])
        refuse(shops["baker"], queue, SENDER, ACCOUNT)
    assert opted_out(florist)


def opted_out(business: Business) -> bool:
    """Whether the number is, at this business."""
    found = business.connection.execute(
        """select exists (select from smsretry.standing_opt_outs
                          where number_key = smsretry.number_key(%s, %s)) as is_out""",
        [business.id, PHONE],
    ).fetchone()
    return bool(found and found["is_out"])


# A sender that is gone, and one that was the environment's


@pytest.mark.parametrize("named", [{"service": "MG" + "7" * 32}, {"to": NOBODY}, {}])
def test_a_stop_to_a_sender_that_was_removed_holds_where_its_texts_came_from(
    shops: Shops, named: dict[str, str]
) -> None:
    """The account still has another sender. The person answers a text of the one that is gone."""
    baker = shops["baker"]
    text_from(baker, BARBER_ACCOUNT, "MG" + "7" * 32)
    sends_from(baker, DENTIST_ACCOUNT, "MG" + "8" * 32)
    hear(baker, "STOP", account=BARBER_ACCOUNT, **named)
    assert out(shops) == ["barber", "baker"]


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


def test_a_sender_that_was_the_environments_speaks_for_its_business_alone(stack: Stack, shops: Shops) -> None:
    """The environment got another one, and the old one became a business's own."""
    barber, baker = shops["barber"], shops["baker"]
    stack.move_clock(timedelta(days=2))
    environment_sends_from(barber, ACCOUNT, "MG" + "6" * 32)
    sends_from(barber, ACCOUNT, SENDER)
    hear(baker, "STOP", service="MG" + "6" * 32)
    assert out(shops) == ["baker", "florist"]
    stack.move_clock(MINUTE)
    hear(baker, "STOP", service=SENDER)
    assert out(shops) == ["barber", "baker", "florist"]
    stack.move_clock(MINUTE)
    hear(baker, "START", service=SENDER)
    assert out(shops) == ["baker", "florist"]
