"""What is remembered of one sender's trouble between runs decides for no other."""

from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.worker.senders import Connection, add_texts, claim, give_sender, service, shops
from tests.support.builders import SENDER

OTHER = "MG" + "e" * 32
"""The environment's sender before it was changed."""


def _circuits(connection: Connection) -> set[str]:
    return {row["sender"] for row in connection.execute("select sender from smsretry.circuit")}


def _three(connection: Connection) -> list[UUID]:
    """Two with senders of their own, and one of the environment's, each with two texts due."""
    one, two, default = shops(connection, 3)
    give_sender(connection, 1, [one])
    give_sender(connection, 2, [two])
    for shop in (one, two, default):
        add_texts(connection, shop, 2)
    return [one, two, default]


def test_one_sender_s_circuit_opens_and_closes_alone(business: Business, queue: SupabaseQueue) -> None:
    """And a claim tells it of that one's texts, of which it takes few."""
    connection = business.connection
    one, two, default = _three(connection)
    add_texts(connection, one, 10)
    for sender in (service(1), SENDER):
        queue.set_circuit("Refused", sender=sender)
    told = [(each.business_id, each.circuit_open) for each in claim(queue)]
    assert sorted(told) == sorted([(one, True)] * 3 + [(two, False)] * 2 + [(default, True)] * 2)
    queue.set_circuit(None, sender=service(2))
    assert _circuits(connection) == {service(1), SENDER}
    queue.set_circuit(None, sender=SENDER)
    assert _circuits(connection) == {service(1)}
    queue.set_circuit(None, sender=service(1))
    assert _circuits(connection) == set()


def test_the_provider_s_circuit_is_everybody_s_and_no_sender_s(business: Business, queue: SupabaseQueue) -> None:
    """It opens and closes beside theirs."""
    connection = business.connection
    _three(connection)
    queue.set_circuit("Refused", sender=service(1))
    queue.set_circuit("Twilio is down")
    told = claim(queue)
    assert all(each.circuit_open and each.provider_circuit_opened_at for each in told)
    assert sum(each.circuit_opened_at is not None for each in told) == 2
    queue.set_circuit(None)
    assert _circuits(connection) == {service(1)}


def test_the_environment_s_circuit_is_one_whatever_its_sender_was(business: Business, queue: SupabaseQueue) -> None:
    """One that opened before the setting changed is replaced, and closed."""
    connection = business.connection
    _three(connection)
    queue.set_circuit("Refused", sender=service(1))
    queue.set_circuit("Twilio is down")
    queue.set_circuit("Refused", sender=OTHER)
    queue.set_circuit("Refused", sender=SENDER)
    assert _circuits(connection) == {service(1), SENDER, ""}
    connection.execute("update smsretry.circuit set sender = %s where sender = %s", [OTHER, SENDER])
    queue.set_circuit(None, sender=SENDER)
    assert _circuits(connection) == {service(1)}


@pytest.mark.parametrize("mine", [True, False], ids=["own", "environment's"])
def test_a_business_s_trouble_with_one_sender_is_none_with_its_other(
    business: Business, queue: SupabaseQueue, mine: bool
) -> None:
    """Marketing fails from a sender of its own, and reminders go out from the environment's; or the other way round."""
    connection = business.connection
    (shop,) = shops(connection, 1)
    own = give_sender(connection, 1, [shop], message_class="marketing")
    add_texts(connection, shop, 1)
    add_texts(connection, shop, 1, message_class="transactional")
    failing, other = (own, SENDER) if mine else (SENDER, own)
    queue.set_circuit("Refused", sender=failing, businesses=[shop])
    told = {each.message_class: each.business_circuit_opened_at is not None for each in claim(queue)}
    assert told == {"marketing": mine, "transactional": not mine}
    queue.set_circuit(None, sender=other, businesses=[shop])
    connection.execute("update sms_retry_queue set status = 'pending'")
    assert sum(each.business_circuit_opened_at is not None for each in claim(queue)) == 1
    queue.set_circuit(None, sender=failing)  # it works for everybody again
    connection.execute("update sms_retry_queue set status = 'pending'")
    assert not any(each.business_circuit_opened_at for each in claim(queue))


def test_a_business_s_trouble_that_nobody_has_met_for_a_day_is_forgotten(
    business: Business, queue: SupabaseQueue, stack: Stack
) -> None:
    """It may have no texts any more, and would be kept for ever."""
    first, second = shops(business.connection, 2)
    queue.set_circuit("Refused", sender=SENDER, businesses=[first])
    stack.move_clock(timedelta(hours=25))
    queue.set_circuit("Refused", sender=SENDER, businesses=[second])
    kept = business.connection.execute("select business_id from smsretry.business_circuits").fetchall()
    assert kept == [{"business_id": second}]


def test_circuits_of_businesses_are_written_in_one_order(business: Business) -> None:
    """In another order two runs could each wait for the other."""
    connection = business.connection
    named = shops(connection, 5)
    with connection.transaction(force_rollback=True):
        connection.execute(
            """create temporary table written (place serial, id uuid);
               create function pg_temp.note() returns trigger language plpgsql as
                   'begin insert into pg_temp.written (id) values (new.business_id); return new; end';
               create trigger note before insert on smsretry.business_circuits
                   for each row execute function pg_temp.note()"""
        )
        connection.execute("select set_sms_circuit('Refused', %s, %s)", [SENDER, [*reversed(named), *named]])
        written = connection.execute("select id from written order by place").fetchall()
    assert [row["id"] for row in written] == named


def test_what_a_run_learned_of_a_sender_that_was_removed_meanwhile_is_nobody_s(
    business: Business, queue: SupabaseQueue
) -> None:
    """It is no environment's: that one's circuit would open, or close, for a business that has left."""
    connection = business.connection
    one, _, default = _three(connection)
    connection.execute("select remove_sms_sender(%s, who => 'Ann', because => 'Moved')", [one])
    queue.set_circuit("Refused", sender=service(1), own=True)
    queue.set_circuit("Refused", sender=service(1), businesses=[default], own=True)
    told = claim(queue)
    assert not any(each.circuit_open or each.business_circuit_opened_at for each in told)
    queue.set_circuit("Refused", sender=SENDER)
    queue.set_circuit(None, sender=service(1), own=True)
    assert _circuits(connection) == {SENDER}
