"""What a person can do: for each reason the first remedy ends the trouble, or it is said why there is none."""

from dataclasses import dataclass, field
from typing import Any, get_args
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.commands import DESK_COMMANDS
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import (
    Cancel,
    ExplainText,
    LookAgain,
    Requeue,
    StopTexts,
)
from smsretry.desk.questions.blocks import Remedy
from smsretry.desk.questions.explanation import Explanation
from smsretry.vocabulary import WhyCode
from tests.integration.conftest import Command
from tests.support.builders import AT_ONCE, PHONE
from tests.support.orders import ordered
from tests.support.shop import Shop

SIGNED = {"who": "Ann", "because": "A customer called"}
REQUEUE, LOOK, CONSENT, CANCEL = "requeue", "look-again", "consent", "cancel"
LIFT, RESOLVE, EXPLAIN = "stop", "resolve", "explain"
ANEW = "anew"
"""No form: it is decided anew as soon as the application has mended it."""


@dataclass(frozen=True)
class Case:
    """A text in trouble, what its first remedy is, and what the person does before they apply it."""

    code: str
    form: str | None
    """None: there is no remedy that a form has."""
    made: str = ""
    """What somebody does to the text. If it is due still, a run takes it, and says what its trouble is."""
    mended: str = ""
    says: str = ""
    """Words of what is to be done first."""
    text: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.code}-{self.form or 'nothing'}"

    def make(self, shop: Shop) -> UUID:
        """The text, or a scheduled send."""
        planned = "scheduled_sends" in self.made
        row = shop.scheduled() if planned else shop.due_text(**self.text)
        self.change(shop, row, self.made)
        return row

    def change(self, shop: Shop, row: UUID, statements: str) -> None:
        """As somebody else would."""
        for statement in filter(None, statements.split(";")):
            shop.sql(statement.format(row=row, business=shop.id, phone=PHONE))


def ended(status: str, code: str, error: int | None = None) -> str:
    """It has ended like this."""
    columns = f"status = '{status}', why_code = '{code}', last_error = 'It ended', error_code = {error or 'null'}"
    return f"update sms_retry_queue set {columns} where id = '{{row}}'"


def waits(code: str, held: bool = False) -> str:
    """It waits for ten minutes more."""
    columns = f"why_code = '{code}', why = 'It waits for something'"
    since = ", held_since = smsretry.clock()" if held else ""
    later = "scheduled_for = smsretry.clock() + interval '10 minutes'"
    return f"update sms_retry_queue set {later}, {columns}{since} where id = '{{row}}'"


def in_doubt(code: str, held: bool = False) -> str:
    """It is in doubt, and its next look is in ten minutes."""
    return f"""{waits(code, held)};
        insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome)
        select gen_random_uuid(), '{{row}}', 1, 1, now - interval '20 minutes', now, 'in_doubt'
        from smsretry.clock() now;
        update sms_retry_queue q set in_doubt_since = a.begun_at, attempt_id = a.id, claim_no = 1
        from sms_send_attempts a where q.id = a.retry_id"""


def wrote(words: str, heard: str = "null") -> str:
    """They texted this."""
    return f"select record_inbound_sms('{{phone}}', 'SM' || repeat('e', 32), {heard}, '{words}')"


_LOG, _CUSTOMER, _BUSINESS = (
    "update send_logs set",
    "update customers set",
    "update businesses set",
)
NUMBER = f"{_CUSTOMER} phone = '{{phone}}'"
BODY = f"{_LOG} subject = 'Thank you for your visit.'"
OPTED_OUT = (
    "select record_sms_consent('{phone}', 'opted_out', 'telephone', '{business}')"
)
TRIED_ANEW = """
    insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for, created_at)
    select business_id, send_log_id, customer_id, scheduled_for + interval '20 minutes', created_at + interval '1 s'
    from sms_retry_queue"""
TAKEN_ID = """insert into send_logs (id, business_id, channel, subject)
    select id, business_id, 'sms', 'Another' from scheduled_sends; select queue_scheduled_sms(ahead => '2 minutes')"""
REFUSED_ROW = """update scheduled_sends set scheduled_for = smsretry.clock() + interval '1 hour',
    held_since = smsretry.clock(), look_at = smsretry.clock() + interval '13 minutes', why = 'P0001',
    why_code = 'row_refused'"""
AUCKLAND = {"timezone": "Pacific/Auckland"}
CASES = [
    Case("no_send_log", None, "delete from send_logs", says="its send log is gone"),
    Case("not_sms", REQUEUE, f"{_LOG} channel = 'email'", f"{_LOG} channel = 'sms'"),
    Case("no_customer", None, "delete from customers", says="its customer is gone"),
    Case("no_phone", REQUEUE, f"{_CUSTOMER} phone = null", NUMBER),
    Case("number_invalid", REQUEUE, f"{_CUSTOMER} phone = '+18005550123'", NUMBER),
    Case("no_body", REQUEUE, f"{_LOG} subject = ' '", BODY),
    Case("body_too_long", REQUEUE, f"{_LOG} subject = repeat('x', 1601)", BODY),
    Case("id_taken", None, TAKEN_ID, says="it never became a text. Queue it anew"),
    Case("row_refused", None, REFUSED_ROW, says="fix the cause"),
    Case("not_consented", CONSENT, f"{_CUSTOMER} sms_consent_status = 'unknown'"),
    Case("consent_unclear", None, waits("consent_unclear", held=True), says="customers.sms_consent_status"),
    Case("opted_out", CONSENT, OPTED_OUT),
    Case("opted_out", None, wrote("stop", "'STOP'"), says="text START"),
    Case("quiet_hours", CONSENT, wrote("I no longer wish to receive these"), says="provider's log", text=AUCKLAND),
    Case("words_unread", CONSENT, wrote("I no longer wish to receive these"), says="provider's log"),
    Case("already_sent", None, f"{_LOG} status = 'sent'", says="says that it was sent"),
    Case("superseded", EXPLAIN, f"{ended('failed', 'superseded')};{TRIED_ANEW}"),
    Case("quiet_hours", ANEW, "", f"{_CUSTOMER} timezone = null", "customers.timezone", AUCKLAND),
    Case("number_spelling", ANEW, f"{_CUSTOMER} phone = '+1 (212) 555-0123'", NUMBER, "customers.phone"),
    Case("no_time_zone", ANEW, "", NUMBER, "customers.timezone", {"phone": "+881612345678", "timezone": None}),
    Case("no_opening", ANEW, waits("no_opening", held=True), f"{_CUSTOMER} timezone = null", "customers.timezone"),
    Case("daily_cap", ANEW, waits("daily_cap"), f"{_BUSINESS} sms_daily_cap = 9", "businesses.sms_daily_cap"),
    Case("hours_unreadable", ANEW, f"{_CUSTOMER} timezone = 'Eastern US'", f"{_CUSTOMER} timezone = null",
         "customers.timezone"),
    Case("hours_unreadable", ANEW, f"{_BUSINESS} timezone = 'Eastern US'", f"{_BUSINESS} timezone = null",
         "businesses.timezone"),
    Case("hours_unreadable", ANEW, f"{_BUSINESS} sms_hours = '18:00-09:00'", f"{_BUSINESS} sms_hours = null",
         "businesses.sms_hours"),
    Case("state_stopped", LIFT, "select set_sms_stop('state', 'NY', 'A storm')", says="smsretry stop NY --lift"),
    Case("business_stopped", LIFT,
         "select set_sms_stop('business_stopped', id::text, 'A lawsuit', 'ann') from businesses",
         says="--lift"),
    *(Case(code, CANCEL, waits(code)) for code in (
        "at_capacity", "sender_rate", "day_spent", "already_queued", "claim_lost", "rate_limited",
        "refused_for_now", "delivery_open")),
    *(Case(code, LOOK, waits(code, held=held), says="fix the cause") for code, held in (
        ("mark_mismatch", True), ("locked", False), ("database_trouble", False), ("data_changed", False),
        ("sender_paused", True), ("sending_stopped", False), ("business_trouble", False), ("no_credentials", True),
        ("unreachable", False), ("account_refused", False), ("destination_refused", True))),
    *(Case(code, REQUEUE, ended("failed", code, error), says=says) for code, error, says in (
        ("refused", 21211, "check the number"), ("opted_out", 21610, "have texted START"),
        ("attempts_used_up", 30003, ""), ("undelivered", 30006, "check the number"),
        ("unforeseen", None, "fix the cause"), ("bad_row", None, "fix the cause"))),
    *(Case(code, REQUEUE, ended("cancelled", code)) for code in ("expired", "not_listed", "operator", "application")),
    Case("refused", REQUEUE, ended("failed", "refused", 30007), BODY, "change the words"),
    *(Case(code, None, in_doubt(code), says="Until then there is nothing to do") for code in (
        "in_doubt", "worker_died", "restored", "no_evidence")),
    *(Case(code, RESOLVE, in_doubt(code, held=True), says="log does not have it") for code in (
        "no_evidence", "ambiguous")),
    Case("list_unavailable", LOOK, in_doubt("list_unavailable", held=True), says="fix the cause"),
]  # fmt: skip


def test_each_reason_is_tried_and_says_what_is_to_be_fixed() -> None:
    """A new one needs its line here, and its words there."""
    assert {case.code for case in CASES} == set(get_args(WhyCode))


def form_of(remedy: Remedy) -> tuple[str, Form]:
    """What its form is for, and the form as it is filled in, with who and because."""
    forms = DESK_COMMANDS[str(remedy.form).removeprefix("sms-")]
    ask = remedy.ask["ask"]
    word, values = (
        next(iter(ask.items())) if len(forms) > 1 else (next(iter(forms)), ask)
    )
    form = forms[word]
    given = SIGNED if "who" in form.model_fields else {}
    if form is StopTexts and "business_id" not in values:
        given = {**SIGNED, "state": "NY"}
    return word, form.model_validate({**values, **given})


def apply(desk: Desk, remedy: Remedy) -> None:
    """Submit its form."""
    _, form = form_of(remedy)
    assert not desk.answer(form).fails


def story_of(desk: Desk, row: UUID) -> Explanation:
    """Its story."""
    [explanation] = desk.explain(ExplainText(id=row))
    return explanation


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_first_remedy_ends_the_trouble_or_it_is_said_why_there_is_none(
    shop: Shop, desk: Desk, case: Case
) -> None:
    """After what it says is fixed, the form is submitted as it is filled in, and the next run sends the text."""
    row = case.make(shop)
    if "due" in desk.status().queue:
        shop.run(AT_ONCE)
    story = story_of(desk, row)
    assert story.text.why_code == case.code
    reply = " ".join([story.headline, *map(str, story.remedies[:1]), story.next])
    assert case.says in reply, story.remedies
    if case.form in (None, ANEW):
        assert reply.strip()
        assert not any(remedy.form for remedy in story.remedies[:1])
        if case.form is None:
            return
    else:
        assert form_of(story.remedies[0])[0] == case.form, story.remedies
    case.change(shop, row, case.mended)
    if case.form != ANEW:
        apply(desk, story.remedies[0])
    after = story_of(desk, row)
    match case.form:
        case "cancel":
            assert (after.text.state, after.text.why_code) == ("cancelled", "operator")
        case "consent":
            assert (after.text.stop_sid, "opted" in " ".join(after.happened)) == (
                None,
                True,
            )
        case "resolve":
            assert (after.text.state, after.text.why_code) != ("in_doubt", case.code)
        case "stop":
            shop.later(minutes=15, seconds=1)
            assert shop.run(AT_ONCE) == ["Sent"]
        case "look-again" | "requeue" | "anew":
            assert after.text.next_at
            assert after.text.next_at <= after.text.asked_at, "the next run takes it"
            shop.run(AT_ONCE)
            assert story_of(desk, row).text.state == (
                "sent" if story.text.state != "in_doubt" else "in_doubt"
            )


def test_what_somebody_said_on_the_telephone_brings_the_text_back(
    shop: Shop, desk: Desk
) -> None:
    """Two remedies, each the first of its story: consent, then the text itself."""
    row = Case("opted_out", CONSENT, OPTED_OUT).make(shop)
    for _ in range(2):
        apply(desk, story_of(desk, row).remedies[0])
    shop.run(AT_ONCE)
    assert [message.to for message in shop.messages] == [PHONE]
    assert "opted in, by Ann: A customer called" in "\n".join(
        story_of(desk, row).happened
    )


# An order that changes nothing says why


def a_text(shop: Shop, made: str) -> UUID:
    """A text to which this was done."""
    return Case("operator", None, made).make(shop)


def test_an_order_accounts_for_what_it_leaves_alone(
    shop: Shop, desk: Desk, command: Command
) -> None:
    """By name, with what to do: a cap, a doubt's quarantine, a rate wait for their time. Unless it is named, what would
    change nothing is not even told.
    """
    cancelled, later = (
        a_text(shop, ended("cancelled", "expired")),
        a_text(shop, waits("daily_cap")),
    )
    doubtful, due = a_text(shop, in_doubt("in_doubt")), shop.due_text()
    other_state = "It is {0}: ask for that state, too (--state {0})"
    for order, why in (
        (Requeue(retry_ids=[cancelled]), other_state.format("cancelled")),
        (Requeue(retry_ids=[later]), "It has not ended, it is waiting"),
        (Cancel(retry_ids=[cancelled]), "It has ended, it is cancelled: requeue it"),
        (Cancel(retry_ids=[later], states=["due"]), other_state.format("waiting")),
        (
            LookAgain(retry_ids=[later]),
            "It waits for its time, and not for somebody: a look now would change nothing",
        ),
        (
            LookAgain(retry_ids=[doubtful]),
            "It may have gone out, and the provider's log is checked at its own times",
        ),
        (LookAgain(retry_ids=[due]), "It is due already: the next run takes it"),
        (LookAgain(retry_ids=[cancelled]), "It has ended, it is cancelled: requeue it"),
    ):
        assert (ordered(desk, order).skipped, ordered(desk, order).changed) == (
            {why: 1},
            0,
        )
    reply = command("texts", "requeue", "--row", cancelled)
    assert (reply.exit_code, reply.stdout.splitlines()[0]) == (
        1,
        f"Would requeue 0 of 1: {other_state.format('cancelled')}",
    )
    assert (
        ordered(
            desk, Requeue(retry_ids=[cancelled], states=["cancelled"], code=30003)
        ).matched
        == 0
    )
    assert ordered(desk, Requeue(retry_ids=[uuid4()])).matched == 0
    held = a_text(shop, waits("no_time_zone", held=True))
    change = ordered(desk, LookAgain(business_id=shop.id))
    assert (
        [one.retry_id for one in change.sample],
        change.changed,
        change.skipped,
    ) == ([held], 1, {})


def test_a_text_that_was_looked_at_again_does_not_repeat_its_old_reason_as_a_new_one(
    shop: Shop, desk: Desk
) -> None:
    """It is due, was held, and somebody said so."""
    shop.run()
    row = a_text(shop, waits("no_time_zone", held=True))
    ordered(
        desk, LookAgain.model_validate({"retry_ids": [row], "dry_run": False} | SIGNED)
    )
    story = story_of(desk, row)
    assert story.headline.startswith(
        "Due: It was held: It waits for something. Looked at again by Ann: A customer called"
    )
    assert "looked again, by Ann: A customer called" in "\n".join(story.happened)


@pytest.mark.parametrize("phone", [PHONE, None, "212 555", "0000000000"])
def test_consent_is_recorded_by_a_customer_s_id_whatever_their_number_is(
    shop: Shop, desk: Desk, command: Command, phone: str | None
) -> None:
    """For their number at their business, and nobody else's: many have what stands for a missing number."""
    row = shop.due_text(phone=phone)
    customer = shop.row(row)["customer_id"]
    others = [shop.neighbor().customer(phone=phone)]
    others += [shop.customer(phone=phone, consent="unknown")] if phone != PHONE else []
    ask = ("consent", customer, "--source", "telephone", "--because", "She called")
    reply = command(*ask, "--said", "opted_out").stdout
    assert reply.startswith("Recorded that they said stop: 1 customer marked")
    assert "1 waiting text cancelled" in reply
    assert shop.row(row)["why_code"] == "opted_out"
    assert command(*ask, "--said", "opted_in").exit_code == 0
    consents = shop.sql("select id, sms_consent_status as now from customers")
    wanted = {
        customer: "opted_in",
        **dict(zip(others, ("opted_in", "unknown"), strict=False)),
    }
    assert {one["id"]: one["now"] for one in consents} == wanted
    assert {step.what for step in story_of(desk, row).text.steps} >= {
        "opted_out",
        "opted_in",
    }


def test_a_yes_over_a_stop_says_that_the_provider_blocks_the_number(
    shop: Shop, command: Command
) -> None:
    """Until they text START. Without a STOP nothing is said of it."""
    customer = shop.row(shop.due_text())["customer_id"]
    yes = ("consent", customer, "--said", "opted_in", "--source", "form")
    for blocked in (False, True):
        if blocked:
            shop.sql(wrote("stop", "'STOP'").format(phone=PHONE))
        answer = command(*yes, "--because", "She said yes").stdout
        assert ("until they text START" in answer) == blocked
