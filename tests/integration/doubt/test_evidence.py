"""What is evidence of a text in doubt: it is compared with what was sent, and what is ambiguous is held.

Texts that are alike, clocks that step, and lists that say less than they should.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, EndlessList, ListLag, SendFault
from smsretry.retry.profile import DEFAULT
from smsretry.sending.reconciling import reconcile
from tests.conftest import Business
from tests.support.builders import BODY, PHONE, begin, resolution, run, sent_by_hand
from tests.support.claims import claim_doubtful, claim_due, next_due
from tests.support.orders import resolve

HALF_A_MINUTE, MINUTE, DAY = timedelta(seconds=30), timedelta(minutes=1), timedelta(days=1)
SHORT = "Reminder: your visit is tomorrow"
LONG = f"{SHORT} at 10:00. Please bring your card."
TAIL = "Please bring your card and come ten minutes early."
WITH_TAIL = f"Your visit is tomorrow. {TAIL}"
FOOTER = " Reply STOP to unsubscribe."
RECORD = """update send_logs set status = 'sent', provider_message_id = jsonb_build_object('twilio_sid', %s::text)
            where id = %s"""
"""What an application does that knows its message's name."""


def in_doubt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, body: str, fault: SendFault
) -> UUID:
    """A text to the one number that all texts here go to; its answer is lost."""
    row = business.due_text(body=body)
    stack.twilio.fail(fault)
    assert run(queue, sender) == ["InDoubt"]
    return row


def sent_by_application(sender: TwilioSender, body: str) -> str:
    """A message of the application's own, of which nothing is recorded; returns its SID."""
    sid: str = sent_by_hand(sender, PHONE, body).sid
    return sid


def an_hour(stack: Stack, queue: SupabaseQueue, sender: TwilioSender, *, minutes: int = 125) -> None:
    """A run each five minutes, long enough for a held text to be looked at again; at first each is looked for alone.

    Left out are those that would find nothing to do.
    """
    for wait in [*[HALF_A_MINUTE] * 4, *[5 * MINUTE] * (minutes // 5)]:
        stack.move_clock(wait)
        with stack.connect() as connection:
            is_due = next_due(connection) == 0
        if is_due:
            run(queue, sender)


def messages(stack: Stack) -> list[str]:
    """The bodies at Twilio, sorted."""
    return sorted(entry.body for entry in stack.twilio.ledger.entries())


PAIRS = [
    pytest.param(SHORT, LONG, True, id="begins alike, the short one dropped, and first"),
    pytest.param(LONG, SHORT, False, id="begins alike, the long one dropped"),
    pytest.param(TAIL, WITH_TAIL, False, id="ends alike, the short one dropped"),
    pytest.param(WITH_TAIL, TAIL, True, id="ends alike, the long one dropped, and first"),
    pytest.param(BODY, BODY, True, id="the same words twice, the first one dropped"),
    pytest.param(BODY, BODY, False, id="the same words twice, the second one dropped"),
]


@pytest.mark.parametrize(("dropped", "accepted", "dropped_first"), PAIRS)
def test_of_two_texts_that_are_alike_each_goes_out_once(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    dropped: str,
    accepted: str,
    dropped_first: bool,
) -> None:
    """The dropped one took the other's message and was lost; the other found its message taken, and went out again."""
    faults: list[tuple[str, SendFault]] = [(dropped, DropUnaccepted()), (accepted, AcceptThenDrop())]
    rows = []
    for body, fault in faults if dropped_first else reversed(faults):
        rows.append(in_doubt(stack, business, queue, sender, body, fault))
        stack.move_clock(HALF_A_MINUTE)
    an_hour(stack, queue, sender)
    assert [business.row(row)["status"] for row in rows] == ["completed", "completed"]
    assert messages(stack) == sorted([dropped, accepted])


@pytest.mark.parametrize("longer", [LONG, WITH_TAIL], ids=["begins", "ends"])
def test_a_longer_message_of_the_application_is_not_taken_for_ours(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, longer: str
) -> None:
    """Nothing of it is recorded: a person says. Our text was lost, four times of four."""
    ours = SHORT if longer is LONG else TAIL
    row = in_doubt(stack, business, queue, sender, ours, DropUnaccepted())
    theirs = sent_by_application(sender, longer)
    an_hour(stack, queue, sender)
    held = business.row(row)
    assert (held["status"], held["held_since"] is not None) == ("pending", True)
    assert theirs in held["why"]
    assert messages(stack) == [longer]


def test_two_texts_that_only_a_known_footer_tells_apart_are_a_persons_to_decide(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """The one message fits both. When a person has said whose it is, the other one goes on by itself."""
    plain = in_doubt(stack, business, queue, sender, BODY, DropUnaccepted())
    footed = in_doubt(stack, business, queue, sender, BODY + FOOTER, AcceptThenDrop())
    an_hour(stack, queue, sender, minutes=30)
    assert [business.row(row)["held_since"] is not None for row in (plain, footed)] == [True, True]
    [entry] = stack.twilio.ledger.entries()
    assert resolve(operators, resolution(footed, entry.sid))
    an_hour(stack, queue, sender)
    assert [business.row(row)["status"] for row in (plain, footed)] == ["completed", "completed"]
    assert messages(stack) == sorted([BODY, BODY + FOOTER])


STEPS = [timedelta(seconds=6), timedelta(seconds=130), 10 * MINUTE]


@pytest.mark.parametrize(
    ("step", "fast"), [*((step, True) for step in (STEPS[0], STEPS[2])), (STEPS[1], False), (2 * DAY, False)], ids=str
)
def test_a_message_from_before_a_step_of_the_clock_is_not_followed_by_another(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, step: timedelta, fast: bool
) -> None:
    """The database's clock was wrong when the send began, and is right when it is looked for: sent twice, 10 of 10."""
    stack.twilio.clock_ahead = -step if fast else step
    try:
        row = in_doubt(stack, business, queue, sender, BODY, AcceptThenDrop())
    finally:
        stack.twilio.clock_ahead = timedelta(0)
    an_hour(stack, queue, sender)
    if business.row(row)["status"] != "completed":  # it may be found, and must not be sent again
        assert business.row(row)["held_since"] is not None
        assert stack.twilio.ledger.entries()[0].sid in business.row(row)["why"]
    assert messages(stack) == [BODY]


def test_the_message_of_an_earlier_send_that_the_list_hid_is_not_followed_by_a_third(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Twilio's list lagged beyond the three looks, and the second send is in doubt, too."""
    row = in_doubt(stack, business, queue, sender, BODY, AcceptThenDrop())
    stack.twilio.fail(ListLag(40 * MINUTE), times=None)
    stack.twilio.fail(DropUnaccepted())
    an_hour(stack, queue, sender)
    assert business.row(row)["held_since"] is not None
    assert messages(stack) == [BODY]


@pytest.mark.parametrize("days", [1, 7], ids=["daily", "weekly"])
def test_the_same_words_that_an_application_sends_unrecorded(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, days: int
) -> None:
    """Each day: a person decides about a text in doubt. Each week: it is sent again without one."""
    sent_by_application(sender, BODY)
    stack.move_clock(days * DAY)
    row = in_doubt(stack, business, queue, sender, BODY, DropUnaccepted())
    an_hour(stack, queue, sender)
    assert (business.row(row)["held_since"] is not None) == (days == 1)
    assert len(messages(stack)) == (1 if days == 1 else 2)


def test_a_person_is_told_of_no_message_that_is_anothers(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Five older texts of the same words are on record, one by its attempt alone; the one that is not is named."""
    row = business.due_text()
    assert run(queue, sender) == ["Sent"]
    [ours] = business.attempts_of(row)
    business.connection.execute("update send_logs set provider_message_id = null")
    for _ in range(4):
        recorded = sent_by_application(sender, BODY)
        log = business.send_log(business.customer())
        business.connection.execute(RECORD, [recorded, log])
    unrecorded = sent_by_application(sender, BODY)
    stack.move_clock(10 * MINUTE)
    row = in_doubt(stack, business, queue, sender, BODY, DropUnaccepted())
    an_hour(stack, queue, sender, minutes=10)
    why = business.row(row)["why"]
    assert unrecorded in why
    assert recorded not in why
    assert ours["twilio_sid"] not in why


def test_a_text_that_was_held_for_what_turned_out_to_be_anothers_goes_on_by_itself(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The application records its SID late. Until the text is sent, it no longer says what it was held for."""
    row = in_doubt(stack, business, queue, sender, SHORT, DropUnaccepted())
    theirs = sent_by_application(sender, LONG)
    stack.move_clock(2 * MINUTE)
    assert run(queue, sender) == ["Held"]
    log = business.send_log(business.customer())
    business.connection.execute(RECORD, [theirs, log])
    stack.move_clock(61 * MINUTE)
    assert run(queue, sender) == ["InDoubt"]
    assert (business.row(row)["held_since"], business.row(row)["why"]) == (None, None)
    an_hour(stack, queue, sender)
    assert business.row(row)["status"] == "completed"


def without(*names: str, **values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A message's JSON without these properties, or with others."""
    return lambda message: {**{k: v for k, v in message.items() if k not in names}, **values}


@pytest.fixture
def misprinting(stack: Stack) -> Any:
    """Lists are as they should be again afterwards."""
    yield stack.twilio
    stack.twilio.misprint = dict


MISPRINTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "without a date": without("date_created"),
    "with a date that is none": without(date_created="yesterday"),
    "with a number for a date": without(date_created=17),
    "with an impossible date": without(date_created="Mon, 32 Foo 2027 25:61:00 +0000"),
    "without a body": without("body"),
    "with a body that is none": without(body=["Hi"]),
    "with a masked number": without(to="+1212555XXXX"),
    "without a direction": without("direction"),
    "without a sender": without("messaging_service_sid", "from"),
    "without a name": without("sid"),
    "that is no message": lambda _: "what?",
}


def test_an_entry_that_cannot_be_read_and_may_be_ours_is_told_to_a_person(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, misprinting: Any
) -> None:
    """The look must not fail for ever, with nobody told. Each text has its own number, and its own misprint."""
    rows = {}
    for n, kind in enumerate(MISPRINTS):
        rows[kind] = business.due_text(phone=f"+121255501{n:02}", body=BODY)
        stack.twilio.fail(AcceptThenDrop())
        assert run(queue, sender) == ["InDoubt"]
    odd = dict(zip((entry.to for entry in stack.twilio.ledger.entries()), MISPRINTS.values(), strict=True))
    misprinting.misprint = lambda message: odd[message["to"]](message)
    an_hour(stack, queue, sender, minutes=30)
    for kind, row in rows.items():
        held = business.row(row)
        assert held["held_since"] is not None, kind
        assert "smsretry texts resolve" in held["why"], kind
        assert BODY not in held["why"], kind
    misprinting.misprint = dict
    an_hour(stack, queue, sender)
    assert [business.row(row)["status"] for row in rows.values()] == ["completed"] * len(rows)
    assert messages(stack) == [BODY] * len(rows)


def test_a_message_that_is_listed_behind_an_older_one_is_found(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Twilio's order is not exact. The older one is of a send three days before, where reading might have ended."""
    business.due_text(body="Three days earlier")
    assert run(queue, sender) == ["Sent"]
    stack.move_clock(3 * DAY + 10 * MINUTE)
    row = in_doubt(stack, business, queue, sender, BODY, AcceptThenDrop())
    monkeypatch.setattr(stack.twilio, "retell", lambda entries: entries[::-1])
    stack.move_clock(2 * MINUTE)
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"


def test_a_list_without_an_end_is_read_so_far_and_no_further(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """It proves no absence: the text is held, says why, and goes on by itself once the list has an end."""
    row = in_doubt(stack, business, queue, sender, BODY, DropUnaccepted())
    stack.twilio.fail(EndlessList(), times=None)
    before = stack.twilio.lists
    stack.move_clock(2 * MINUTE)
    assert run(queue, sender) == ["Held"]
    assert stack.twilio.lists - before == 10
    assert "longer than" in business.row(row)["why"]
    stack.twilio.heal()
    an_hour(stack, queue, sender)
    assert business.row(row)["status"] == "completed"
    assert messages(stack) == [BODY]


def test_a_send_to_the_number_that_began_after_the_claim_is_waited_for(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The claim of the text in doubt could not know its words, and it may be what is found."""
    row = in_doubt(stack, business, queue, sender, BODY, DropUnaccepted())
    stack.move_clock(timedelta(seconds=61))
    [claim] = claim_doubtful(queue, 1)
    stack.move_clock(timedelta(seconds=1))
    in_doubt(stack, business, queue, sender, BODY + FOOTER, AcceptThenDrop())
    held = "reconcile_sms_retry(%s, %s, 'hold', error => 'It may be', look_in => '1 minute', ambiguous => array['SM1'])"
    found = business.connection.execute(f"select {held} as answer".encode(), [claim.id, claim.claim_no]).fetchone()
    assert found == {"answer": "wait"}  # nor is it a person's to decide yet
    assert reconcile(claim, queue=queue, sender=sender, profile=DEFAULT).fate == "InDoubt"
    assert business.row(row)["status"] == "pending"
    an_hour(stack, queue, sender)
    assert business.row(row)["status"] == "pending"  # the one message fits both


MEANWHILE: dict[str, Callable[[Business], object]] = {
    "the customer's number changed": lambda b: b.connection.execute("update customers set phone = '+12125550199'"),
    "the text changed": lambda b: b.connection.execute("update send_logs set subject = 'Another text'"),
    "the customer was deleted": lambda b: b.connection.execute("delete from customers"),
    "the send log was deleted": lambda b: b.connection.execute("delete from send_logs"),
}


def doubtful(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio took, and whose answer was lost."""
    row = business.due_text()
    stack.twilio.fail(AcceptThenDrop())
    assert run(queue, sender) == ["InDoubt"]
    return row


@pytest.mark.parametrize("meanwhile", MEANWHILE)
def test_a_text_in_doubt_is_found_although(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, meanwhile: str
) -> None:
    """What begin kept with the attempt is what went to Twilio."""
    row = doubtful(stack, business, queue, sender)
    MEANWHILE[meanwhile](business)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Sent"]
    assert business.row(row)["status"] == "completed"
    assert len(stack.twilio.ledger.entries()) == 1


def test_workers_that_die_between_begin_and_send_cost_no_attempt(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Three of them would use up a text that was never at Twilio."""
    row = business.due_text()
    for _ in range(3):
        [claim] = claim_due(queue, 10)
        assert begin(queue, claim).answer == "go"
        for _ in range(15):
            stack.move_clock(timedelta(minutes=3))
            queue.recover(10)
            for doubt in claim_doubtful(queue, 10):
                reconcile(doubt, queue=queue, sender=sender, profile=DEFAULT)
            if business.row(row)["in_doubt_since"] is None and business.row(row)["status"] == "pending":
                break
        assert business.row(row)["attempt_count"] == 0
    assert run(queue, sender) == ["Sent"]


def test_a_message_with_another_body_holds_the_text_until_a_person_says_which_it_was(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """Redaction shows an empty body; it had counted as no message at all, and the text was sent again."""
    row = business.due_text()
    stack.twilio.fail(DropUnaccepted())
    assert run(queue, sender) == ["InDoubt"]
    message = sent_by_hand(sender, PHONE, "Something that somebody sent by hand")
    stack.move_clock(timedelta(minutes=1, seconds=1))
    assert run(queue, sender) == ["Held"]
    held = business.row(row)
    assert message.sid in held["why"]
    assert held["in_doubt_since"] is not None
    assert resolve(operators, resolution(row, message.sid))
    assert business.row(row)["status"] == "completed"
    assert business.log_of(row)["provider_message_id"] == {"twilio_sid": message.sid}


def test_what_was_sent_is_kept_no_longer_than_it_is_needed(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Afterwards a keyed hash of the number is enough."""
    row = doubtful(stack, business, queue, sender)
    [attempt] = business.attempts_of(row)
    assert (attempt["sent_to"], attempt["sent_body"]) == (PHONE, BODY)
    stack.move_clock(timedelta(minutes=1, seconds=1))
    run(queue, sender)
    [attempt] = business.attempts_of(row)
    assert (attempt["sent_to"], attempt["sent_body"]) == (None, None)
    assert len(attempt["number_key"]) == 32
