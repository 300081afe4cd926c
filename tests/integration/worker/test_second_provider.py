"""A second provider is one adapter: a text goes its whole way through another API, and the story is the same."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.retry.delivery import RESEND_DELAYS
from smsretry.retry.doubt import LOOK_DELAYS
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.settings import Settings
from tests.integration.worker.second_provider import SENDER, Exchange, Letterbox, serve
from tests.support.records import columns
from tests.support.shop import Shop

LATER = timedelta(minutes=5, seconds=1)


@pytest.fixture
def exchange() -> Exchange:
    """What the other provider has."""
    return Exchange()


@pytest.fixture
def letters(shop: Shop, settings: Settings, exchange: Exchange) -> Iterator[Shop]:
    """The shop, whose texts go out over its HTTP API."""
    theirs = settings.model_copy(
        update={"twilio_account_sid": None, "twilio_from_number": SENDER}
    )
    with (
        serve(exchange) as address,
        Letterbox(address) as letterbox,
        SupabaseQueue(theirs) as queue,
    ):
        yield replace(shop, queue=queue, provider=letterbox)


def customer_of(shop: Shop, row: UUID) -> dict[str, object]:
    """Whose text it is."""
    [record] = shop.sql(
        "select * from customers where id = %s", shop.row(row)["customer_id"]
    )
    return record


def test_a_text_goes_out_and_what_did_not_arrive_is_sent_again(
    letters: Shop, exchange: Exchange
) -> None:
    """Its id is kept where the application looks for one. The provider says in its own words how far each came."""
    row = letters.due_text()
    assert letters.run() == ["Sent"]
    [(reference, message)] = exchange.messages.items()
    [attempt] = letters.attempts_of(row)
    assert letters.log_of(row)["provider_message_id"] == {"twilio_sid": reference}
    assert columns(attempt, "outcome", "sent_by", "twilio_sid") == (
        "accepted",
        SENDER,
        reference,
    )

    message |= {"state": "came back", "number": 13}
    services = Services(letters.queue, letters.provider, DEFAULT)
    letters.at(letters.now() + LATER)
    assert str(sync_deliveries(services)) == "1 retried"
    assert (
        letters.log_of(row)["error_message"]
        == "Not delivered: Letterbox 13: the recipient is away"
    )
    letters.at(letters.now() + RESEND_DELAYS[0] + LATER)
    assert letters.run() == ["Sent"]
    [*exchange.messages.values()][1]["state"] = "in the box"
    letters.at(letters.now() + LATER)
    assert "1 delivered" in str(sync_deliveries(services))
    assert (letters.log_of(row)["status"], len(exchange.messages)) == ("delivered", 2)


def test_a_refusal_ends_the_text_in_the_providers_words(
    letters: Shop, exchange: Exchange
) -> None:
    """With its number, and what it says of the recipient. An opt-out ends the consent; a START takes it back."""
    row = letters.due_text()
    exchange.problem = {"number": 11}
    assert letters.run() == ["Failed"]
    assert columns(letters.row(row), "last_error", "error_code") == (
        "Letterbox 11: no such recipient",
        11,
    )
    assert customer_of(letters, row)["phone_status"] == "invalid"
    row = letters.due_text(phone="+12125550124")
    exchange.problem = {"number": 12}
    assert letters.run() == ["Failed"]
    assert customer_of(letters, row)["sms_consent_status"] == "opted_out"
    letters.sql("select record_inbound_sms('+12125550124', 'c0ffee00-in-1', 'START')")
    assert customer_of(letters, row)["sms_consent_status"] == "opted_in"


def test_a_lost_answer_is_found_in_its_list_or_settled_by_its_callback(
    letters: Shop, exchange: Exchange
) -> None:
    """In doubt until then, and never sent twice."""
    listed, called_back = letters.due_text(), letters.due_text(phone="+12125550124")
    exchange.drops_answers = True
    assert letters.run() == ["InDoubt"] * 2
    exchange.drops_answers = False
    references = {
        message["recipient"]: reference
        for reference, message in exchange.messages.items()
    }
    [attempt] = letters.attempts_of(called_back)
    settle = "select settle_sms_attempt(%s, %s, delivery_status => 'delivered')"
    assert letters.value(settle, attempt["id"], references["+12125550124"]) == "settled"
    assert (
        letters.row(called_back)["status"],
        letters.log_of(called_back)["status"],
    ) == ("completed", "delivered")
    for message in (
        exchange.messages.values()
    ):  # as if its clock were right: the database's is the test's
        message["taken"] = letters.now().isoformat()
    letters.at(letters.now() + LOOK_DELAYS[0] + timedelta(seconds=1))
    assert letters.run() == ["Sent"]
    assert letters.log_of(listed)["provider_message_id"] == {
        "twilio_sid": references["+12125550123"]
    }


def test_a_phone_number_is_no_id_of_a_message(shop: Shop) -> None:
    """It would be kept, and shown."""
    for given in (
        "+12125550100",
        "12125550100",
        "tel:12125550100",
        "212-555-0100",
        "",
        None,
    ):
        for call in (
            "settle_sms_attempt(null, %s)",
            "record_inbound_sms('+12125550100', %s, 'STOP')",
        ):
            with pytest.raises(psycopg.Error, match="the provider's id of a message"):
                shop.sql(f"select {call}", given)
