"""What a person can do: for each reason the first lever ends the trouble, or it is said why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.doors import DOORS
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Cancel, LookAgain, RecordConsent, Requeue, WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.told import Lever
from smsretry.local.stack import Stack
from smsretry.vocabulary import WhyCode
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import AT_ONCE, PHONE, run
from tests.support.desk import ordered

SIGNED: Final = {"who": "Ann", "because": "A customer called"}
Change = Callable[[Business, UUID], None]


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=AT_ONCE, meaning=code_meaning)


# What is there


@dataclass(frozen=True)
class Case:
    """A text in trouble, what its first lever is, and what the person does before they pull it."""

    code: WhyCode
    form: str | None
    """None: there is no lever that a form has."""
    make: Callable[[Business], UUID]
    fix: Change = lambda business, row: None
    says: str = ""
    """Words of what is to be done first."""

    def __str__(self) -> str:
        return f"{self.code}-{self.form or 'nothing'}"


def changed(table: str, column: str, value: object) -> Change:
    """The application changes a column of the text's customer, send log or business."""
    key = {"customers": "customer_id", "send_logs": "send_log_id", "businesses": "business_id"}[table]

    def change(business: Business, row: UUID) -> None:
        business.connection.execute(
            f"update {table} set {column} = %s where id = %s".encode(), [value, business.row(row)[key]]
        )

    return change


def found(change: Change | None = None, **text: object) -> Callable[[Business], UUID]:
    """A text that a run finds as it is: only the run says what its trouble is."""

    def make(business: Business) -> UUID:
        row = business.due_text(**text)  # type: ignore[arg-type]
        if change:
            change(business, row)
        return row

    return make


def ended(
    status: str, code: str, error_code: int | None = None, change: Change | None = None
) -> Callable[[Business], UUID]:
    """A text that has ended like this."""

    def make(business: Business) -> UUID:
        row = business.due_text()
        business.connection.execute(
            """update sms_retry_queue set status = %s, why_code = %s, last_error = 'It ended', error_code = %s
               where id = %s""",
            [status, code, error_code, row],
        )
        if change:
            change(business, row)
        return row

    return make


def waiting(code: str, *, held: bool = False, error_code: int | None = None) -> Callable[[Business], UUID]:
    """A text that waits for ten minutes more."""

    def make(business: Business) -> UUID:
        row = business.due_text(due=timedelta(minutes=10))
        business.connection.execute(
            """update sms_retry_queue set why_code = %s, why = 'It waits for something', error_code = %s,
                                          held_since = case when %s then smsretry.clock() end
               where id = %s""",
            [code, error_code, held, row],
        )
        return row

    return make


def doubtful(code: str, *, held: bool) -> Callable[[Business], UUID]:
    """A text in doubt whose next look is in ten minutes."""

    def make(business: Business) -> UUID:
        row, attempt = business.due_text(due=timedelta(minutes=10)), uuid4()
        business.connection.execute(
            """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome)
               values (%s, %s, 1, 1, smsretry.clock() - interval '20 minutes', smsretry.clock(), 'in_doubt')""",
            [attempt, row],
        )
        business.connection.execute(
            """update sms_retry_queue
               set in_doubt_since = smsretry.clock() - interval '20 minutes', attempt_id = %s, claim_no = 1,
                   why = 'In doubt', why_code = %s, held_since = case when %s then smsretry.clock() end
               where id = %s""",
            [attempt, code, held, row],
        )
        return row

    return make


def _gone(table: str, key: str) -> Change:
    def delete(business: Business, row: UUID) -> None:
        business.connection.execute(f"delete from {table} where id = %s".encode(), [business.row(row)[key]])

    return delete


def _opted_out(business: Business, row: UUID) -> None:
    business.connection.execute("select record_sms_consent(%s, 'opted_out', 'telephone', %s)", [PHONE, business.id])


def _stopped_by_text(business: Business, row: UUID) -> None:
    business.connection.execute("select record_inbound_sms(%s, %s, 'STOP', 'stop')", [PHONE, "SM" + "e" * 32])


def _started_by_text(business: Business, row: UUID) -> None:
    business.connection.execute("select record_inbound_sms(%s, %s, 'START', 'start')", [PHONE, "SM" + "f" * 32])


def _maybe_stopped(business: Business, row: UUID) -> None:
    words = "I no longer wish to receive these"
    business.connection.execute("select record_inbound_sms(%s, %s, null, %s)", [PHONE, "SM" + "e" * 32, words])


def _tried_anew(business: Business, row: UUID) -> None:
    text = business.row(row)
    newer = business.queue_row(text["send_log_id"], text["customer_id"], due=timedelta(minutes=10))
    business.connection.execute(
        "update sms_retry_queue set created_at = created_at + interval '1 s' where id = %s", [newer]
    )


def _state(why: str | None) -> Change:
    def change(business: Business, row: UUID) -> None:
        business.connection.execute("select set_sms_state_stop('NY', %s)", [why])

    return change


def _taken_id(business: Business) -> UUID:
    planned = business.scheduled()
    business.connection.execute(
        "insert into send_logs (id, business_id, channel, subject) values (%s, %s, 'sms', 'Another')",
        [planned, business.id],
    )
    business.connection.execute("select queue_scheduled_sms(ahead => '2 minutes')")
    return planned


def _refused_row(business: Business) -> UUID:
    planned = business.scheduled(due=timedelta(hours=1))
    business.connection.execute(
        """update scheduled_sends set held_since = smsretry.clock(), look_at = smsretry.clock() + interval '13 minutes',
                                      why = 'Its text cannot be made: P0001', why_code = 'row_refused' where id = %s""",
        [planned],
    )
    return planned


REQUEUE, LOOK, CONSENT, CANCEL = "requeue", "look-again", "consent", "cancel"
LIFT, RESOLVE, EXPLAIN = "stop", "resolve", "explain"
ANEW: Final = "anew"
"""No form: it is decided anew as soon as the application has mended it."""
NUMBER = changed("customers", "phone", PHONE)
BODY = changed("send_logs", "subject", "Thank you for your visit.")
CASES: Final = [
    Case("no_send_log", None, found(_gone("send_logs", "send_log_id")), says="its send log is gone"),
    Case("not_sms", REQUEUE, found(changed("send_logs", "channel", "email")), changed("send_logs", "channel", "sms"),
         says="send_logs.channel"),
    Case("no_customer", None, found(_gone("customers", "customer_id")), says="its customer is gone"),
    Case("no_phone", REQUEUE, found(phone=None), NUMBER, says="customers.phone of customer"),
    Case("number_invalid", REQUEUE, found(phone="2125550123"), NUMBER, says="customers.phone of customer"),
    Case("no_body", REQUEUE, found(body=" "), BODY, says="send_logs.subject"),
    Case("body_too_long", REQUEUE, found(body="x" * 1601), BODY, says="shorten its words"),
    Case("bad_row", REQUEUE, ended("failed", "bad_row"), says="correct the columns"),
    Case("id_taken", None, _taken_id, says="Schedule it anew"),
    Case("row_refused", None, _refused_row, says="fix the trigger or the rule"),
    Case("opted_out", CONSENT, found(consent="unknown")),
    Case("opted_out", CONSENT, found(_opted_out)),
    Case("opted_out", None, found(_stopped_by_text), says="text START"),
    Case("quiet_hours", CONSENT, found(_maybe_stopped, timezone="Pacific/Auckland"), says="in the provider's log"),
    Case("already_sent", None, found(changed("send_logs", "status", "sent")), says="says that it was sent"),
    Case("expired", REQUEUE, ended("cancelled", "expired"), says="still of use"),
    Case("not_listed", REQUEUE, ended("cancelled", "not_listed"), says="SMSRETRY_SEND_TO"),
    Case("operator", REQUEUE, ended("cancelled", "operator"), says="wanted after all"),
    Case("application", REQUEUE, ended("cancelled", "application"), says="by mistake"),
    Case("superseded", EXPLAIN, ended("failed", "superseded", change=_tried_anew)),
    Case("quiet_hours", ANEW, found(timezone="Pacific/Auckland", phone=PHONE), changed("customers", "timezone", None),
         says="customers.timezone"),
    Case("daily_cap", CANCEL, waiting("daily_cap")),
    Case("number_spelling", ANEW, found(phone="+1 (212) 555-0123"), NUMBER, says="write the number as it says"),
    Case("no_time_zone", ANEW, found(phone="+881612345678", timezone=None), NUMBER, says="customers.timezone"),
    Case("no_opening", LOOK, waiting("no_opening", held=True)),
    Case("hours_unreadable", ANEW, found(changed("businesses", "sms_hours", "18:00-09:00")),
         changed("businesses", "sms_hours", None), says="businesses.sms_hours"),
    Case("state_stopped", LIFT, found(_state("A storm")), says="smsretry stop NY --lift"),
    Case("mark_mismatch", LOOK, waiting("mark_mismatch", held=True), says="smsretry mark"),
    Case("customer_locked", LOOK, waiting("customer_locked"), says="the transaction"),
    Case("database_trouble", LOOK, waiting("database_trouble"), says="smsretry doctor"),
    Case("data_changed", LOOK, waiting("data_changed")),
    Case("sending_stopped", LOOK, waiting("sending_stopped"), says="smsretry status"),
    Case("business_trouble", LOOK, waiting("business_trouble")),
    Case("sender_rate", CANCEL, waiting("sender_rate")),
    Case("sender_paused", LOOK, waiting("sender_paused", held=True)),
    Case("day_spent", CANCEL, waiting("day_spent")),
    Case("no_credentials", LOOK, waiting("no_credentials", held=True), says="credentials"),
    Case("already_queued", CANCEL, waiting("already_queued")),
    Case("claim_lost", CANCEL, waiting("claim_lost")),
    Case("unreachable", LOOK, waiting("unreachable"), says="the way to the provider"),
    Case("rate_limited", CANCEL, waiting("rate_limited", error_code=20429)),
    Case("account_refused", LOOK, waiting("account_refused", error_code=20003), says="credentials"),
    Case("refused_for_now", CANCEL, waiting("refused_for_now", error_code=30003)),
    Case("refused", REQUEUE, ended("failed", "refused", 21211), says="check the number"),
    Case("refused", REQUEUE, ended("failed", "refused", 30007), BODY, says="change the words"),
    Case("opted_out", REQUEUE, ended("failed", "opted_out", 21610), says="have texted START"),
    Case("attempts_used_up", REQUEUE, ended("failed", "attempts_used_up", 30003)),
    Case("undelivered", REQUEUE, ended("failed", "undelivered", 30006), says="check the number"),
    Case("delivery_open", CANCEL, waiting("delivery_open")),
    Case("in_doubt", None, doubtful("in_doubt", held=False), says="evidence of it is looked for first"),
    Case("worker_died", None, doubtful("worker_died", held=False), says="evidence of it is looked for first"),
    Case("restored", None, doubtful("restored", held=False), says="evidence of it is looked for first"),
    Case("no_evidence", None, doubtful("no_evidence", held=False), says="evidence of it is looked for first"),
    Case("no_evidence", RESOLVE, doubtful("no_evidence", held=True), says="log does not have it"),
    Case("ambiguous", RESOLVE, doubtful("ambiguous", held=True), says="log does not have it"),
    Case("list_unavailable", LOOK, doubtful("list_unavailable", held=True), says="provider's list"),
    Case("unforeseen", REQUEUE, ended("failed", "unforeseen"), says="the log of its run"),
]  # fmt: skip


def test_each_reason_is_tried_and_says_what_is_to_be_fixed() -> None:
    """A new one needs its line here, and its words there."""
    assert {case.code for case in CASES} == set(get_args(WhyCode))


def form_of(lever: Lever) -> tuple[str, Form | None]:
    """What its form is for, and the form as it is filled in, with who and because."""
    if lever.form is None:
        return "", None
    [door] = [one for one in DOORS if one.deployment == lever.form]
    [(word, form)], values = door.forms.items() if len(door.forms) == 1 else [(None, None)], lever.ask["ask"]
    if form is None:
        [(word, values)] = values.items()
        form = door.forms[word]
    return str(word), form.model_validate({**values, **(SIGNED if "who" in form.model_fields else {})})


def pull(desk: Desk, lever: Lever) -> None:
    """Submit its form."""
    _, form = form_of(lever)
    assert form is not None, f"{lever} has no form"
    assert not desk.answer(form).fails


def story_of(desk: Desk, row: UUID) -> Explanation:
    """Its story."""
    [explanation] = desk.explain(WhichText(retry_id=row))
    return explanation


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_first_lever_ends_the_trouble_or_it_is_said_why_there_is_none(
    desk: Desk, business: Business, queue: SupabaseQueue, sender: TwilioSender, case: Case
) -> None:
    """After what it says is fixed, the form is submitted as it is filled in, and the next run sends the text."""
    row = case.make(business)
    if "due" in desk.status().queue:
        run(queue, sender, AT_ONCE)
    story = story_of(desk, row)
    assert story.text.why_code == case.code
    told = " ".join([*map(str, story.levers[:1]), story.nothing_to_do or ""])
    assert case.says in told, story.levers
    if case.form in (None, ANEW):
        assert not any(lever.form for lever in story.levers[:1])
        assert told.strip()
        if case.form is None:
            return
    else:
        assert form_of(story.levers[0])[0] == case.form, story.levers
    case.fix(business, row)
    if case.form != ANEW:
        pull(desk, story.levers[0])
    after = story_of(desk, row)
    match case.form:
        case "cancel":
            assert (after.text.state, after.text.why_code) == ("cancelled", "operator")
        case "consent":
            assert (after.text.stop_sid, "opted" in " ".join(after.happened)) == (None, True)
        case "resolve":
            assert (after.text.state, after.text.why_code) != ("in_doubt", case.code)
        case "stop":
            assert form_of(after.levers[0])[0] == LOOK
        case "look-again" | "requeue" | "anew":
            assert after.text.next_at
            assert after.text.next_at <= after.text.asked_at, "the next run takes it"
            run(queue, sender, AT_ONCE)
            assert story_of(desk, row).text.state in (("sent",) if story.text.state != "in_doubt" else ("in_doubt",))


def test_what_somebody_said_on_the_telephone_brings_the_text_back(
    desk: Desk, business: Business, queue: SupabaseQueue, sender: TwilioSender, stack: Stack
) -> None:
    """Two levers, each the first of its story: consent, then the text itself."""
    row = found(_opted_out)(business)
    for _ in range(2):
        pull(desk, story_of(desk, row).levers[0])
    run(queue, sender, AT_ONCE)
    assert [entry.to for entry in stack.twilio.ledger.entries()] == [PHONE]
    happened = "\n".join(story_of(desk, row).happened)
    assert "opted in by Ann: A customer called" in happened


# The commands


# An order that changes nothing says why


def test_a_row_that_an_order_leaves_out_is_accounted_for(desk: Desk, business: Business, command: Command) -> None:
    """By name, with what to do."""
    cancelled, waits = ended("cancelled", "expired")(business), waiting("quiet_hours")(business)
    change = ordered(
        desk, Requeue.model_validate({"retry_ids": [cancelled, waits, uuid4()], "dry_run": False} | SIGNED)
    )
    assert (change.matched, change.changed) == (2, 0)
    assert change.skipped == {
        "It is cancelled: ask for that state, too (--state cancelled, States in the form)": 1,
        "It has not ended, it is waiting": 1,
    }
    told = command("texts", "requeue", "--row", cancelled)
    assert (told.exit_code, told.stdout.splitlines()[0]) == (
        1,
        "Would requeue 0 of 1: It is cancelled: ask for that state, too (--state cancelled, States in the form)",
    )
    assert ordered(desk, Cancel(retry_ids=[cancelled])).skipped == {"It has ended, it is cancelled: requeue it": 1}
    assert ordered(desk, Cancel(retry_ids=[waits], states=["due"])).skipped == {
        "It is waiting: ask for that state, too (--state waiting, States in the form)": 1
    }
    assert ordered(desk, Requeue(retry_ids=[cancelled], states=["cancelled"], code=30003)).matched == 0


def test_what_waits_for_its_time_is_not_looked_at_before(desk: Desk, business: Business) -> None:
    """A cap, a doubt's quarantine, a rate: a look would change nothing. Unless it is named, it is not even told."""
    rows = {
        waiting("daily_cap")(business): "It waits for its time, and not for somebody: a look now would change nothing",
        doubtful("in_doubt", held=False)(business): "It is in doubt: evidence is looked for at its own times",
        business.due_text(): "It is due already: the next run takes it",
        ended("failed", "refused")(business): "It has ended, it is failed: requeue it",
    }
    for row, why in rows.items():
        assert ordered(desk, LookAgain(retry_ids=[row])).skipped == {why: 1}
    held = waiting("no_time_zone", held=True)(business)
    change = ordered(desk, LookAgain(business_id=business.id))
    assert ([one.retry_id for one in change.sample], change.changed, change.skipped) == ([held], 1, {})


def test_a_text_that_was_looked_at_again_does_not_repeat_its_old_reason_as_a_new_one(
    desk: Desk, business: Business
) -> None:
    """It is due, was held, and somebody said so."""
    row = waiting("no_time_zone", held=True)(business)
    ordered(desk, LookAgain.model_validate({"retry_ids": [row], "dry_run": False} | SIGNED))
    story = story_of(desk, row)
    assert story.headline.startswith(
        "Due, the next run takes it: It was held: It waits for something. Looked at again by Ann: A customer called"
    )
    assert "looked again by Ann: A customer called" in "\n".join(story.happened)
    assert ordered(desk, LookAgain(retry_ids=[row])).skipped == {"It is due already: the next run takes it": 1}


# Consent by a customer's id


@pytest.mark.parametrize("phone", [PHONE, None, "212 555"])
def test_consent_is_recorded_by_a_customer_s_id_whatever_their_number_is(
    desk: Desk, business: Business, command: Command, phone: str | None
) -> None:
    """For their number at their business; another business's customer is left alone."""
    row = business.due_text(phone=phone)
    other = Business(business.connection, business.now).open()
    elsewhere = other.customer(phone=phone)
    customer = business.row(row)["customer_id"]
    ask = ("consent", "--customer", customer, "--source", "telephone", "--because", "She called")
    cancelled = int(phone == PHONE)
    told = command(*ask, "--said", "opted_out").stdout
    assert told.startswith(f"Opted out. Customers with this number: 1; waiting texts cancelled: {cancelled}.\n")
    assert (business.row(row)["why_code"] == "opted_out") == bool(cancelled)
    assert command(*ask, "--said", "opted_in").exit_code == 0
    consents = business.connection.execute("select id, sms_consent_status as now from customers").fetchall()
    assert {one["id"]: one["now"] for one in consents} == {customer: "opted_in", elsewhere: "opted_in"}
    assert {event.code for event in story_of(desk, row).text.events} >= {"opted_out", "opted_in"}


@pytest.mark.parametrize("word", ["opted_in", "opted_out"])
@pytest.mark.parametrize("written", ["", "n/a", "0000000000"])
def test_consent_of_one_without_a_number_is_nobody_else_s(
    business: Business, operators: SupabaseOperators, word: Literal["opted_in", "opted_out"], written: str
) -> None:
    """What stands for a missing number is the same for many, and they are not one person."""
    one, neighbor = (business.customer(phone=written, consent="unknown") for _ in range(2))
    asked = {"customer_id": one, "consent": word, "source": "letter", "who": "Ann", "because": "She wrote"}
    assert not operators.carry_out(RecordConsent.model_validate(asked)).fails
    found = business.connection.execute("select id, sms_consent_status as now from customers").fetchall()
    assert {row["id"]: row["now"] for row in found} == {one: word, neighbor: "unknown"}


def test_consent_by_id_needs_who_why_and_a_customer(business: Business, command: Command) -> None:
    """In the words of the options."""
    customer = str(business.customer())
    by_id = ("consent", "--said", "opted_in", "--source", "telephone", "--customer")
    assert "--because must be given" in command(*by_id, customer).stderr
    because = ("--because", "She called")
    assert "say which person in one way" in command(*by_id, customer, PHONE, *because).stderr
    assert (
        "say which person in one way"
        in command("consent", "--said", "opted_out", "--source", "letter", *because).stderr
    )
    told = command(*by_id, uuid4(), *because)
    assert (told.exit_code, "No customer has this id" in told.stderr) == (1, True)
