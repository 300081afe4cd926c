"""The desk on a real database: a text's story, and what a person does to it."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import httpx
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Cancel, Preview, Prune, Requeue, WhichText
from smsretry.desk.desk import Desk
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from smsretry.settings import Settings
from tests.conftest import Business
from tests.integration.scene import Scene
from tests.support.builders import AT_ONCE, BODY, PHONE, fates_of, run_over
from tests.support.claims import claim_due
from tests.support.desk import ordered, told
from tests.support.orders import stop_state


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=AT_ONCE, meaning=code_meaning)


@pytest.fixture
def failed(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender) -> UUID:
    """A text that Twilio refused for good, once."""
    row = business.due_text()
    stack.twilio.fail(JsonError(21612, http_status=400))
    assert fates_of(run_over(queue, sender)) == ["Failed"]
    return row


def _requeue(**which: object) -> Requeue:
    return Requeue.model_validate({"dry_run": False, "who": "Ann", "because": "The sender was mended"} | which)


def test_a_text_that_failed_is_explained_with_its_attempt_its_code_and_what_to_do(
    desk: Desk, business: Business, failed: UUID
) -> None:
    """By customer, by send log and by row it is the same story, and no number and no body is in it."""
    row = business.row(failed)
    by_customer = desk.explain(WhichText(customer_id=row["customer_id"]))
    for found in (
        desk.explain(WhichText(send_log_id=row["send_log_id"])),
        desk.explain(WhichText(retry_id=failed)),
        desk.explain(WhichText.at_terminal(phone=PHONE)),
    ):
        assert list(found[0].lines())[1:] == list(by_customer[0].lines())[1:]
    told = "\n".join(by_customer[0].lines())
    assert "Failed, given up: Twilio 21612" in told
    assert "send 1: rejected; code 21612; under" in told
    assert "consent was opted in" in told
    assert "https://www.twilio.com/docs/api/errors/21612" in told
    assert f"then send it again, with every check (smsretry texts requeue --row {failed} --yes --because '…')" in told
    assert "…0123" in told
    assert PHONE not in told
    assert PHONE.removeprefix("+1") not in told
    assert BODY not in told


def test_a_requeued_text_goes_out_and_keeps_its_history(
    desk: Desk, stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, failed: UUID
) -> None:
    """Attempts are counted on, its send log waits meanwhile, and who and why are told."""
    assert ordered(desk, _requeue(retry_ids=[failed])).changed == 1
    row = business.row(failed)
    assert (row["status"], row["attempt_count"], row["max_attempts"]) == ("pending", 1, 4)
    assert business.log_of(failed)["status"] == "pending"
    assert fates_of(run_over(queue, sender)) == ["Sent"]
    explanation = desk.explain(WhichText(retry_id=failed))[0]
    assert [attempt.outcome for attempt in explanation.text.history] == ["rejected", "accepted"]
    assert any("requeued by Ann: The sender was mended" in line for line in explanation.happened)
    assert [entry.to for entry in stack.twilio.ledger.entries()] == [PHONE]


def test_a_text_that_may_have_gone_out_is_never_requeued(desk: Desk, business: Business, failed: UUID) -> None:
    """Nor one that was sent, nor one whose send log another row has."""
    sent, doubtful = business.due_text(), business.due_text()
    business.connection.execute("update sms_retry_queue set status = 'failed', last_error = 'x'")
    business.connection.execute(
        "update send_logs set status = 'delivered' where id = %s", [business.row(sent)["send_log_id"]]
    )
    business.connection.execute(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
           values (%s, %s, 1, 9, smsretry.clock())""",
        [uuid4(), doubtful],
    )
    row = business.row(failed)
    newer = business.queue_row(row["send_log_id"], row["customer_id"])
    change = ordered(desk, _requeue(business_id=business.id))
    assert change.changed == 0
    assert set(change.skipped) == {
        "Its send log says that it was sent",
        "A newer row is of the same text",
        "It is unknown whether it went out: look in the provider's log, then resolve_sms_doubt",
    }
    assert business.row(newer)["status"] == "pending"


def test_requeueing_warns_of_a_number_that_takes_no_texts_and_of_an_opt_out(
    desk: Desk, business: Business, failed: UUID, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """The person decides; consent is asked again when the text is sent."""
    customer = business.row(failed)["customer_id"]
    business.connection.execute("update customers set phone_status = 'not_mobile' where id = %s", [customer])
    assert ordered(desk, Requeue(retry_ids=[failed])).warned == {"The number is known to take no texts (not_mobile)": 1}
    business.connection.execute("update customers set sms_consent_status = 'opted_out' where id = %s", [customer])
    change = ordered(desk, _requeue(retry_ids=[failed]))
    assert change.warned == {"The customer has not opted in: it will be cancelled": 1}
    assert fates_of(run_over(queue, sender)) == ["Cancelled"]


def test_what_waits_is_cancelled_and_what_a_worker_has_is_left_alone(
    desk: Desk, business: Business, queue: SupabaseQueue
) -> None:
    """With who and why in the row's error, where the application reads it."""
    claimed = business.due_text()
    assert len(claim_due(queue, 1)) == 1
    waiting = business.due_text(due=timedelta(hours=1))
    ask = Cancel(business_id=business.id, dry_run=False, who="Ann", because="The shop has closed")
    change = ordered(desk, ask)
    assert (change.matched, change.changed) == (2, 1)
    assert change.skipped == {"A worker has it at this moment": 1}
    assert business.row(waiting)["last_error"] == "Cancelled by Ann: The shop has closed"
    assert business.row(claimed)["status"] == "processing"
    assert desk.explain(WhichText(retry_id=waiting))[0].headline.startswith("Cancelled, no longer wanted")


def test_a_phone_number_in_what_is_kept_is_refused_by_the_form_and_by_the_database(
    desk: Desk, business: Business, failed: UUID
) -> None:
    """It would be shown to everybody."""
    for words in ("call (212) 555-0123", "number +12125550123"):
        with pytest.raises(ValueError, match="must hold no phone number"):
            _requeue(retry_ids=[failed], because=words)
        with pytest.raises(Exception, match="must hold no phone number"):
            business.connection.execute(
                """select * from change_sms_texts('requeue', jsonb_build_object('retry_ids', %s::uuid[]),
                                                  dry_run => false, who => 'Ann', because => %s)""",
                [[failed], words],
            )


def test_without_saying_which_nothing_is_requeued_or_cancelled(business: Business, failed: UUID) -> None:
    """By the form and by the database."""
    for form in (Requeue, Cancel):
        with pytest.raises(ValueError, match="say which texts"):
            form()
    for call in ("list_sms('{}')", 'list_sms(\'{"containing": "x"}\')'):
        with pytest.raises(Exception, match="Say which texts"):
            business.connection.execute(f"select * from {call}".encode())
    with pytest.raises(ValueError, match="say which text in one way"):
        WhichText(customer_id=uuid4(), retry_id=uuid4())


def test_a_preview_of_more_than_a_page_sees_each_text_once(desk: Desk, stack: Stack, business: Business) -> None:
    """Many of them due at the same moment."""
    due = stack.now()
    business.connection.execute(
        """with c as (insert into customers (business_id, phone, timezone, sms_consent_status)
                     select %(b)s, %(p)s, 'America/New_York', 'opted_in' returning id),
                l as (insert into send_logs (business_id, customer_id, channel, subject)
                      select %(b)s, c.id, 'sms', 'x' from c, generate_series(1, 1203) returning id, customer_id)
           insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           select %(b)s, l.id, l.customer_id, %(d)s from l""",
        {"b": business.id, "p": PHONE, "d": due},
    )
    assert desk.preview(Preview(hours=1)).go_out == 1203


def test_the_status_tells_what_is_queued_held_stopped_and_how_late(
    desk: Desk,
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
) -> None:
    """And the last runs."""
    stop_state(operators, "LA", "A hurricane")
    business.due_text(timezone="America/Chicago", phone="+15045550123")
    run = run_over(queue, sender)
    assert fates_of(run) == ["Held"]
    business.due_text(due=timedelta(minutes=-20))
    queue.set_stop("everybody", "", "Twilio is down")
    status = desk.status()
    assert status.queue == {"due": 1, "held": 1}
    assert int(status.overdue_seconds) == 1200
    assert [line.name for line in status.part("stopped")] == ["sending", "LA"]
    assert status.part("run")[0].name == str(run.id)
    told = "\n".join(status.lines())
    assert "NEEDS SOMEBODY\nsending is stopped: Twilio is down" in told
    assert re.search(r"stopped LA: A hurricane \(\d s ago\)\n    lift it, once .*\(smsretry stop LA --lift\)", told)
    assert status.name == "STOPPED · due 1 · held 1 · oldest due for 20 min"


def test_the_status_counts_each_text_in_the_state_that_its_story_tells(desk: Desk, scene: Scene) -> None:
    """There are two places that say what a state is: one for a row, one that counts many."""
    states = scene.business.connection.execute(
        """select smsretry.text_state(q, smsretry.clock()) as state, count(*)::integer as texts from sms_retry_queue q
           where status in ('pending', 'processing') group by 1"""
    ).fetchall()
    assert {row["state"] for row in states} == {"due", "waiting", "under_way", "in_doubt"}
    assert desk.status().queue == {row["state"]: row["texts"] for row in states}


def test_a_monitor_is_answered_503_once_texts_are_overdue_or_no_run_finishes(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, settings: Settings
) -> None:
    """And 200 while all is well."""

    def ask() -> httpx.Response:
        key = stack.key("service_role")
        url = f"{stack.environment()['SUPABASE_URL']}/rest/v1/rpc/check_sms_retries"
        headers = {"apikey": key, "Authorization": f"Bearer {key}"}
        answer = httpx.post(url, json={}, headers=headers)
        others = {httpx.request(method, url, headers=headers).status_code for method in ("GET", "HEAD")}
        assert others == {answer.status_code}, "it does not alarm whichever way it is asked"
        return answer

    assert (ask().status_code, "no run has finished in 7 days" in ask().text) == (503, True)
    fates_of(run_over(queue, sender))
    assert (ask().status_code, ask().json()[:3]) == (200, "ok,")
    business.due_text(due=timedelta(minutes=-11))
    assert "1 texts are overdue, the oldest by 11 minutes" in ask().text
    fates_of(run_over(queue, sender))
    stack.move_clock(timedelta(minutes=30))
    assert "no run has finished for 30 minutes" in ask().text


def test_a_run_that_was_killed_is_told_of_once_by_the_next_with_what_its_sends_came_to(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """From its attempts, which name it."""
    business.due_text()
    business.due_text()
    killed = run_over(queue, sender)
    killed.recover(10)
    for claim in killed.claim(50):
        assert killed.process(claim).fate == "Sent"
    stack.move_clock(timedelta(minutes=11))
    after = run_over(queue, sender)
    after.recover(10)
    assert [(run.id, run.accepted, run.in_doubt) for run in after.interrupted] == [(killed.id, 2, 0)]
    again = run_over(queue, sender)
    again.recover(10)
    assert again.interrupted == []


def test_pruning_deletes_what_ended_long_ago_and_keeps_what_is_unknown(
    desk: Desk, stack: Stack, business: Business, failed: UUID
) -> None:
    """In batches, until nothing is left to delete."""
    unknown, live = business.due_text(), business.due_text()
    business.connection.execute(
        "update sms_retry_queue set status = 'failed', last_error = 'x' where id = %s", [unknown]
    )
    business.connection.execute(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
           values (%s, %s, 1, 9, smsretry.clock())""",
        [uuid4(), unknown],
    )
    assert told(desk, Prune(keep_days=7))[0] == "Deleted: texts 0, attempts 0, runs 0."
    stack.move_clock(timedelta(days=8))
    assert told(desk, Prune(keep_days=7))[0] == "Deleted: texts 1, attempts 1, runs 1."
    kept = business.connection.execute("select id from sms_retry_queue").fetchall()
    assert {row["id"] for row in kept} == {unknown, live}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("The 'To' number +12125550188 is not valid", "The 'To' number … is not valid"),
        ("She rang from 212-555-0188, or (212) 555-0188", "She rang from …, or …"),
        ("+44 7700 900101 and 2125550188", "… and …"),
        (
            "Duplicate of row 5b0c5f0e-6b0a-4a53-9d0c-123456789012",
            "Duplicate of row 5b0c5f0e-6b0a-4a53-9d0c-123456789012",
        ),
        ("Accepted as SM12345678901234567890123456789012", "Accepted as SM12345678901234567890123456789012"),
        ("Twilio 21612; waits until 2026-11-25 14:31:00", "Twilio 21612; waits until 2026-11-25 14:31:00"),
    ],
)
def test_what_somebody_wrote_is_told_without_its_numbers(
    written: str, said: str, desk: Desk, business: Business
) -> None:
    """Ids, SIDs and times are no numbers. By explain, by status, and where it is requeued."""
    row = business.due_text()
    business.connection.execute(
        "update sms_retry_queue set status = 'failed', last_error = %s, updated_at = smsretry.clock() where id = %s",
        [written, row],
    )
    assert f": {said} (since " in desk.explain(WhichText(retry_id=row))[0].headline
    assert [line.told for line in desk.status().part("ended")] == [said]
    assert ordered(desk, Requeue(retry_ids=[row])).sample[0].why == said
