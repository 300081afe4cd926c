"""The desk and its commands on a real database: a text's story, what a person does to it, status and preview."""

import getpass
import json
import re
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import Cancel, ExplainText, Preview, Prune, Requeue
from smsretry.instants import on_clock
from tests.integration.conftest import Command
from tests.support.builders import BODY, PHONE, SID, fates_of, run_over
from tests.support.orders import ordered
from tests.support.records import columns
from tests.support.shop import Shop

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def test_sql_the_command_and_the_desk_tell_the_same_story_and_no_number_or_body(
    shop: Shop, desk: Desk, command: Command, failed: UUID, doubtful: UUID
) -> None:
    """The same state, code and attempts of each text, and the same numbers of all."""
    waiting = shop.due_text(due=timedelta(hours=2))
    for row in (failed, doubtful, waiting):
        [by_sql] = shop.sql("select * from explain_sms(%s)", row)
        found = command("explain", row, "--json").stdout
        [by_command], [by_desk] = (
            json.loads(found)["texts"],
            desk.explain(ExplainText(id=row)),
        )
        text = json.loads(by_desk.text.model_dump_json())
        for name in (
            "state",
            "code",
            "attempts",
            "max_attempts",
            "why",
            "can",
            "number",
            "steps",
        ):
            assert by_command["text"][name] == text[name], name
            assert name == "steps" or by_sql[name] == text[name], name
        words = command("explain", row).stdout
        assert " ".join(words.split()).startswith(by_desk.headline.split(" (since")[0])
        for private in (PHONE, PHONE[2:], BODY):
            assert private not in found + words + by_desk.model_dump_json()
    counts = {
        count["state"]: count["texts"]
        for count in shop.value("select sms_status()")["states"]
    }
    assert (
        json.loads(command("status", "--json").stdout)["queue"]
        == counts
        == desk.status().queue
    )
    headline = f"1 waiting · 1 in doubt · as of {on_clock(desk.status().at)}\n"
    assert command("status").stdout.startswith(headline)


def test_a_text_that_failed_is_explained_requeued_and_goes_out_with_its_history(
    shop: Shop, desk: Desk, command: Command, failed: UUID
) -> None:
    """Nothing is changed until somebody says yes and why; who is the login name. Attempts are counted on."""
    story = command("explain", failed).stdout
    assert story.startswith("Failed, given up: Twilio 21612")
    assert (
        "send 1: rejected, counted as attempt 1, code 21612, from …0006, under" in story
    )
    assert "consent was opted_in" in story
    assert "https://www.twilio.com/docs/api/errors/21612" in story
    assert (
        f"then send it again, with every check (smsretry texts requeue --row {failed} --yes --because '…')"
        in story
    )
    before = shop.row(failed)
    tried = command(
        "texts", "requeue", "--code", "21612", "--since", "2027-01-12"
    ).stdout
    assert tried.startswith("Would requeue 1 of 1\n")
    again = "Do it (smsretry texts requeue --code 21612 --since 2027-01-12T00:00:00Z --yes --because '…')\n"
    assert f"Nothing was changed: it was only tried. {again}" in tried
    assert shop.row(failed) == before
    result = command(
        "texts",
        "requeue",
        "--row",
        failed,
        "--yes",
        "--because",
        "It was mended",
        "--json",
    )
    assert (
        json.loads(result.stdout)["dry_run"],
        json.loads(result.stdout)["changed"],
    ) == (
        False,
        1,
    )
    row = shop.row(failed)
    assert columns(row, "status", "attempt_count", "max_attempts") == (
        "pending",
        1,
        4,
    )
    assert shop.log_of(failed)["status"] == "pending"
    none = command("texts", "requeue", "--row", failed)
    assert (none.exit_code, none.stdout.splitlines()[0]) == (
        1,
        "Would requeue 0 of 1: It has not ended, it is due",
    )
    assert shop.run() == ["Sent"]
    [explanation] = desk.explain(ExplainText(id=failed))
    assert [step.what for step in explanation.text.steps if step.send] == [
        "rejected",
        "accepted",
    ]
    assert any(
        f"requeued, by {getpass.getuser()}: It was mended" in line
        for line in explanation.happened
    )
    assert [message.to for message in shop.messages] == [PHONE]


def test_texts_are_found_by_what_is_given_and_by_nothing_else(
    shop: Shop, command: Command, failed: UUID
) -> None:
    """A date is the start of its day. Without any field nothing is ordered."""
    for arguments, code in (
        (("--since", "2027-01-13"), 1),
        (("--since", "2027-01-12"), 0),
        (("--since", "2027-01-12", "--code", "30003"), 1),
    ):
        assert command("texts", "requeue", *arguments).exit_code == code
    for which in ("{}", '{"containing": "x"}'):
        with pytest.raises(Exception, match="Say which texts"):
            shop.sql("select * from list_sms(%s)", which)


def test_a_text_that_may_have_gone_out_is_never_requeued(
    shop: Shop, desk: Desk, failed: UUID
) -> None:
    """Nor one that was sent, nor one whose send log another row has."""
    sent, unsettled = shop.due_text(), shop.due_text()
    shop.sql("update sms_retry_queue set status = 'failed', last_error = 'x'")
    shop.sql(
        "update send_logs set status = 'delivered' where id = %s",
        shop.row(sent)["send_log_id"],
    )
    shop.sql(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
           values (%s, %s, 1, 9, smsretry.clock())""",
        *[uuid4(), unsettled],
    )
    row = shop.row(failed)
    newer = shop.queue_row(row["send_log_id"], row["customer_id"])
    change = ordered(
        desk,
        Requeue(business_id=shop.id, dry_run=False, who="Ann", because="It was mended"),
    )
    assert change.changed == 0
    assert set(change.skipped) == {
        "Its send log says that it was sent",
        "Another row of the same text waits, or is newer",
        "It is unknown whether it went out: look in the provider's log, then resolve_sms_doubt",
    }
    assert shop.status_of(newer) == "pending"


def test_what_waits_is_cancelled_and_what_a_worker_has_is_left_alone(
    shop: Shop, desk: Desk
) -> None:
    """With who and why in the row's error, where the application reads it. A phone number is refused there."""
    claimed = shop.due_text()
    assert len(shop.claims(1)) == 1
    waiting = shop.due_text(due=timedelta(hours=1))
    ask = Cancel(
        business_id=shop.id, dry_run=False, who="Ann", because="The shop has closed"
    )
    change = ordered(desk, ask)
    assert (change.matched, change.changed) == (2, 1)
    assert change.skipped == {"A worker has it at this moment": 1}
    assert shop.row(waiting)["last_error"] == "Cancelled by Ann: The shop has closed"
    assert shop.status_of(claimed) == "processing"
    with pytest.raises(Exception, match="Leave phone numbers out of who"):
        shop.sql(
            "select * from change_sms_texts('cancel', %s, dry_run => false, who => 'Ann', because => '+12125550123')",
            json.dumps({"retry_ids": [str(waiting)]}),
        )


def test_a_doubt_is_resolved_once_and_by_no_id_that_is_none_of_the_provider_s(
    shop: Shop, command: Command, doubtful: UUID
) -> None:
    """A digit was lost on the way from the provider's log. Afterwards there is no doubt to resolve."""
    resolve = (
        "texts",
        "resolve",
        "--row",
        doubtful,
        "--because",
        "I looked into the log",
    )
    refused = command(*resolve, "--went-out-as", SID[:-1])
    assert (
        "A message's SID at Twilio is SM or MM, and 32 hexadecimal digits"
        in refused.stderr
    )
    assert shop.row(doubtful)["in_doubt_since"] is not None
    assert command(*resolve, "--went-out-as", "nothing").stdout.startswith(
        f"Resolved row {doubtful}.\n"
    )
    assert shop.row(doubtful)["in_doubt_since"] is None
    again = command(*resolve, "--went-out-as", "nothing", "--json")
    assert (again.exit_code, json.loads(again.stdout)["answer"]) == (1, "not_in_doubt")


def test_a_preview_counts_each_text_once_in_its_hour(
    shop: Shop, desk: Desk, command: Command
) -> None:
    """Hours without a text are left out; why the others do not is told. More than a page is seen whole."""
    shop.later(hours=10)  # 22:00 in New York
    shop.run()
    shop.due_text()
    for _ in range(2):
        shop.due_text(due=timedelta(hours=13, minutes=5))
    shop.due_text(phone=None)
    shown = command("preview", columns=80).stdout
    assert shown.splitlines()[:5] == [
        "3 to go out in the next 24 h, end 1",
        "",
        "By hour",
        f"  Wed 13 Jan 13:00 UTC, texts 1, {'█' * 15}",
        f"  Wed 13 Jan 16:00 UTC, texts 2, {'█' * 30}",
    ]
    assert "1 not: Customer has no phone number\n" in shown
    assert json.loads(command("preview", "--json").stdout)["counts"] == {
        "end": 1,
        "go out": 3,
    }
    shop.sql(
        """with l as (insert into send_logs (business_id, customer_id, channel, subject)
                      select c.business_id, c.id, 'sms', 'x'
                      from (select * from customers where phone is not null limit 1) c, generate_series(1, 1203)
                      returning *)
           insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
           select business_id, id, customer_id, smsretry.clock() from l"""
    )
    assert desk.preview(Preview(hours=24)).counts["go out"] == 1206


def test_the_status_tells_what_is_queued_held_stopped_and_how_late(
    shop: Shop, desk: Desk
) -> None:
    """And the last runs."""
    shop.sql("select set_sms_stop('state', 'LA', 'A hurricane')")
    shop.due_text(timezone="America/Chicago", phone="+15045550123")
    last = run_over(shop.queue, shop.provider)
    assert fates_of(last) == ["Held"]
    shop.due_text(due=timedelta(minutes=-20))
    shop.queue.set_stop("everybody", "", "Twilio is down")
    status = desk.status()
    assert status.queue == {"due": 1, "held": 1}
    assert int(status.overdue_seconds) == 1200
    assert [stop.what for stop in status.stops] == ["sending", "state"]
    assert status.runs[0].id == last.id
    shown = "\n".join(status.lines())
    assert "Needs attention\nsending is stopped: Twilio is down" in shown
    assert re.search(
        r"stopped LA: A hurricane, for \d s\n    lift the stop, once .*\(smsretry stop LA --lift --because '…'\)",
        shown,
    )
    assert (
        status.name
        == "STOPPED · 2 need attention · 1 due · 1 held · oldest due for 20 min"
    )


def test_a_monitor_learns_when_texts_are_overdue_or_no_run_finishes(
    shop: Shop,
) -> None:
    """By a code that PostgREST answers as 503; and that all is well otherwise."""

    def ask() -> str:
        try:
            return str(shop.value("select check_sms_retries()"))
        except psycopg.Error as alarm:
            return f"{alarm.sqlstate}: {alarm.diag.message_primary}"

    assert ask().startswith("PT503: no run has finished in 7 days")
    shop.run()
    assert ask().startswith("ok, ")
    shop.due_text(due=timedelta(minutes=-11))
    assert ask().startswith("PT503: overdue texts: 1 since ")
    shop.run()
    shop.later(minutes=30)
    assert ask().startswith("PT503: no run has finished since ")


def test_the_next_run_reports_once_what_the_sends_of_a_killed_run_came_to(
    shop: Shop,
) -> None:
    """From its attempts, which name it."""
    shop.due_text()
    shop.due_text()
    killed = run_over(shop.queue, shop.provider)
    killed.start(10)
    for claim in killed.claim(50):
        assert killed.process(claim).fate == "Sent"
    shop.later(minutes=11)
    after, again = (
        run_over(shop.queue, shop.provider),
        run_over(shop.queue, shop.provider),
    )
    after.start(10)
    assert [(run.id, run.accepted, run.in_doubt) for run in after.interrupted] == [
        (killed.id, 2, 0)
    ]
    again.start(10)
    assert again.interrupted == []


def test_pruning_deletes_what_ended_long_ago_and_keeps_what_is_unknown_or_locked(
    shop: Shop, desk: Desk, failed: UUID
) -> None:
    """In batches. The last week is never pruned: doubts are settled by it, and daily caps count it."""
    unknown, live, locked = (shop.due_text() for _ in range(3))
    shop.sql(
        """update sms_retry_queue set status = 'failed', last_error = 'x', updated_at = smsretry.clock()
           where id in (%s, %s)""",
        *[unknown, locked],
    )
    shop.sql(
        """insert into sms_send_attempts (id, retry_id, attempt_number, claim_no, begun_at)
           values (%s, %s, 1, 9, smsretry.clock())""",
        *[uuid4(), unknown],
    )
    prune = Prune(keep_days=7, dry_run=False)
    assert next(desk.answer(prune).lines()) == "Deleted: 0 texts, 0 runs."
    with pytest.raises(Exception, match="keep_days is 7 or more"):
        shop.sql("select * from prune_sms_history(6)")
    shop.later(days=8)
    with shop.locked("sms_retry_queue where id = %s", locked):
        tried = next(desk.answer(Prune(keep_days=7)).lines())
        assert tried == "Would delete: 3 texts, 1 run."
        assert next(desk.answer(prune).lines()) == "Deleted: 1 text, 1 run."
    records = shop.sql("select id from sms_retry_queue")
    assert {row["id"] for row in records} == {unknown, live, locked}


def test_what_somebody_wrote_is_shown_without_its_numbers_and_cannot_steer_a_terminal(
    shop: Shop, desk: Desk, command: Command
) -> None:
    """Ids, SIDs and times are no numbers. By explain, by status, and where it is requeued."""
    row, an_id, sid = (
        shop.due_text(),
        "5b0c5f0e-6b0a-4a53-9d0c-123456789012",
        "SM12345678901234567890123456789012",
    )
    for written, said in (
        ("The 'To' number +12125550188 is not valid", "The 'To' number … is not valid"),
        (f"Row {an_id} is {sid}, and waits until 2026-11-25 14:31:00",) * 2,
    ):
        shop.sql(
            "update sms_retry_queue set status = 'failed', last_error = %s, updated_at = smsretry.clock()",
            written,
        )
        assert f": {said} (since " in desk.explain(ExplainText(id=row))[0].headline
        assert [reason.why for reason in desk.status().ended] == [said]
        assert ordered(desk, Requeue(retry_ids=[row])).sample[0].why == said
    shop.sql(
        "update businesses set name = %s", "\x1b[2J[red]Maple[/red] :smile: \u202e[/]"
    )
    assert (
        "To …0123, for �[2J[red]Maple[/red] :smile: �[/]\n"
        in command("explain", row).stdout
    )
