"""What lifts an opt-out and what does not: it is of a number at a business, and not of a customer's row.

Dates that have not come, and clocks that step: what has not happened yet lifts nothing, now or when it has.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Prune
from smsretry.local.stack import Stack
from tests.conftest import Business
from tests.integration.hearing import hear, refuse
from tests.support.builders import PHONE, results_of, run, run_over

MIAMI: Final = "+13055550123"


def opt_out(business: Business, stack: Stack) -> None:
    """Somebody with the number opts out, in the application."""
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out', sms_consent_at = %s where business_id = %s",
        [stack.now(), business.id],
    )


def test_an_opt_out_holds_for_every_row_with_the_number(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """One row opted out, a second one with the same number had not: the text went out."""
    business.customer()
    opt_out(business, stack)
    row = business.due_text()
    assert run(queue, sender) == ["Cancelled"]
    assert business.row(row)["last_error"].startswith("Customer opted out")
    assert not stack.twilio.ledger.entries()


def test_an_opt_out_outlives_the_customer_s_row(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Deleted, and imported again after the opt-out."""
    business.customer()
    opt_out(business, stack)
    business.connection.execute("delete from customers")
    business.due_text()
    assert run(queue, sender) == ["Cancelled"]


def test_an_opt_out_at_one_business_is_not_one_at_another(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It is of the number at that business."""
    business.customer()
    opt_out(business, stack)
    other = Business(business.connection, stack.now).open()
    other.due_text()
    assert run(queue, sender) == ["Sent"]


def test_a_later_opt_in_lifts_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """And nothing else does."""
    business.customer()
    opt_out(business, stack)
    stack.move_clock(timedelta(minutes=1))
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
    business.due_text()
    assert run(queue, sender) == ["Sent"]


@pytest.mark.parametrize(("source", "lifted"), [("inbound_stop", True), ("letter", False)])
def test_a_start_that_the_application_hears_itself_lifts_what_a_start_may(
    stack: Stack, business: Business, source: str, lifted: bool
) -> None:
    """Of a customer who opted out, was deleted, and is there again."""
    customer = business.customer()
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out', sms_consent_source = %s where id = %s",
        [source, customer],
    )
    business.connection.execute("delete from customers")
    stack.move_clock(timedelta(minutes=1))
    anew = business.customer(consent="unknown")
    business.connection.execute(
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = %s,
                                sms_consent_source = 'inbound_start' where id = %s""",
        [stack.now(), anew],
    )
    assert (not business.connection.execute("select from smsretry.standing_opt_outs").fetchall()) is lifted


@pytest.mark.parametrize("before", [timedelta(days=1), None])
def test_an_import_that_says_nothing_new_does_not_lift_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, before: timedelta | None
) -> None:
    """Its consent is older than the opt-out, or of no date."""
    business.customer()
    opt_out(business, stack)
    row = business.due_text()
    business.connection.execute(
        """update customers set sms_consent_status = 'opted_in', sms_consent_at = %s
           where id = (select customer_id from sms_retry_queue where id = %s)""",
        [None if before is None else stack.now() - before, row],
    )
    assert run(queue, sender) == ["Cancelled"]


def test_deleting_and_importing_a_customer_does_not_reset_the_daily_cap(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Florida allows three texts a day."""
    for _ in range(2):
        for _ in range(3):
            business.due_text(phone=MIAMI)
        fates = [result.fate for result in results_of(run_over(queue, sender))]
        business.connection.execute("delete from customers")
    assert fates == ["Deferred"] * 3
    assert len(stack.twilio.ledger.entries()) == 3


# A customer who comes to have the number


@pytest.mark.parametrize("saved", ["the number alone", "the whole row"])
def test_a_customer_who_comes_to_have_the_number_does_not_lift_its_opt_out(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    saved: str,
) -> None:
    """The consent was given later, but under another number: two customers were merged, and the text went out."""
    business.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=business.id)
    stack.move_clock(timedelta(minutes=1))
    row = business.due_text(phone=MIAMI)
    operators.record_consent(MIAMI, consent="opted_in", source="form", business_id=business.id)
    customer = business.row(row)["customer_id"]
    if saved == "the number alone":
        business.connection.execute("update customers set phone = %s where id = %s", [PHONE, customer])
    else:
        business.connection.execute(
            """update customers set phone = %s, sms_consent_status = 'opted_in', sms_consent_source = 'form',
                      sms_consent_at = date_trunc('milliseconds', sms_consent_at)
               where id = %s""",
            [PHONE, customer],
        )
    assert run(queue, sender) == ["Cancelled"]
    assert "the number did, at this business" in business.row(row)["last_error"]


def test_a_customer_who_moves_to_another_business_lifts_no_opt_out_there_and_takes_its_own_along(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Two branches were made one."""
    other = Business(business.connection, stack.now).open()
    other.customer()
    operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=other.id)
    other.customer(phone=MIAMI)
    stack.move_clock(timedelta(minutes=1))
    business.customer(phone=PHONE)
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
    business.customer(phone=MIAMI)
    operators.record_consent(MIAMI, consent="opted_out", source="form", business_id=business.id)
    business.connection.execute("update customers set business_id = %s where business_id = %s", [other.id, business.id])
    for phone in (PHONE, MIAMI):
        other.due_text(phone=phone)
    assert run(queue, sender) == ["Cancelled", "Cancelled"]


def test_saving_a_customer_who_had_opted_out_as_it_was_undoes_no_later_opt_in(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """An application that writes every column had opted the number out again."""
    customer = business.customer()
    opt_out(business, stack)
    stack.move_clock(timedelta(minutes=1))
    row = business.due_text(consent="unknown")
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s where id <> %s",
        [stack.now(), customer],
    )
    business.connection.execute(
        """update customers set phone = phone, sms_consent_status = sms_consent_status, sms_consent_at = sms_consent_at,
                  sms_consent_source = 'imported'
           where id = %s""",
        [customer],
    )
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"


LATER: Final = timedelta(hours=5)
"""By how much a local time is wrong that was stored without its offset."""


def write(business: Business, customer: UUID, at: datetime | str | None, *, phone: str = PHONE) -> None:
    """The nightly sync writes what the application has: opted in at that time."""
    business.connection.execute(
        """update customers
           set phone = %s, sms_consent_status = 'opted_in', sms_consent_at = %s, sms_consent_source = 'web'
           where id = %s""",
        [phone, at, customer],
    )


def import_anew(business: Business, customer: UUID, at: datetime | str | None, *, phone: str = PHONE) -> None:
    """It deletes the row, and inserts it."""
    business.connection.execute("delete from customers where id = %s", [customer])
    business.connection.execute(
        """insert into customers
               (id, business_id, phone, timezone, sms_consent_status, sms_consent_at, sms_consent_source)
           values (%s, %s, %s, 'America/New_York', 'opted_in', %s, 'web')""",
        [customer, business.id, phone, at],
    )


def upsert(business: Business, customer: UUID, at: datetime | str | None, *, phone: str = PHONE) -> None:
    """Or it writes both at once."""
    business.connection.execute(
        """insert into customers
               (id, business_id, phone, timezone, sms_consent_status, sms_consent_at, sms_consent_source)
           values (%s, %s, %s, 'America/New_York', 'opted_in', %s, 'web')
           on conflict (id) do update
           set phone = excluded.phone, sms_consent_status = excluded.sms_consent_status,
               sms_consent_at = excluded.sms_consent_at, sms_consent_source = excluded.sms_consent_source""",
        [customer, business.id, phone, at],
    )


Sync = Callable[[Business, UUID, datetime | str | None], None]
SYNCS: Final = [write, import_anew, upsert]


def goes_out(business: Business, queue: SupabaseQueue, sender: TwilioSender) -> bool:
    """Whether a text to the number is sent now."""
    customer = business.connection.execute("select id from customers order by id limit 1").fetchone()
    assert customer is not None
    business.queue_row(business.send_log(customer["id"]), customer["id"])
    [fate] = run(queue, sender)
    return fate == "Sent"


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("stop", ["stop", "Stop, please!", "please stop texting me", "telephone", "21610"])
def test_an_opt_in_of_tomorrow_outlives_no_stop(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators,
    sync: Sync, stop: str,
) -> None:  # fmt: skip
    """The sync writes it after the STOP, before its date has come, and after it."""
    customer, at = business.customer(), stack.now() + LATER
    sync(business, customer, at)
    stack.move_clock(timedelta(minutes=10))
    if stop == "telephone":
        operators.record_consent(PHONE, consent="opted_out", source="telephone", business_id=None)
    elif stop == "21610":
        refuse(business)
    else:
        assert hear(business, body=stop) == ("opted_out", 1, 0)
    for wait in (timedelta(minutes=1), LATER, timedelta(days=1)):
        stack.move_clock(wait)
        sync(business, customer, at)
        assert not goes_out(business, queue, sender)


@pytest.mark.parametrize("at", ["infinity", "2200-01-01", "294276-12-31 23:59:59+00", "-infinity", "4713-01-02 BC"])
@pytest.mark.parametrize("sync", SYNCS)
def test_nor_does_a_date_that_no_calendar_has(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, sync: Sync, at: str
) -> None:
    """However often it is written; and a STOP is kept beside it."""
    customer = business.customer()
    sync(business, customer, at)
    hear(business, body="stop")
    for _ in range(2):
        stack.move_clock(timedelta(minutes=1))
        sync(business, customer, at)
        assert not goes_out(business, queue, sender)


def test_without_a_stop_who_is_opted_in_from_tomorrow_on_gets_texts(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The row says that there is consent, and nobody has said otherwise."""
    write(business, business.customer(), stack.now() + LATER)
    assert goes_out(business, queue, sender)


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("fast", [timedelta(0), timedelta(seconds=2), timedelta(minutes=4)])
def test_an_application_whose_clock_is_a_little_fast_can_opt_people_in_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, sync: Sync, fast: timedelta
) -> None:
    """Once: the same opt-in lifts no STOP that comes after it, nor one within the minutes of its clock."""
    customer = business.customer()
    hear(business, body="stop")
    stack.move_clock(timedelta(minutes=1))
    at = stack.now() + fast
    sync(business, customer, at)
    assert goes_out(business, queue, sender)
    stack.move_clock(timedelta(seconds=1))
    hear(business, body="stop")
    for wait in (timedelta(seconds=1), timedelta(minutes=10)):
        stack.move_clock(wait)
        sync(business, customer, at)
        assert not goes_out(business, queue, sender)


def test_a_real_opt_in_after_the_stop_lifts_it_though_one_of_tomorrow_is_known(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """In the application, or by a person: neither has to wait until the wrong date has come."""
    customer, at = business.customer(), stack.now() + LATER
    for how in ("web", "form"):
        write(business, customer, at)
        stack.move_clock(timedelta(minutes=10))
        hear(business, body="stop")
        stack.move_clock(timedelta(minutes=10))
        if how == "web":
            write(business, customer, stack.now())
        else:
            operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
        assert goes_out(business, queue, sender)


@pytest.mark.parametrize("saved", ["whole seconds", "rounded"])
def test_a_date_is_known_again_however_exactly_it_is_kept(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, saved: str
) -> None:
    """By a database of whole seconds, too."""
    customer, at = business.customer(), stack.now().replace(microsecond=700_000) + LATER
    write(business, customer, at)
    hear(business, body="stop")
    stack.move_clock(LATER + timedelta(hours=1))
    import_anew(business, customer, at.replace(microsecond=0) + timedelta(seconds=saved == "rounded"))
    assert not goes_out(business, queue, sender)


@pytest.mark.parametrize("sync", SYNCS)
def test_a_number_that_is_changed_there_and_back_takes_no_date_with_it(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, sync: Sync
) -> None:
    """Written for one number, and moved to the one that said stop."""
    customer, at = business.customer(phone=MIAMI), stack.now() + LATER
    write(business, customer, at, phone=MIAMI)
    business.customer()
    hear(business, body="stop")
    business.connection.execute("delete from customers where phone = %s", [PHONE])
    for phone in (PHONE, MIAMI, PHONE):
        stack.move_clock(timedelta(minutes=1))
        business.connection.execute("update customers set phone = %s", [phone])
    stack.move_clock(LATER)
    sync(business, customer, at)
    assert not goes_out(business, queue, sender)


def test_a_consent_that_came_along_with_a_row_lifts_nothing_when_the_row_is_imported_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It was given later than the STOP, under another number."""
    business.customer()
    hear(business, body="stop")
    business.connection.execute("delete from customers")
    stack.move_clock(timedelta(minutes=1))
    customer, at = business.customer(phone=MIAMI), stack.now()
    write(business, customer, at, phone=MIAMI)
    stack.move_clock(timedelta(minutes=1))
    business.connection.execute("update customers set phone = %s", [PHONE])
    import_anew(business, customer, at)
    assert not goes_out(business, queue, sender)


@pytest.mark.parametrize("sync", SYNCS)
def test_a_clock_that_is_set_back_makes_no_old_opt_in_a_later_one(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, sync: Sync
) -> None:
    """Twenty minutes, between the opt-in and the STOP."""
    customer, at = business.customer(), stack.now()
    write(business, customer, at)
    stack.move_clock(-timedelta(minutes=20))
    hear(business, body="stop")
    for wait in (timedelta(minutes=1), timedelta(hours=1)):
        stack.move_clock(wait)
        sync(business, customer, at)
        assert not goes_out(business, queue, sender)


def test_a_person_s_word_lifts_an_opt_out_of_a_date_that_has_not_come(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Written by the application, or by a clock that was set back since: what a person can do ends the trouble."""
    customer = business.customer()
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out', sms_consent_at = 'infinity' where id = %s", [customer]
    )
    stack.move_clock(timedelta(minutes=1))
    write(business, customer, stack.now())
    assert not goes_out(business, queue, sender)
    operators.record_consent(PHONE, consent="opted_in", source="form", business_id=business.id)
    assert goes_out(business, queue, sender)


@pytest.mark.parametrize("to", [None, MIAMI])
def test_who_opts_out_and_loses_the_number_in_one_write_has_opted_it_out(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, to: str | None
) -> None:
    """An application that forgets people when they say stop; the next import knows the number again."""
    customer, at = business.customer(), stack.now()
    write(business, customer, at)
    stack.move_clock(timedelta(minutes=1))
    business.connection.execute(
        "update customers set phone = %s, sms_consent_status = 'opted_out', sms_consent_at = %s", [to, stack.now()]
    )
    stack.move_clock(timedelta(minutes=1))
    import_anew(business, customer, at)
    assert not goes_out(business, queue, sender)


def test_an_opt_out_that_bears_an_old_date_is_not_undone_by_the_opt_in_that_it_ended(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Whatever date the application gave it."""
    customer, at = business.customer(), stack.now()
    write(business, customer, at)
    stack.move_clock(timedelta(minutes=1))
    business.connection.execute(
        "update customers set sms_consent_status = 'opted_out', sms_consent_at = %s", [at - timedelta(days=900)]
    )
    for sync in SYNCS:
        sync(business, customer, at)
        assert not goes_out(business, queue, sender)


def test_a_date_that_has_come_is_forgotten_where_it_can_lift_nothing(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """An application that dates all customers ahead every night would fill the table; a STOP keeps what it needs."""
    customer, at = business.customer(), stack.now() + LATER
    write(business, customer, at)
    write(business, business.customer(phone=MIAMI), at, phone=MIAMI)
    hear(business, body="stop")
    stack.move_clock(timedelta(days=30))
    operators.prune(Prune(keep_days=7))
    [kept] = business.connection.execute("select count(*) as n from smsretry.consents where said = 'seen'").fetchall()
    assert kept["n"] == 1
    import_anew(business, customer, at)
    business.connection.execute("delete from customers where phone = %s", [MIAMI])
    assert not goes_out(business, queue, sender)
