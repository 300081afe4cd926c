"""A text's story, as the database keeps it: each line by driving the real queue, and why a text was late."""

from collections.abc import Callable
from uuid import UUID

import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import ExplainText
from smsretry.desk.questions.explanation import Explanation, Explanations
from smsretry.local.twilio.faults import ListError
from tests.integration.hearing import answer, sends_from
from tests.integration.story import Story
from tests.support.builders import BODY, PHONE
from tests.support.shop import Shop

Told = Callable[[UUID], Explanation]


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


STORIES = {
    "one that goes out at the first try has no line beyond its send": """
        text
        run: Sent
        it tells first due / deferred / held:
        it tells send: send 1: accepted...""",
    "a text that waited for the morning says so, and for how long": """
        10 hours
        text due=0
        run at once: Deferred
        601 minutes
        run at once: Sent
        it tells deferred: deferred, next at Wed 13 Jan 08:00 EST: Quiet hours...
        it tells send: send 1: accepted, 10 h... after it was first due, ...""",
    "a held text is one line however often it is looked at, and a corrected number is told by its last digits": """
        text phone=+881612345678 timezone=None
        run: Held
        15.1 minutes
        run: Held
        15.1 minutes
        run: Held
        15.1 minutes
        sql update customers set phone = '+12125550123', timezone = 'America/New_York'
        run: Sent
        it tells held: held..., 3 times, the last at Tue 12 Jan 12:30 EST: No time zone is known...
        it tells number changed: number changed, from …5678 to …0123
        it tells send: send 1: ..., 45 min after it was first due...""",
    "an end is still shown after a requeue, and the sends are numbered in order, one that does not count too": """
        text
        Twilio refuses 20429 429
        run: RetryScheduled
        20 minutes
        Twilio refuses 21612
        run: Failed
        3 hours
        requeue it: 1
        run: Sent
        it tells retry scheduled: ...20429...
        it tells failed: ...21612...
        it tells requeued: requeued, by Ann: Mended
        it tells send 1: send 1: rejected, counted as attempt 1, code 20429...
        it tells send 2: send 2: rejected, counted as attempt 1, code 21612...
        it tells send 3: send 3: accepted, 3 h 20 min after it was first due...""",
    "a text in doubt says when it is looked for and what follows, and then how often that was": """
        a text in doubt that Twilio has not
        it goes on: the provider's log is checked at Tue 12 Jan 12:01 EST. If 3 checks over 15 minutes find...
        25 runs
        it.status: completed
        it tells looked for: looked for, ...2 times, the last at...
        it tells send 1: send 1: not sent... | send 1: not found...""",
    "a text is taken back from a worker that died; the time that it had the text was lost with it": """
        text
        claim: it
        11 minutes
        recover: it
        run: Sent
        it tells taken back: taken back, begun at Tue 12 Jan 12:00 EST""",
    "what the application does past the functions is its own step": """
        text
        sql update sms_retry_queue set scheduled_for = scheduled_for + interval '1 hour'
        sql update sms_retry_queue set status = 'cancelled', last_error = 'Not wanted'
        sql update sms_retry_queue set status = 'pending'
        sql update sms_retry_queue set status = 'completed'
        it tells put off: put off, next at Tue 12 Jan 12:59 EST, by the application
        it tells cancelled: cancelled, by the application: Not wanted
        it tells queued anew: queued anew, next at Tue 12 Jan 12:59 EST, by the application: Not wanted
        it tells completed: completed, by the application: Not wanted""",
    "a consent that changes is in the story, with the last change before it": """
        customer her consent=unknown
        sql update customers set sms_consent_status = 'opted_out', sms_consent_source = 'letter'
        1 minute
        sql update customers set sms_consent_status = 'opted_in', sms_consent_source = 'web_form'
        1 minute
        another text it to her
        sql update customers set timezone = 'America/Chicago'
        sql update customers set sms_consent_status = 'opted_out', sms_consent_source = 'She rang 212 555 0123'
        run: Cancelled
        it tells consent changed: consent changed, from opted_out to opted_in, source web_form | consent changed, \
from opted_in to opted_out, source in words that are not shown here
        it tells cancelled: cancelled: Customer opted out""",
    "a person's step is shown once, in the person's words": """
        text
        cancel it: 1
        1 minute
        sql select change_sms_texts('requeue', jsonb_build_object('retry_ids', jsonb_build_array({it}), \
            'states', jsonb_build_array('cancelled')), dry_run => false, who => 'Ann', because => 'Mended')
        1 minute
        cancel it: 1
        it tells cancelled: cancelled, by Ann: Mended | cancelled, by Ann: Mended
        it tells requeued: requeued, by Ann: Mended""",
    "a planned text is late from its planned time, also while there is no text yet": """
        planned
        241 minutes
        it is told: Late, it is not queued yet: no run has finished (..., 4 h after it was first due)
        plans: queued
        run: Sent
        it tells send: send 1: ..., 4 h after it was first due...
        it tells queued: queued, ...planned for Tue 12 Jan 12:01 EST...""",
    "the same words to the same number are shown with the time between, in both stories": """
        text first body=Five
        run: Sent
        7 minutes
        text second body=Five
        text others body=Six
        text strangers body=Five phone=+12125550199
        run: Sent, Sent, Sent
        first tells same words: same words went out, in row second, 7 min apart
        second tells same words: same words went out, in row first, 7 min apart""",
    "a number in what the application wrote is kept by its last digits": """
        text
        sql update sms_retry_queue set status = 'failed', last_error = 'Could not reach +12125550123'
        it tells failed: failed, ...Could not reach ...
        select json_agg(e)::text like '%2125550123%' from smsretry.events e: False""",
    "each reason for which a text was held has its line": """
        text phone=+881612345678 timezone=None
        run: Held
        15.1 minutes
        sql update customers set phone = '212-555-0123'
        run: Held
        it tells held: held...No time zone is known... | held, next at ...: Phone number is not spelled as E.164...""",
    "a text that the application completes is told as its own, without the reason for which it waited": """
        text
        10 hours
        run: Deferred
        sql update sms_retry_queue set status = 'completed', why = null, why_code = null
        it tells completed: completed, by the application""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_a_story_tells(shop: Shop, story: str) -> None:
    """Each line by driving the real queue."""
    Story(shop).tell(STORIES[story])


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
