"""A second provider is one adapter: a text goes its whole way through another API, and the story is the same."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from smsretry.retry.backoff import LOOK_DELAYS
from smsretry.retry.delivery import RESEND_DELAYS
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Provider, Services
from smsretry.settings import Settings
from tests.conftest import Business
from tests.integration.worker.second_provider import SENDER, Exchange, Letterbox, serve
from tests.support.builders import run

SECOND = timedelta(seconds=1)


@pytest.fixture
def exchange() -> Exchange:
    """What the other provider has."""
    return Exchange()


@pytest.fixture
def letterbox(exchange: Exchange) -> Iterator[Provider]:
    """The adapter for it, over HTTP."""
    with serve(exchange) as address, Letterbox(address) as letterbox:
        yield letterbox


def _look_after(provider: Provider, settings: Settings) -> str:
    with SupabaseQueue(settings) as records:
        return str(sync_deliveries(Services(records, provider, DEFAULT)))


def _only(exchange: Exchange) -> str:
    (reference,) = exchange.messages
    return reference


def test_a_text_goes_out_through_another_provider(
    business: Business, queue: SupabaseQueue, exchange: Exchange, letterbox: Provider
) -> None:
    """Its id is kept where the application looks for one."""
    row = business.due_text()
    assert run(queue, letterbox) == ["Sent"]
    assert business.row(row)["status"] == "completed"
    assert business.log_of(row)["provider_message_id"] == {"twilio_sid": _only(exchange)}
    (attempt,) = business.attempts_of(row)
    assert (attempt["outcome"], attempt["sent_by"], attempt["twilio_sid"]) == ("accepted", SENDER, _only(exchange))


def test_another_providers_refusal_ends_the_text_in_its_words(
    business: Business, queue: SupabaseQueue, exchange: Exchange, letterbox: Provider
) -> None:
    """With its number, and what it says of the recipient."""
    row = business.due_text()
    exchange.problem = {"number": 11}
    assert run(queue, letterbox) == ["Failed"]
    ended = business.row(row)
    assert (ended["last_error"], ended["error_code"]) == ("Letterbox 11: no such recipient", 11)
    assert _customer(business, row)["phone_status"] == "invalid"


def test_another_providers_opt_out_ends_the_consent_and_a_start_takes_it_back(
    business: Business, queue: SupabaseQueue, exchange: Exchange, letterbox: Provider
) -> None:
    """Also where it has no number of its own."""
    row = business.due_text()
    exchange.problem = {"number": 12}
    assert run(queue, letterbox) == ["Failed"]
    assert _customer(business, row)["sms_consent_status"] == "opted_out"
    business.connection.execute(
        "select record_inbound_sms(%s, %s, 'START')", [_customer(business, row)["phone"], "c0ffee00-in-1"]
    )
    assert _customer(business, row)["sms_consent_status"] == "opted_in"


def test_a_lost_answer_of_another_provider_is_found_in_its_list(
    stack: Stack, business: Business, queue: SupabaseQueue, exchange: Exchange, letterbox: Provider
) -> None:
    """In doubt until it is found, and never sent twice."""
    row = business.due_text()
    exchange.drops_answers = True
    assert run(queue, letterbox) == ["InDoubt"]
    assert business.attempts_of(row)[0]["sent_by"] == SENDER
    exchange.drops_answers = False
    _dated_by(stack, exchange)
    stack.move_clock(LOOK_DELAYS[0] + SECOND)
    assert run(queue, letterbox) == ["Sent"]
    assert business.log_of(row)["provider_message_id"] == {"twilio_sid": _only(exchange)}


def test_another_providers_callback_settles_a_lost_answer(
    business: Business, queue: SupabaseQueue, exchange: Exchange, letterbox: Provider
) -> None:
    """By the attempt's id and its own name of the message."""
    row = business.due_text()
    exchange.drops_answers = True
    assert run(queue, letterbox) == ["InDoubt"]
    (attempt,) = business.attempts_of(row)
    answer = business.connection.execute(
        "select settle_sms_attempt(%s, %s, delivery_status => 'delivered') as answer", [attempt["id"], _only(exchange)]
    ).fetchone()
    assert answer == {"answer": "settled"}
    assert (business.row(row)["status"], business.log_of(row)["status"]) == ("completed", "delivered")


def test_a_phone_number_is_no_id_of_a_message(business: Business) -> None:
    """It would be kept, and shown."""
    for given in ("+12125550100", "12125550100", "tel:12125550100", "212-555-0100", "", None):
        for call in ("settle_sms_attempt(null, %s)", "record_inbound_sms('+12125550100', %s, 'STOP')"):
            with pytest.raises(psycopg.Error, match="the provider's id of a message"):
                business.connection.execute(f"select {call}".encode(), [given])


def test_what_another_provider_could_not_deliver_is_sent_again_and_arrives(
    stack: Stack, business: Business, settings: Settings, queue: SupabaseQueue, exchange: Exchange, letterbox: Provider
) -> None:
    """It is asked how far each message came, and says so in its own words."""
    row = business.due_text()
    assert run(queue, letterbox) == ["Sent"]
    exchange.messages[_only(exchange)] |= {"state": "came back", "number": 13}
    stack.move_clock(timedelta(minutes=5) + SECOND)
    assert _look_after(letterbox, settings) == "retried 1"
    assert business.log_of(row)["error_message"] == "Not delivered: Letterbox 13: the recipient is away"
    stack.move_clock(RESEND_DELAYS[0] + SECOND)
    assert run(queue, letterbox) == ["Sent"]
    for message in exchange.messages.values():
        if message["state"] == "handed-over":
            message["state"] = "in the box"
    stack.move_clock(timedelta(minutes=5) + SECOND)
    assert "delivered 1" in _look_after(letterbox, settings)
    assert business.log_of(row)["status"] == "delivered"
    assert len(exchange.messages) == 2


def _customer(business: Business, row: UUID) -> dict[str, object]:
    found = business.connection.execute(
        "select c.* from customers c join sms_retry_queue q on q.customer_id = c.id where q.id = %s", [row]
    ).fetchone()
    assert found is not None
    return found


def _dated_by(stack: Stack, exchange: Exchange) -> None:
    """As if the provider's clock were right: the database's is the test's."""
    for message in exchange.messages.values():
        message["taken"] = stack.now().isoformat()
