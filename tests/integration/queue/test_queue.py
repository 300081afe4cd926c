"""The queue itself: claims, fences, leases, and calls whose answers are lost."""

from datetime import timedelta
from uuid import uuid4

import pytest
from psycopg import sql

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueUnreachable
from smsretry.local.stack import Stack
from smsretry.retry.decision import Complete, Defer, Fail, GiveBack, Hold, PutOff
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted
from smsretry.sending.pipeline import process_sms_retry_item
from tests.conftest import Business
from tests.support.builders import NOON, SID, begin, finish, give_up, refused, results_of, retry, run_over
from tests.support.claims import claim_doubtful, claim_due, claim_suspect


def test_a_claim_of_ten_on_a_table_without_statistics_takes_ten(stack: Stack) -> None:
    """The obvious claim takes far more: its locking subquery runs once a row."""
    with stack.connect() as connection:
        connection.execute("drop table if exists pg_temp.ids")
        connection.execute("truncate sms_retry_queue cascade")
        business = Business(connection, stack.now).open()
        customer = business.customer()
        connection.execute(
            """with log as (
                   insert into send_logs (business_id, customer_id, channel, subject)
                   select %s, %s, 'sms', 'Hello' from generate_series(1, 500) returning id)
               insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
               select %s, id, %s, smsretry.clock() - interval '1 minute' from log""",
            [business.id, customer, business.id, customer],
        )
        with SupabaseQueue(stack.settings()) as queue:
            assert len(claim_due(queue, 10)) == 10
        counted = connection.execute("select count(*) from sms_retry_queue where status = 'processing'").fetchone()
        assert counted == {"count": 10}


@pytest.mark.parametrize(("limit", "claimed"), [(0, 0), (-5, 0), (3, 3), (10_000, 12)])
def test_a_claim_takes_at_most_what_it_asks_for(
    business: Business, queue: SupabaseQueue, limit: int, claimed: int
) -> None:
    """And nothing when it asks for nothing."""
    for _ in range(12):
        business.due_text()
    assert len(claim_due(queue, limit)) == claimed


def test_a_business_with_a_thousand_texts_does_not_keep_another_waiting(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Claims go round the businesses, oldest first in each."""
    flood = [business.due_text(due=timedelta(minutes=-60 + i)) for i in range(30)]
    other = Business(business.connection, stack.now).open()
    late = [other.due_text(due=timedelta(minutes=-1)) for _ in range(2)]
    claimed = {claim.id for claim in claim_due(queue, 6)}
    assert set(late) < claimed
    assert claimed - set(late) == set(flood[:4])


def test_a_row_that_is_not_due_or_in_doubt_or_ended_is_not_claimed(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Only pending rows whose time has come by the database's clock."""
    business.due_text(due=timedelta(seconds=30))
    for status in ("completed", "failed", "cancelled"):
        row = business.due_text()
        business.connection.execute("update sms_retry_queue set status = %s where id = %s", [status, row])
    assert claim_due(queue, 10) == []


def test_the_claim_number_rises_with_every_claim_and_never_falls(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Deferrals and recoveries give attempts back, and leave the number alone."""
    business.due_text()
    numbers = []
    for _ in range(3):
        (claim,) = claim_due(queue, 1)
        numbers.append(claim.claim_no)
        queue.put_off(claim, Defer("Quiet hours", "quiet_hours", until=stack.now(), for_window=True))
    claim_due(queue, 1)
    stack.move_clock(timedelta(minutes=11))
    queue.recover(10)
    (claim,) = claim_due(queue, 1)
    assert [*numbers, claim.claim_no] == [1, 2, 3, 5]


def test_a_worker_that_lost_its_claim_changes_nothing(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Neither begin nor defer nor give back nor end nor finish, whatever it believes."""
    row = business.due_text()
    (stale,) = claim_due(queue, 1)
    stack.move_clock(timedelta(minutes=11))
    queue.recover(10)
    (fresh,) = claim_due(queue, 1)
    attempt = uuid4()
    assert begin(queue, fresh, attempt).answer == "go"
    before = business.row(row)

    assert begin(queue, stale).answer == "lost"
    assert not queue.put_off(stale, Defer("stale", "quiet_hours", until=stack.now(), for_window=True))
    assert not queue.put_off(stale, GiveBack("stale", "sending_stopped"))
    assert not queue.put_off(stale, Fail("stale", "unforeseen"))
    for theirs in (uuid4(), attempt):
        done = finish(queue, stale, theirs, Accepted(SID), Complete("Accepted", sid=SID))
        assert not done.applied
    assert business.row(row) == before
    assert business.log_of(row)["status"] == "pending"


def test_a_worker_that_gave_its_claim_back_begins_nothing(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """The row still has its claim number, and waits."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    assert queue.put_off(
        claim, Defer("Quiet hours", "quiet_hours", until=stack.now() + timedelta(hours=1), for_window=True)
    )
    assert begin(queue, claim).answer == "lost"


def _look(stack: Stack, business: Business, queue: SupabaseQueue) -> Claim:
    """At a text whose worker died as it sent it."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    begin(queue, claim)
    stack.move_clock(timedelta(minutes=11))
    queue.recover(10)
    stack.move_clock(timedelta(minutes=2))
    (look,) = claim_doubtful(queue, 1)
    return look


def test_what_a_look_has_claimed_does_not_begin(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """It has the claim for its evidence alone, and keeps it."""
    look = _look(stack, business, queue)
    assert begin(queue, look).answer == "lost"
    assert business.row(look.id)["status"] == "processing"


def test_whoever_looks_for_evidence_does_not_finish_the_send(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Only the worker that made the request has its answer."""
    look = _look(stack, business, queue)
    assert look.attempt_id is not None
    assert not finish(queue, look, look.attempt_id, refused(30003), retry()).applied
    assert business.row(look.id)["in_doubt_since"] is not None


def test_the_end_that_a_text_has_outranks_the_worker_s(business: Business, queue: SupabaseQueue) -> None:
    """What the application or an earlier begin has said is not put off."""
    row = business.due_text()
    business.connection.execute("update sms_retry_queue set expires_at = smsretry.clock() + interval '1 hour'")
    end = business.row(row)["expires_at"]
    (claim,) = claim_due(queue, 1)
    begins = "select answer from begin_sms_attempt(%s, %s, gen_random_uuid(), %s, '', expires_at => %s)"
    later = [end, end + timedelta(hours=1)]
    assert business.connection.execute(begins, [claim.id, claim.claim_no, *later]).fetchone() == {"answer": "go"}
    assert business.row(row)["expires_at"] == end


def test_what_has_begun_is_neither_put_off_nor_ended(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Only its outcome moves it, whatever its own worker says meanwhile."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    begin(queue, claim)
    before = business.row(row)
    assert not queue.put_off(claim, Defer("Quiet hours", "quiet_hours", until=stack.now(), for_window=True))
    assert not queue.put_off(claim, Hold("No time zone is known", "no_time_zone", look_in=timedelta(minutes=15)))
    assert not queue.put_off(claim, Fail("No number", "unforeseen"))
    assert business.row(row) == before


def test_what_is_no_sms_any_more_does_not_begin(business: Business, queue: SupabaseQueue) -> None:
    """The application has made it another message."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    business.connection.execute("update send_logs set channel = 'email'")
    assert begin(queue, claim).answer == "changed"


@pytest.mark.parametrize("table", ["customers", "send_logs"])
def test_what_is_another_business_s_since_the_claim_does_not_begin(
    stack: Stack, business: Business, queue: SupabaseQueue, table: str
) -> None:
    """Consent was given to one business, and the text is that one's."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    other = Business(business.connection, stack.now).open()
    business.connection.execute(f"update {table} set business_id = %s".encode(), [other.id])
    assert begin(queue, claim).answer == "changed"


def test_a_finish_after_recovery_changes_nothing(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """The row is in doubt by then, and only evidence may settle it."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    stack.move_clock(timedelta(minutes=11))
    (recovered,) = queue.recover(10)
    assert recovered.in_doubt_since is not None
    before = business.row(row)
    assert not finish(queue, claim, attempt, refused(21211), give_up("late")).applied
    assert business.row(row) == before
    assert before["attempt_count"] == 1


def test_the_lease_starts_again_when_a_send_begins(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """The last of fifty claimed rows is not taken back while it is being sent."""
    business.due_text()
    (claim,) = claim_due(queue, 1)
    stack.move_clock(timedelta(minutes=9))
    begin(queue, claim)
    stack.move_clock(timedelta(minutes=9))
    assert queue.recover(10) == []


def test_a_claim_from_a_clock_that_was_ahead_is_taken_back(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Its lease would last until that time has come."""
    row = business.due_text()
    claim_due(queue, 1)
    stack.move_clock(timedelta(days=-1))
    assert [recovered.id for recovered in queue.recover(10)] == [row]


def test_recovery_passes_over_what_its_worker_writes_at_this_moment(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """It waits for nobody, and takes the others back."""
    written, silent = business.due_text(), business.due_text()
    claim_due(queue, 2)
    stack.move_clock(timedelta(minutes=11))
    with stack.connect() as worker, worker.transaction():
        worker.execute("select from sms_retry_queue where id = %s for update", [written])
        assert [recovered.id for recovered in queue.recover(10)] == [silent]


def test_a_claim_sends_at_most_once(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """A second begin under the same claim is refused; the same begin repeated is the same begin."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    assert [begin(queue, claim, attempt).answer for _ in range(3)] == ["go", "go", "go"]
    assert begin(queue, claim).answer == "lost"
    assert not finish(queue, claim, uuid4(), Accepted(SID), Complete("Accepted", sid=SID)).applied
    assert [one["outcome"] for one in business.attempts_of(row)] == [None]


def test_a_claim_by_its_id_takes_only_what_waits(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Nothing that a worker has, and nothing that may have gone out."""
    row = business.due_text()

    def claimed() -> int:
        answer = business.connection.execute("select claim_sms_retry(%s) as told", [row]).fetchone()
        assert answer
        return len(answer["told"]["texts"])

    (claim,) = claim_due(queue, 1)
    assert claimed() == 0
    begin(queue, claim)
    stack.move_clock(timedelta(minutes=11))
    queue.recover(10)
    assert business.row(row)["in_doubt_since"] is not None
    assert claimed() == 0


def test_a_finish_may_be_repeated(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """The second says the same and changes nothing, so a lost answer costs nothing."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    attempt = uuid4()
    begin(queue, claim, attempt)
    busy = retry(timedelta(minutes=5), why="busy")
    first = finish(queue, claim, attempt, refused(30003), busy)
    after = business.row(row)
    second = finish(queue, claim, attempt, refused(30003), busy)
    assert first.applied
    assert second == first
    assert not finish(
        queue, claim, attempt, Accepted(SID), Complete("Accepted", sid=SID)
    ).applied  # that is no repetition
    another = claim.model_copy(update={"claim_no": claim.claim_no + 1})
    assert not finish(queue, another, attempt, refused(30003), busy).applied  # nor is that
    assert business.row(row) == after
    assert after["attempt_count"] == 1


@pytest.mark.parametrize("function", ["begin_sms_attempt", "finish_sms_attempt"])
def test_a_text_is_sent_once_when_the_database_commits_and_its_answer_is_lost(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, function: str
) -> None:
    """The adapter asks again, and the function knows it was asked before."""
    row = business.due_text()
    stack.rpc_faults.drop_after_commit(function, times=1)
    (result,) = results_of(run_over(queue, sender), limit=1)
    assert result.fate == "Sent"
    assert len(stack.twilio.ledger.entries()) == 1
    assert business.row(row)["status"] == "completed"


def test_a_deferral_whose_answer_is_lost_is_still_a_deferral(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Not a lost claim."""
    business.due_text(timezone="Pacific/Honolulu")
    stack.rpc_faults.drop_after_commit("defer_sms_retry", times=1)
    (result,) = results_of(run_over(queue, sender), limit=1)
    assert result.fate == "Deferred"


DEFERRED = Defer("Quiet hours", "quiet_hours", until=NOON + timedelta(days=1), for_window=True)
HELD = Hold("No time zone is known", "no_time_zone", look_in=timedelta(minutes=15))
ENDED = Fail("No number", "unforeseen")


@pytest.mark.parametrize(("said", "other"), [(DEFERRED, HELD), (HELD, DEFERRED), (ENDED, DEFERRED)])
def test_what_was_put_off_may_be_put_off_so_once_more(
    business: Business, queue: SupabaseQueue, said: PutOff, other: PutOff
) -> None:
    """The second says the same and changes nothing; another decision is no repetition."""
    row = business.due_text()
    (claim,) = claim_due(queue, 1)
    assert queue.put_off(claim, said)
    before = business.row(row)
    assert queue.put_off(claim, said)
    assert not queue.put_off(claim, other)
    assert business.row(row) == before


def test_an_ending_whose_answer_is_lost_is_still_an_ending(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Not a lost claim."""
    business.due_text(phone=None)
    stack.rpc_faults.drop_after_commit("end_sms_retry", times=1)
    (result,) = results_of(run_over(queue, sender), limit=1)
    assert result.fate == "Failed"


def test_a_claim_whose_answer_is_lost_is_harmless(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Its rows are taken back untouched by recovery."""
    row = business.due_text()
    stack.rpc_faults.drop_after_commit("claim_sms_texts", times=1)
    with pytest.raises(QueueUnreachable, match="did not answer claim_sms_texts"):
        claim_due(queue, 10)
    assert business.row(row)["status"] == "processing"
    stack.move_clock(timedelta(minutes=11))
    queue.recover(10)
    (result,) = results_of(run_over(queue, sender), limit=10)
    assert result.fate == "Sent"
    assert business.row(row)["attempt_count"] == 1


def test_a_text_known_to_be_sent_is_never_sent_again(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Whoever queued it."""
    customer = business.customer()
    log = business.send_log(customer)
    business.connection.execute(
        "update send_logs set status = 'sent', provider_message_id = jsonb_build_object('twilio_sid', %s::text)", [SID]
    )
    row = business.queue_row(log, customer)
    (claim,) = claim_due(queue, 1)
    result = process_sms_retry_item(claim, queue=queue, sender=sender)
    assert (result.fate, result.detail) == ("Cancelled", "Already sent")
    assert business.log_of(row)["status"] == "sent"
    assert not stack.twilio.ledger.entries()


def test_a_row_that_kills_its_workers_is_claimed_alone_and_never_given_up(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Twice with others, then by itself; nobody tried to send it, so it is not failed."""
    row, other = business.due_text(), business.due_text()
    for claims in range(1, 3):
        assert {claim.id for claim in claim_due(queue, 2)} == {row, other}
        stack.move_clock(timedelta(minutes=11))
        queue.recover(10)
        assert business.row(row)["recover_count"] == claims
    for _ in range(20):
        assert claim_due(queue, 2) == []
        stack.move_clock(timedelta(minutes=16))
        assert [claim.id for claim in claim_suspect(queue)] in ([row], [other])
        stack.move_clock(timedelta(minutes=11))
        queue.recover(10)
    rows = [business.row(each) for each in (row, other)]
    assert sum(each["recover_count"] for each in rows) == 24
    assert [(each["status"], each["attempt_count"], each["last_error"]) for each in rows] == [("pending", 0, None)] * 2


def test_of_rows_under_suspicion_the_one_that_killed_fewest_workers_is_claimed_first(
    business: Business, queue: SupabaseQueue
) -> None:
    """It is the likeliest to be innocent."""
    rows = {deaths: business.due_text() for deaths in (4, 2, 3)}
    for deaths, row in rows.items():
        business.connection.execute("update sms_retry_queue set recover_count = %s where id = %s", [deaths, row])
    assert [claim.id for _ in rows for claim in claim_suspect(queue)] == [rows[2], rows[3], rows[4]]


# the deaths so far, how long after the next one a row under suspicion is claimed again
SUSPICION = [(1, 0), (2, 1), (3, 2), (10, 9), (16, 15), (40, 15)]


@pytest.mark.parametrize(("deaths", "minutes"), SUSPICION)
def test_a_row_under_suspicion_is_claimed_ever_less_often(
    stack: Stack, business: Business, queue: SupabaseQueue, deaths: int, minutes: int
) -> None:
    """Up to a quarter of an hour apart, so that what kills a worker a run does not stop all runs."""
    row = business.due_text()
    business.connection.execute("update sms_retry_queue set recover_count = %s", [deaths])
    assert queue.claim_one(row) is not None
    stack.move_clock(timedelta(minutes=11))
    [recovered] = queue.recover(10)
    waits = business.row(row)["scheduled_for"] - business.row(row)["updated_at"]
    assert (recovered.id, waits) == (row, timedelta(minutes=minutes))


def test_a_send_that_begins_clears_its_row_of_suspicion(stack: Stack, business: Business, queue: SupabaseQueue) -> None:
    """Whatever killed the workers before, it is not what claims it."""
    row = business.due_text()
    business.connection.execute("update sms_retry_queue set recover_count = 5")
    [claim] = claim_suspect(queue)
    assert begin(queue, claim).answer == "go"
    assert business.row(row)["recover_count"] == 0


def test_one_row_that_cannot_be_recovered_keeps_no_other_stuck(
    stack: Stack, business: Business, queue: SupabaseQueue
) -> None:
    """Recovery goes row by row."""
    bad, good = business.due_text(), business.due_text()
    claim_due(queue, 2)
    jam = "alter table sms_retry_queue add constraint jam check (id <> {} or status <> 'pending') not valid"
    business.connection.execute(sql.SQL(jam).format(bad))
    try:
        stack.move_clock(timedelta(minutes=11))
        assert [row.id for row in queue.recover(10)] == [good]
    finally:
        business.connection.execute("alter table sms_retry_queue drop constraint jam")
    assert [row.id for row in queue.recover(10)] == [bad]
