"""A text's story, as the database keeps it: each line by driving the real queue, and why a text was late."""

import re
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import Cancel, ExplainText, Requeue
from smsretry.desk.questions.explanation import Explanation, Explanations
from smsretry.local.twilio.faults import DropUnaccepted, JsonError, ListError
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.integration.hearing import answer, sends_from
from tests.support.builders import AT_ONCE, BODY, CLOSING, OPENING, PHONE
from tests.support.orders import ordered
from tests.support.shop import Shop

Told = Callable[[UUID], Explanation]
SIGNED = {"who": "Ann", "because": "It was mended", "dry_run": False}


@pytest.fixture
def story_of(desk: Desk) -> Told:
    """What the desk says of a text, in which there is no number and no body."""

    def ask(row: UUID) -> Explanation:
        [explanation] = desk.explain(ExplainText(id=row))
        words = explanation.model_dump_json() + "\n".join(
            Explanations(texts=(explanation,)).lines()
        )
        assert PHONE[1:] not in words
        assert PHONE[2:] not in words
        assert BODY not in words
        return explanation

    return ask


def lines(explanation: Explanation, *starts: str) -> list[str]:
    """What happened, without the times; only the lines that begin with one of these, if any are given."""
    happened = [line.partition("  ")[2] or line for line in explanation.happened]
    return [line for line in happened if not starts or line.startswith(starts)]


def minutes(shop: Shop, number: int) -> None:
    """A run at each full minute at which something is due: the others would find nothing."""
    for _ in range(number):
        shop.later(minutes=1)
        if shop.sql(
            "select from sms_retry_queue where status = 'pending' and scheduled_for <= smsretry.clock()"
        ):
            shop.run(AT_ONCE)


def test_a_text_that_waited_for_the_morning_says_so_and_for_how_long(
    shop: Shop, story_of: Told
) -> None:
    """One that goes out at the first try has no line beyond its send."""
    at_once = shop.due_text()
    assert shop.run() == ["Sent"]
    assert (
        [step.what for step in story_of(at_once).text.steps],
        "first due" in str(story_of(at_once).happened),
    ) == (
        ["accepted"],
        False,
    )
    shop.at(CLOSING + timedelta(hours=1))
    row = shop.due_text(due=timedelta(0))
    assert shop.run(AT_ONCE) == ["Deferred"]
    shop.at(OPENING)
    assert shop.run(AT_ONCE) == ["Sent"]
    sent = story_of(row)
    [deferred] = lines(sent, "deferred")
    assert deferred.startswith("deferred, next at Wed 13 Jan 08:00 EST: Quiet hours")
    assert re.match(
        "send 1: accepted, (9 h 59 min|10 h) after it was first due, ",
        lines(sent, "send 1")[0],
    )


def test_a_held_text_is_one_line_however_often_it_is_looked_at(
    shop: Shop, story_of: Told
) -> None:
    """Its number is corrected meanwhile, which is told by the last digits."""
    row = shop.due_text(phone="+881612345678", timezone=None)
    for _ in range(3):
        assert shop.run() == ["Held"]
        shop.later(minutes=15, seconds=1)
    shop.sql("update customers set phone = %s, timezone = 'America/New_York'", PHONE)
    assert shop.run() == ["Sent"]
    sent = story_of(row)
    [held] = lines(sent, "held")
    assert ", 3 times, the last at Tue 12 Jan 12:30 EST: No time zone is known" in held
    assert lines(sent, "number changed") == ["number changed, from …5678 to …0123"]
    assert ", 45 min after it was first due" in lines(sent, "send 1")[0]


def test_an_end_is_still_shown_after_a_requeue_and_the_sends_are_numbered_in_order(
    shop: Shop, desk: Desk, story_of: Told
) -> None:
    """A send that was not made does not count, and the next has the same attempt number."""
    row = shop.due_text()
    shop.twilio.fail(JsonError(20429, http_status=429))
    assert shop.run() == ["RetryScheduled"]
    shop.later(minutes=20)
    shop.twilio.fail(JsonError(21612, http_status=400))
    assert shop.run() == ["Failed"]
    shop.later(hours=3)
    assert (
        ordered(desk, Requeue.model_validate(SIGNED | {"retry_ids": [row]})).changed
        == 1
    )
    assert shop.run() == ["Sent"]
    sent = story_of(row)
    [again] = lines(sent, "retry scheduled")
    assert "20429" in again
    [failed] = lines(sent, "failed")
    assert "21612" in failed
    assert lines(sent, "requeued") == ["requeued, by Ann: It was mended"]
    assert [
        line.partition(", counted")[0].partition(", code")[0]
        for line in lines(sent, "send ")
    ] == [
        "send 1: rejected",
        "send 2: rejected",
        "send 3: accepted, 3 h 20 min after it was first due",
    ]
    assert "counted as attempt 1" in lines(sent, "send 2")[0]


def test_a_text_in_doubt_says_when_it_is_looked_for_and_what_follows(
    shop: Shop, story_of: Told
) -> None:
    """And then how often that was."""
    row = shop.due_text()
    shop.twilio.fail(DropUnaccepted())
    assert shop.run(AT_ONCE) == ["InDoubt"]
    assert story_of(row).next.startswith(
        "the provider's log is checked at Tue 12 Jan 12:01 EST. If 3 checks over 15 minutes find"
    )
    minutes(shop, 25)
    sent = story_of(row)
    assert sent.text.state == "sent"
    assert [line.split(",")[0] for line in lines(sent, "looked for", "send 1: not")][
        1:
    ] == [
        "looked for",
        "send 1: not found",
    ]
    assert ", 2 times, the last at" in lines(sent, "looked for")[0]


def test_a_text_is_taken_back_from_a_worker_that_died(
    shop: Shop, story_of: Told
) -> None:
    """The time that it had the text was lost with it."""
    row = shop.due_text()
    shop.sql("select * from claim_sms_retry(%s)", row)
    shop.later(minutes=11)
    shop.sql("select * from recover_stuck_sms_retries()")
    assert shop.run() == ["Sent"]
    sent = story_of(row)
    assert lines(sent, "taken back") == ["taken back, begun at Tue 12 Jan 12:00 EST"]


def test_what_the_application_does_past_the_functions_is_its_own_step(
    shop: Shop, story_of: Told
) -> None:
    """It ends, requeues, puts off and completes rows by updates of the original columns."""
    row = shop.due_text()
    for change in (
        "scheduled_for = scheduled_for + interval '1 hour'",
        "status = 'cancelled', last_error = 'Not wanted'",
        "status = 'pending'",
        "status = 'completed'",
    ):
        shop.sql(f"update sms_retry_queue set {change} where id = %s", row)
    assert lines(story_of(row), "put off", "cancelled", "queued anew", "completed") == [
        "put off, next at Tue 12 Jan 12:59 EST, by the application",
        "cancelled, by the application: Not wanted",
        "queued anew, next at Tue 12 Jan 12:59 EST, by the application: Not wanted",
        "completed, by the application: Not wanted",
    ]


def test_a_consent_that_changes_is_in_the_story_with_the_last_change_before_it(
    shop: Shop, story_of: Told
) -> None:
    """Older changes are not this text's."""
    customer = shop.customer(consent="unknown")
    for consent, source in (("opted_out", "letter"), ("opted_in", "web_form")):
        shop.sql(
            "update customers set sms_consent_status = %s, sms_consent_source = %s where id = %s",
            *[consent, source, customer],
        )
        shop.later(minutes=1)
    row = shop.queue_row(shop.send_log(customer), customer)
    shop.sql(
        "update customers set timezone = 'America/Chicago' where id = %s", customer
    )
    shop.sql(
        "update customers set sms_consent_status = 'opted_out', sms_consent_source = %s where id = %s",
        *["She rang 212 555 0123", customer],
    )
    assert shop.run() == ["Cancelled"]
    ended = story_of(row)
    assert lines(ended, "consent changed", "cancelled") == [
        "consent changed, from opted_out to opted_in, source web_form",
        "consent changed, from opted_in to opted_out, source in words that are not shown here",
        "cancelled: Customer opted out",
    ]
    assert [step.source for step in ended.text.steps if step.source] == [
        "web_form",
        "She rang …",
    ]


def test_a_person_s_step_is_shown_once(shop: Shop, desk: Desk, story_of: Told) -> None:
    """In the person's words; the trigger says nothing of its own beside it."""
    row = shop.due_text()
    for order in (Cancel, Requeue, Cancel):
        request = {"states": ["cancelled"]} if order is Requeue else {}
        assert (
            ordered(
                desk, order.model_validate(SIGNED | {"retry_ids": [row]} | request)
            ).changed
            == 1
        )
        shop.later(minutes=1)
    assert [
        (step.what, step.model_dump()["who"]) for step in story_of(row).text.steps
    ] == [
        ("cancelled", "Ann"),
        ("requeued", "Ann"),
        ("cancelled", "Ann"),
    ]


def test_a_tenant_s_own_updates_are_in_the_story(shop: Shop) -> None:
    """As far as the application lets it: its update is kept, and the lines are the backend's."""
    shop.due_text()
    with shop.connection.transaction(force_rollback=True):
        for table in ("customers", "sms_retry_queue"):
            policy = (
                f"create policy own on {table} for update to authenticated using (true)"
            )
            shop.sql(f"grant update on {table} to authenticated; {policy}")
        with shop.acting_as("authenticated", shop.user_id):
            shop.sql("update customers set sms_consent_status = 'opted_out'")
            shop.sql("update sms_retry_queue set status = 'cancelled'")
            shop.sql("reset role")
            records = shop.sql("select code from smsretry.events order by id")
            assert [event["code"] for event in records] == [
                "consent_changed",
                "cancelled",
            ]


def test_pruning_takes_the_changes_that_happened_to_no_text_that_is_left(
    shop: Shop, story_of: Told
) -> None:
    """A story shows the hundred newest."""
    with_text, _ = shop.customer(), shop.customer()
    row = shop.queue_row(shop.send_log(with_text), with_text)
    shop.sql(
        """do $$
        begin
            for n in 1 .. 120 loop
                update customers set phone = '+1212555' || lpad(n::text, 4, '0');
            end loop;
        end
        $$"""
    )
    assert [step.model_dump()["became"] for step in story_of(row).text.steps] == [
        f"…{n:04}" for n in range(21, 121)
    ]
    shop.later(days=100)
    shop.prune(90)
    assert shop.sql("select from smsretry.events") == []


def test_a_planned_text_is_late_from_its_planned_time(
    shop: Shop, story_of: Told
) -> None:
    """Nothing ran for four hours, and so there was no text yet. Its headline says so meanwhile."""
    planned = shop.scheduled(due=timedelta(minutes=1))
    shop.later(hours=4, minutes=1)
    assert re.match(
        r"Late, it is not queued yet \(.*, 4 h after it was first due\)",
        story_of(planned).headline,
    )
    assert [send.result for send in queue_scheduled_sends(shop.queue).sends] == [
        "queued"
    ]
    assert shop.run() == ["Sent"]
    happened = story_of(shop.text_of(planned)["id"])
    assert ", 4 h after it was first due" in lines(happened, "send 1")[0]
    assert "planned for Tue 12 Jan 12:01 EST" in lines(happened, "queued")[0]


def test_the_same_words_to_the_same_number_are_shown_with_the_time_between(
    shop: Shop, story_of: Told
) -> None:
    """In both stories. Other words, or to somebody else, are not."""
    first = shop.due_text(body="See you at 5")
    assert shop.run() == ["Sent"]
    shop.later(minutes=7)
    second = shop.due_text(body="See you at 5")
    shop.due_text(body="See you at 6")
    shop.due_text(body="See you at 5", phone="+12125550199")
    assert shop.run() == ["Sent"] * 3
    for row, other in ((first, second), (second, first)):
        assert lines(story_of(row), "same words") == [
            f"same words went out, in row {other}, 7 min apart"
        ]


def test_what_she_wrote_has_its_place_in_the_story(shop: Shop, story_of: Told) -> None:
    """When, to which number or service, as which message, what it was taken for and which business heard it."""
    neighbor, service = shop.neighbor(), "MG" + "5" * 32
    neighbor.customer()
    sends_from(neighbor, "AC" + "5" * 32, service)
    shop.sql("update businesses set name = 'Bob’s Bar' where id = %s", neighbor.id)
    row = shop.due_text()
    wrote = {
        "STOP": answer(shop, body="stop", service=service, sid="SM" + "1" * 32),
        "unsure": answer(
            shop, body="no thanks", to="+12125550100", sid="SM" + "2" * 32
        ),
    }
    assert [record["answer"] for record in wrote.values()] == ["opted_out", "unsure"]
    stop, unsure = lines(story_of(row), "they wrote")
    assert (
        stop
        == f"they wrote, to {service}, as SM{'1' * 32}, understood as STOP, to the number of Bob’s Bar"
    )
    assert unsure.startswith(
        f"they wrote, to …0100, as SM{'2' * 32}, which may mean stop"
    )
    shop.run()
    assert shop.end_of(row) == ("pending", "words_unread"), "that stop was another's"


def test_while_the_provider_s_list_cannot_be_read_a_doubt_says_so_and_promises_nothing(
    shop: Shop, desk: Desk, doubtful: UUID
) -> None:
    """From the first look on: the error, what to do about it, and that a person may say what became of the text."""
    shop.twilio.fail(ListError(), times=None)
    shop.later(minutes=2)
    assert shop.run() == ["InDoubt"]
    [story] = desk.explain(ExplainText(id=doubtful))
    assert "list of messages cannot be read: Twilio could not answer" in story.headline
    assert "HTTP 500" in story.headline
    assert "it is sent again" not in story.next
    assert (
        "if it cannot be read for 1 h, the text waits for a person"
        in story.next.lower()
    )
    assert [remedy.form for remedy in story.remedies][:2] == ["sms-doctor", "sms-texts"]
    shop.twilio.heal()
    shop.later(minutes=20)
    assert shop.run() == ["Sent"]


def test_a_number_in_what_the_application_wrote_is_kept_by_its_last_digits(
    shop: Shop, story_of: Told
) -> None:
    """An error that names the recipient is told, and the number is nowhere in what is kept of it."""
    row = shop.due_text()
    shop.sql(
        "update sms_retry_queue set status = 'failed', last_error = %s where id = %s",
        f"Could not reach {PHONE}",
        row,
    )
    [told] = lines(story_of(row), "failed")
    assert "Could not reach" in told
    kept = shop.value("select json_agg(e)::text from smsretry.events e")
    assert PHONE[2:] not in kept


def test_each_reason_for_which_a_text_was_held_has_its_line(
    shop: Shop, story_of: Told
) -> None:
    """Held twice in a row, for two reasons."""
    row = shop.due_text(phone="+881612345678", timezone=None)
    assert shop.run() == ["Held"]
    shop.later(minutes=15, seconds=1)
    shop.sql("update customers set phone = '212-555-0123'")
    assert shop.run() == ["Held"]
    first, second = lines(story_of(row), "held")
    assert "No time zone is known" in first
    assert "No time zone is known" not in second


def test_a_text_that_the_application_completes_is_told_as_its_own(
    shop: Shop, story_of: Told
) -> None:
    """It waited for the morning, and somebody sent it by hand: the reason goes, too."""
    row = shop.due_text()
    shop.later(hours=10)
    assert shop.run() == ["Deferred"]
    shop.sql(
        "update sms_retry_queue set status = 'completed', why = null, why_code = null"
    )
    assert lines(story_of(row), "completed") == ["completed, by the application"]
