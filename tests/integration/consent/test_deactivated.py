"""Numbers that carriers have deactivated end their consent, by the provider's list of each day."""

from datetime import timedelta

import pytest

from smsretry.adapters.desk import NUMBERS_OF_A_CALL
from smsretry.desk.actions.requests import EndDeactivated
from smsretry.errors import QueueError
from smsretry.wiring import desk
from tests.integration.conftest import Command
from tests.integration.hearing import customer_of, hear
from tests.support.builders import PHONE
from tests.support.shop import Shop

MIAMI = "+13055550199"
STRANGER = "+14155550142"
YESTERDAY = "2027-01-11"
OPTED_OUT = """select count(*) from smsretry.standing_words o
               where o.business_id = %s and o.customer_id is null and o.source = 'deactivated'"""


def test_a_deactivated_number_gets_no_text_of_any_business_until_a_later_opt_in(
    shop: Shop, command: Command
) -> None:
    """Only tried, then done; said once, however often the list is read. A START takes it back no more than a letter."""
    shop.twilio.deactivated = {YESTERDAY: [PHONE, STRANGER, MIAMI.removeprefix("+1")]}
    neighbor = shop.neighbor()
    texts = [shop.due_text(), neighbor.due_text(), shop.due_text(phone=MIAMI)]
    tried = command("deactivated")
    assert tried.stdout.startswith(
        "Would opt out: 7 lists read, 3 numbers, 2 new opt-outs"
    )
    assert {shop.status_of(text) for text in texts} == {"pending"}
    result = command("deactivated", "--yes")
    assert (
        "2 new opt-outs, 3 customers marked, 3 waiting texts cancelled" in result.stdout
    )
    assert "0 new opt-outs, 0 customers" in command("deactivated", "--yes").stdout
    newcomer = shop.neighbor().due_text()
    shop.run()
    assert shop.ends(*texts, newcomer) == "cancelled cancelled cancelled cancelled"
    story = command("explain", texts[0]).stdout
    assert "from opted_in to opted_out, source deactivated" in story
    assert f"A carrier deactivated the number on {YESTERDAY}" in story
    customer = shop.row(texts[0])["customer_id"]
    hear(shop, "START")
    assert customer_of(shop, customer)["sms_consent_status"] == "opted_out"
    signed = ("--source", "telephone", "--because", "She has it still")
    command("consent", customer, "--said", "opted_in", *signed)
    command("deactivated", "--yes")
    again = shop.queue_row(shop.send_log(customer), customer)
    shop.run()
    assert [message.to for message in shop.messages] == [PHONE]
    assert shop.status_of(again) == "completed"
    assert PHONE not in tried.output + result.output + story


def test_a_number_that_opted_in_after_that_day_keeps_its_consent(
    shop: Shop, command: Command
) -> None:
    """The list is read hours after its day has ended, or days, if nights were missed."""
    shop.twilio.deactivated = {YESTERDAY: [PHONE, MIAMI]}
    midnight = shop.now().replace(hour=0, minute=0)
    before, after = (
        shop.customer(phone=phone, sms_consent_at=midnight + timedelta(minutes=minutes))
        for phone, minutes in ((PHONE, -1), (MIAMI, 1))
    )
    shop.later(days=2)
    command("deactivated", "--yes")
    assert [
        customer_of(shop, customer)["sms_consent_status"]
        for customer in (before, after)
    ] == ["opted_out", "opted_in"]


def test_a_long_list_is_read_in_parts_and_once_more_after_it_broke_off(
    shop: Shop,
) -> None:
    """SQL looks for the customers among the numbers. What was recorded before the trouble stays, the rest follows."""
    shop.sql(
        """insert into customers (business_id, phone, sms_consent_status)
           select %s, '+1212' || 5000000 + n * 75, 'opted_in' from generate_series(0, 59) n""",
        shop.id,
    )
    numbers = [f"1212{5000000 + n}" for n in range(9 * NUMBERS_OF_A_CALL)]
    shop.twilio.deactivated = {YESTERDAY: numbers}
    middle, order = (
        numbers[len(numbers) // 2],
        EndDeactivated(dry_run=False, even_many=True),
    )
    shop.stack.rpc_faults.unreadable(order.FUNCTION, "nested", about=middle)
    with desk(shop.stack.settings()) as connected:
        with pytest.raises(QueueError):
            connected.answer(order)
        before = shop.value(OPTED_OUT, shop.id)
        answer = connected.answer(order).to_dict()
    assert (answer["numbers"], answer["recorded"]) == (len(numbers), 60 - before)
    assert 0 < before < shop.value(OPTED_OUT, shop.id) == 60


def test_a_list_that_names_many_customers_waits_for_a_person(
    shop: Shop, command: Command
) -> None:
    """The flow of that night fails, which alerts. Somebody who has looked at the list has it done all the same."""
    phones = [f"+1212555{number:04}" for number in range(40)]
    for phone in phones:
        shop.customer(phone=phone)
    shop.twilio.deactivated = {YESTERDAY: phones[::2]}
    result = command("deactivated", "--yes")
    assert result.exit_code == 1
    assert "would opt out 20 of 40 customers: nothing was recorded" in result.stderr
    assert shop.value(OPTED_OUT, shop.id) == 0
    command("deactivated", "--even-many", "--yes")
    assert shop.value(OPTED_OUT, shop.id) == 20


@pytest.mark.parametrize(
    "written",
    [
        "{}",
        "+1{}",
        "1{}",
        '"+1{}"',
        "305-555-0199",
        "(305) 555-0199",
        "1-305-555-0199",
        "number\n+1{}",
        "'{}',",
    ],
)
def test_a_number_is_read_however_it_is_written(
    shop: Shop, command: Command, written: str
) -> None:
    """How Twilio writes them is not documented."""
    national = MIAMI.removeprefix("+1")
    shop.customer(phone=MIAMI)
    shop.twilio.deactivated = {YESTERDAY: written.format(national).splitlines()}
    command("deactivated", "--yes")
    assert shop.value(OPTED_OUT, shop.id) == 1


def test_lines_that_are_no_numbers_refuse_their_list(
    shop: Shop, command: Command
) -> None:
    """They are counted, and nothing is recorded of what may be another kind of list."""
    shop.customer()
    shop.twilio.deactivated = {YESTERDAY: [PHONE, "n/a", "+44 7700 900123"]}
    result = command("deactivated", "--yes")
    assert (result.exit_code, "has 2 lines that are no US number" in result.stderr) == (
        1,
        True,
    )
    assert shop.value(OPTED_OUT, shop.id) == 0


def test_a_list_that_cannot_be_read_is_said_with_what_to_do_and_costs_no_text(
    shop: Shop, command: Command
) -> None:
    """Wrong credentials, a page in its place, and no list at all. A single day without one is no trouble."""
    text = shop.due_text()
    days = [f"2027-01-{day:02}" for day in range(5, 12)]
    page, none = {YESTERDAY: ["<html>"]}, dict.fromkeys(days)
    token = {"TWILIO_AUTH_TOKEN": "0" * 32}
    for deactivated, changes, words in (
        ({}, token, "Twilio 20003"),
        (page, {}, "does not answer as Twilio does"),
        (none, {}, "has no list of deactivated numbers"),
    ):
        shop.twilio.deactivated = deactivated
        result = command("deactivated", "--yes", **changes)
        assert (result.exit_code, words in result.stderr) == (1, True), result.output
    shop.twilio.deactivated = none | {YESTERDAY: [MIAMI]}
    assert "1 list read, 1 number" in command("deactivated", "--yes").stdout
    assert shop.run() == ["Sent"]
    assert shop.status_of(text) == "completed"
