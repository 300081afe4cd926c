"""Why a text waits or has ended, in a word for programs: kept with the row, and the same in other sentences."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, TypeAlias, get_args
from uuid import UUID, uuid4

import psycopg
import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Cancel, Preview, WhichText
from smsretry.desk.desk import Desk
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from smsretry.retry.delivery import FAILURES, FINAL
from smsretry.retry.profile import DEFAULT
from smsretry.sending.scheduled import queue_scheduled_sends
from smsretry.vocabulary import DeliveryStatus, MessageClass, OutcomeName, Reason, TextState, WhyCode
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import PHONE, results_of, run, run_over
from tests.support.claims import claim_due

Connection: TypeAlias = psycopg.Connection[dict[str, Any]]
DAY: Final = timedelta(days=1)


# The words of the database


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("known", get_args(WhyCode)),
        ("sms_retry_queue_reason", get_args(Reason)),
        ("sms_retry_queue_message_class", get_args(MessageClass)),
        ("scheduled_sends_message_class", get_args(MessageClass)),
        ("sms_send_attempts_outcome", get_args(OutcomeName)),
        ("sms_send_attempts_delivery", (*get_args(DeliveryStatus), "unknown")),
    ],
)
def test_a_column_takes_each_word_of_the_vocabulary_and_no_other(
    business: Business, rule: str, words: tuple[str, ...]
) -> None:
    """A word that is added in Python alone could not be written. `known` is the rule of the domain `why_code`."""
    [row] = business.connection.execute(
        "select pg_get_constraintdef(oid) as rule from pg_constraint where conname = %s", [rule]
    ).fetchall()
    assert sorted(re.findall(r"'(\w+)'", row["rule"])) == sorted(words)


def test_the_database_tells_each_state_of_a_text(business: Business) -> None:
    """But for a scheduled send's, which is no text yet."""
    [row] = business.connection.execute(
        "select prosrc from pg_proc where oid = 'smsretry.text_state'::regproc"
    ).fetchall()
    told = set(re.findall(r"(?:then|else) '(\w+)'", row["prosrc"])) | {"failed", "cancelled"}  # which are as stored
    assert told | {"scheduled"} == set(get_args(TextState))


@pytest.mark.parametrize("status", get_args(DeliveryStatus))
def test_the_database_ranks_each_delivery_status_as_python_does(business: Business, status: DeliveryStatus) -> None:
    """A failure is news after whatever is on its way, and an arrival after all."""
    [row] = business.connection.execute(
        "select smsretry.delivery_rank(%(status)s) as rank, smsretry.delivery_rank('undelivered') as lost",
        {"status": status},
    ).fetchall()
    assert (row["rank"] == row["lost"], row["rank"] > row["lost"]) == (status in FAILURES, status in FINAL)


# What is kept


def code_of(business: Business, row: UUID) -> tuple[str, str | None]:
    """Its status, and why in a word."""
    kept = business.row(row)
    return kept["status"], kept["why_code"]


def test_what_a_worker_decides_is_kept_and_told_in_a_word(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """With the row and in the run's result alike; what went out has none."""
    rows = {
        business.due_text(phone="+12125550101"): ("completed", None),
        business.due_text(phone="+12125550102", consent="unknown"): ("cancelled", "opted_out"),
        business.due_text(phone=None): ("failed", "no_phone"),
        business.due_text(phone="+12125550103", timezone="Pacific/Auckland"): ("pending", "quiet_hours"),
        business.due_text(phone="+881612345678", timezone=None): ("pending", "no_time_zone"),
    }
    told = {result.retry_id: result.why_code for result in results_of(run_over(queue, sender))}
    assert {row: code_of(business, row) for row in rows} == rows
    assert told == {row: code for row, (_, code) in rows.items()}


@pytest.mark.parametrize(
    ("attempts", "code", "kept"),
    [
        (0, 30003, ("pending", "refused_for_now")),
        (2, 30003, ("failed", "attempts_used_up")),
        (0, 21211, ("failed", "refused")),
        (0, 21610, ("failed", "opted_out")),
        (0, 20003, ("pending", "account_refused")),
        (0, 20429, ("pending", "rate_limited")),
    ],
)
def test_what_a_refusal_means_for_the_text_is_kept_in_a_word(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    attempts: int,
    code: int,
    kept: tuple[str, WhyCode],
) -> None:
    """Beside the provider's own code."""
    row = business.due_text(attempts=attempts)
    stack.twilio.fail(JsonError(code, http_status=429 if code == 20429 else 400))
    run(queue, sender)
    assert (code_of(business, row), business.row(row)["error_code"]) == (kept, code)


def test_what_people_and_the_application_end_says_who(
    stack: Stack, business: Business, queue: SupabaseQueue, operators: SupabaseOperators
) -> None:
    """A text, a scheduled send, and the text of one."""
    cancelled, opted_out = business.due_text(phone="+12125550101"), business.due_text(phone="+12125550102")
    operators.order(Cancel(retry_ids=[cancelled], dry_run=False, who="Ann", because="A mistake"))
    operators.record_consent("+12125550102", consent="opted_out", source="telephone", business_id=business.id)
    by_person, by_application, queued = (business.scheduled(phone=f"+1212555020{n}") for n in (1, 2, 3))
    operators.order(Cancel(retry_ids=[by_person], dry_run=False, who="Ann", because="A mistake"))
    business.connection.execute("update scheduled_sends set status = 'cancelled' where id = %s", [by_application])
    queue_scheduled_sends(queue)
    business.connection.execute("update scheduled_sends set status = 'cancelled' where id = %s", [queued])
    assert code_of(business, cancelled) == ("cancelled", "operator")
    assert code_of(business, opted_out) == ("cancelled", "opted_out")
    assert business.scheduled_send(by_person)["why_code"] == "operator"
    assert business.scheduled_send(by_application)["why_code"] == "application"
    assert business.text_of(queued)["why_code"] == "application"


def test_a_scheduled_send_that_becomes_no_text_says_why_in_a_word(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """In its row, and in the answer."""
    late, empty = business.scheduled(due=-3 * DAY), business.scheduled(body=None)
    told = {send.scheduled_id: (send.result, send.why_code) for send in queue_scheduled_sends(queue).sends}
    assert told == {late: ("cancelled", "expired"), empty: ("failed", "no_body")}
    assert {each: business.scheduled_send(each)["why_code"] for each in told} == {late: "expired", empty: "no_body"}


# What it is for


@pytest.fixture
def desk(operators: SupabaseOperators) -> Desk:
    """The desk as `wiring` makes it."""
    return Desk(operators, profile=DEFAULT, meaning=code_meaning)


def test_texts_are_chosen_by_why_they_ended(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command
) -> None:
    """Whatever the sentence says."""
    expired, other = business.due_text(), business.due_text(phone="+12125550102", consent="unknown")
    business.connection.execute("update sms_retry_queue set expires_at = scheduled_for where id = %s", [expired])
    run(queue, sender)
    business.connection.execute("update sms_retry_queue set last_error = 'In other words' where id = %s", [expired])
    done = command(
        "texts", "requeue", "--state", "cancelled", "--why", "expired", "--yes", "--because", "Twilio was down"
    )
    assert "Requeued 1 of 1 that match." in done.stdout
    assert code_of(business, expired) == ("pending", "operator")
    assert code_of(business, other) == ("cancelled", "opted_out")


def test_what_waits_is_chosen_by_why_it_waits(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> None:
    """A text and a scheduled send alike."""
    waits, due = business.due_text(phone="+12125550101", timezone="Pacific/Auckland"), business.scheduled(due=DAY)
    run(queue, sender)
    chosen = operators.order(Cancel(why_code="quiet_hours"))
    assert ([row.retry_id for row in chosen.sample], chosen.matched) == ([waits], 1)
    business.connection.execute("update scheduled_sends set why_code = 'row_refused' where id = %s", [due])
    assert [row.retry_id for row in operators.order(Cancel(why_code="row_refused")).sample] == [due]


def test_the_desk_tells_why_in_a_word(
    business: Business, queue: SupabaseQueue, sender: TwilioSender, desk: Desk, command: Command
) -> None:
    """Explain, status and preview."""
    failed, held = business.due_text(phone=None), business.due_text(phone="+881612345678", timezone=None)
    run(queue, sender)
    business.due_text(phone="+12125550103", timezone="Pacific/Auckland")
    assert [one.text.why_code for row in (failed, held) for one in desk.explain(WhichText(retry_id=row))] == [
        "no_phone", "no_time_zone"
    ]  # fmt: skip
    assert "why, in a word: no_phone" in command("explain", "--row", failed).stdout
    status = command("status").stdout
    assert "--why no_time_zone" in status
    assert "failed, texts 1, Customer has no phone number [no_phone]" in status
    [ahead] = desk.preview(Preview(hours=1)).businesses
    assert ahead.why_codes == {"quiet_hours": 1, "no_time_zone": 1}
    assert "1: Quiet hours: " in command("preview", "--hours", "1").stdout


def test_a_preview_names_the_word_of_what_the_begin_would_refuse(business: Business, desk: Desk) -> None:
    """As the begin itself would answer."""
    business.due_text(consent="unknown")
    [ahead] = desk.preview(Preview(hours=1)).businesses
    assert ahead.why_codes == {"opted_out": 1}


# Who knows no word


def test_a_worker_of_version_1_0_0_writes_sentences_alone_and_they_are_told_as_before(
    business: Business, queue: SupabaseQueue, desk: Desk
) -> None:
    """It gives no word, and one from before is not kept for its new sentence."""
    row = business.due_text()
    [claim] = claim_due(queue, 1)
    business.connection.execute("update sms_retry_queue set why_code = 'quiet_hours' where id = %s", [row])
    business.connection.execute(
        "select end_sms_retry(%s, %s, 'cancelled', 'Expired before it could be sent')", [row, claim.claim_no]
    )
    assert code_of(business, row) == ("cancelled", None)
    [told] = desk.explain(WhichText(retry_id=row))
    assert told.headline.startswith("Cancelled, no longer wanted: Expired before it could be sent")


# The sentences are free


_TOKENS: Final = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
_SENTENCE: Final = re.compile(r"'[A-Z][a-z]+\b.*'", re.DOTALL)


def _in_other_words(definition: str) -> str:
    """A function with every sentence of its own changed."""

    def changed(found: re.Match[str]) -> str:
        token = found[0]
        if token.startswith("--"):
            return ""
        return f"'Anders: {token[1:]}" if _SENTENCE.fullmatch(token) else token

    return _TOKENS.sub(changed, definition)


@contextmanager
def other_sentences(connection: Connection) -> Iterator[None]:
    """Within this every function of ours says what it says in other words. All that is done is undone at the end."""
    with connection.transaction(force_rollback=True):
        ours = connection.execute(
            """select pg_get_functiondef(p.oid) as definition from pg_proc p join pg_language l on l.oid = p.prolang
               where p.pronamespace::regnamespace::text in ('smsretry', 'public') and l.lanname in ('sql', 'plpgsql')
                 and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')"""
        ).fetchall()
        for function in ours:
            connection.execute(_in_other_words(function["definition"]).encode())
        yield


Scene: TypeAlias = Callable[[Business], UUID]


def _begun(business: Business, row: UUID) -> None:
    [claim] = business.connection.execute(
        "select claim_sms_retry(%s) -> 'texts' -> 0 -> 'claim_no' as claim_no", [row]
    ).fetchall()
    business.connection.execute(
        "select begin_sms_attempt(%s, %s, %s, smsretry.clock() + interval '1 hour', 'test')",
        [row, claim["claim_no"], uuid4()],
    )


def _opted_out(business: Business) -> UUID:
    row = business.due_text(consent="unknown")
    _begun(business, row)
    return row


def _stopped(business: Business) -> UUID:
    row = business.due_text()
    business.connection.execute("select record_sms_consent(%s, 'opted_out', 'telephone', %s)", [PHONE, business.id])
    return row


def _expired(business: Business) -> UUID:
    row = business.due_text()
    business.connection.execute("update sms_retry_queue set expires_at = scheduled_for where id = %s", [row])
    _begun(business, row)
    return row


def _sent_already(business: Business) -> UUID:
    row = business.due_text()
    business.connection.execute(
        "update send_logs set status = 'sent' where id = %s", [business.row(row)["send_log_id"]]
    )
    _begun(business, row)
    return row


def _cancelled(business: Business) -> UUID:
    row = business.due_text()
    business.connection.execute(
        """select change_sms_texts('cancel', jsonb_build_object('retry_ids', %s::uuid[]), dry_run => false,
                                   who => 'Ann', because => 'A test')""",
        [[row]],
    )
    return row


def _requeued(business: Business) -> UUID:
    row = _expired(business)
    business.connection.execute(
        """select change_sms_texts('requeue', jsonb_build_object('why_code', 'expired', 'business_id', %s::uuid,
                                                                 'states', array['cancelled']),
                                   dry_run => false, who => 'Ann', because => 'A test')""",
        [business.id],
    )
    return row


def _died(business: Business) -> UUID:
    row = business.due_text()
    _begun(business, row)
    business.connection.execute(
        "update sms_retry_queue set (begun_at, claimed_at) = (begun_at - %s, claimed_at - %s) where id = %s",
        [DAY, DAY, row],
    )
    business.connection.execute("select recover_stuck_sms_retries(10)")
    return row


SCENES: Final[dict[Scene, tuple[str, str]]] = {
    _opted_out: ("cancelled", "opted_out"),
    _stopped: ("cancelled", "opted_out"),
    _expired: ("cancelled", "expired"),
    _sent_already: ("cancelled", "already_sent"),
    _cancelled: ("cancelled", "operator"),
    _requeued: ("pending", "operator"),
    _died: ("pending", "worker_died"),
}


@pytest.mark.parametrize(("scene", "ends"), SCENES.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_in_other_sentences_a_text_ends_alike(business: Business, scene: Scene, ends: tuple[str, str]) -> None:
    """No function reads what another one has written for people."""
    with other_sentences(business.connection):
        row = scene(business)
        assert code_of(business, row) == ends
        kept = business.row(row)
        assert "Anders: " in (kept["why"] or kept["last_error"])


def test_in_other_sentences_a_scheduled_send_ends_alike(business: Business) -> None:
    """It expires, though the word for that is another one."""
    with other_sentences(business.connection):
        late, empty = business.scheduled(due=-3 * DAY), business.scheduled(body=None)
        business.connection.execute("select queue_scheduled_sms(ahead => '2 minutes', life => '48 hours')")
        for scheduled, ends in ((late, ("cancelled", "expired")), (empty, ("failed", "no_body"))):
            kept = business.scheduled_send(scheduled)
            assert (kept["status"], kept["why_code"]) == ends
            assert kept["why"].startswith("Anders: ")
