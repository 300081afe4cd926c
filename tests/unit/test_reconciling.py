"""What a worker does with a row in doubt: look in the database, then ask the provider, and write down what it says."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.errors import QueueUnreachable, UnforeseenError
from smsretry.retry.decision import Hold, LookAgain, Resend, Settle
from smsretry.retry.evidence import AMBIGUOUS, CLOCK_ERROR, Sent, find
from smsretry.retry.models import Claim, ItemResult, Look, Sighting
from smsretry.retry.profile import Profile
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.vocabulary import Fate, InDoubtPolicy
from tests.support.builders import BODY, NOON, PHONE, SENDER, SID, claim_with
from tests.support.builders import sighting as listed_as
from tests.unit.fakes import FakeQueue, FakeSender

BEGUN = NOON - timedelta(minutes=21)
OTHER, THIRD = "SM" + "e" * 32, "SM" + "f" * 32


def doubtful(**changes: Any) -> Claim:
    """A claim in doubt for twenty minutes, looked for twice, with the given fields changed."""
    row: dict[str, Any] = {
        "attempt_id": UUID(int=5),
        "attempt_begun_at": BEGUN,
        "in_doubt_since": NOON - timedelta(minutes=20),
        "reconcile_count": 2,
        "sent_to": PHONE,
        "sent_body": BODY,
        "sent_by": SENDER,
    }
    return claim_with(**(row | changes))


def sighting(sid: str = SID, *, second: int = 1, body: str = BODY) -> Sighting:
    """Our text in the provider's list, created that many seconds after the attempt began."""
    return listed_as(sid, created_at=BEGUN + timedelta(seconds=second), body=body)


def look(
    claim: Claim, *, queue: FakeQueue, listed: list[Sighting] | None, in_doubt: InDoubtPolicy = "resend"
) -> ItemResult:
    """One look at the provider's list; nothing is ever sent by it."""
    sender = FakeSender(listed=listed)
    result = process_sms_retry_item(claim, queue=queue, sender=sender, profile=Profile(in_doubt=in_doubt))
    assert sender.texts == []
    return result


def test_a_text_that_the_provider_has_is_completed() -> None:
    """With the provider's name for it."""
    queue = FakeQueue()
    result = look(doubtful(), queue=queue, listed=[sighting()])
    assert (result.fate, result.detail) == ("Sent", f"Found in the provider's records as {SID}")
    assert queue.told == [("reconcile", Settle(SID, "reconcile"))]


def test_what_the_database_knows_is_not_asked_of_the_provider() -> None:
    """The application's webhook was there first."""
    queue, sender = FakeQueue(), FakeSender(listed=None)
    result = process_sms_retry_item(doubtful(known_sid=OTHER), queue=queue, sender=sender)
    assert (result.fate, sender.looks) == ("Sent", [])
    assert queue.told == [("reconcile", Settle(OTHER, "callback"))]


def test_a_send_log_marked_as_sent_settles_its_text_without_a_sid() -> None:
    """There is no name to write down, and none is made up."""
    queue = FakeQueue()
    result = look(doubtful(log_says_sent=True), queue=queue, listed=None)
    assert (result.fate, result.detail) == ("Sent", "Marked as sent")
    assert queue.told == [("reconcile", Settle(None, "callback"))]


def test_a_message_that_another_attempt_owns_gives_way_to_the_next_one() -> None:
    """The same text twice to the same person: each has its own message."""
    queue = FakeQueue(taken={SID, OTHER})
    listed = [sighting(THIRD, second=3), sighting(OTHER, second=2), sighting(SID, second=1)]
    assert look(doubtful(), queue=queue, listed=listed).fate == "Sent"
    assert queue.decisions == [Settle(sid, "reconcile") for sid in (SID, OTHER, THIRD)]


@pytest.mark.parametrize(
    ("looks", "then", "fate"),
    [
        (0, LookAgain(timedelta(minutes=5), failed=False, why="No evidence yet", why_code="no_evidence"), "InDoubt"),
        (2, Resend(), "RetryScheduled"),
    ],
)
def test_when_every_message_is_anothers_there_is_no_evidence(looks: int, then: LookAgain | Resend, fate: Fate) -> None:
    """As if the list had been empty."""
    queue = FakeQueue(taken={SID})
    assert look(doubtful(reconcile_count=looks), queue=queue, listed=[sighting()]).fate == fate
    assert queue.decisions == [Settle(SID, "reconcile"), then]


@pytest.mark.parametrize("looks", [0, 2, 50])
def test_a_message_that_may_be_an_unanswered_sends_is_neither_evidence_nor_its_absence(looks: int) -> None:
    """The look does not count, and no further message is tried."""
    queue = FakeQueue(unanswered={SID})
    result = look(doubtful(reconcile_count=looks), queue=queue, listed=[sighting(), sighting(OTHER, second=2)])
    why = "A send to the same number has no answer yet: what was found may be that one's"
    wait = timedelta(minutes={0: 1}.get(looks, 15))
    assert (result.fate, result.detail, result.next_at) == ("InDoubt", why, NOON + wait)
    assert queue.decisions == [Settle(SID, "reconcile"), LookAgain(wait, failed=True, why=why, why_code="ambiguous")]


def test_a_sid_of_the_send_log_that_an_earlier_attempt_owns_still_says_that_the_text_went_out() -> None:
    """A late report about the first attempt, while the second is in doubt: completed, and no third is sent."""
    queue = FakeQueue(taken={SID})
    result = look(doubtful(known_sid=SID), queue=queue, listed=None)
    assert (result.fate, result.detail) == ("Sent", "Marked as sent")
    assert queue.decisions == [Settle(SID, "callback"), Settle(None, "callback")]


@pytest.mark.parametrize("looks", [0, 2, 50])
@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
def test_a_list_that_cannot_be_had_is_no_absence(looks: int, in_doubt: InDoubtPolicy) -> None:
    """However often it failed: the look does not count, and the text stays in doubt."""
    queue = FakeQueue()
    result = look(doubtful(reconcile_count=looks), queue=queue, listed=None, in_doubt=in_doubt)
    assert (result.fate, result.detail) == ("InDoubt", "The provider's list could not be had")
    wait = timedelta(minutes={0: 1}.get(looks, 15))
    assert queue.told == [("reconcile", LookAgain(wait, failed=True, why=result.detail, why_code="list_unavailable"))]
    assert result.next_at == NOON + wait


def test_a_look_in_vain_is_followed_by_another() -> None:
    """Not yet three looks."""
    queue = FakeQueue()
    result = look(doubtful(reconcile_count=0), queue=queue, listed=[])
    assert (result.fate, result.detail, result.next_at) == (
        "InDoubt",
        "No evidence yet",
        NOON + timedelta(minutes=5),
    )
    assert queue.told == [("reconcile", LookAgain(timedelta(minutes=5), False, result.detail, "no_evidence"))]


def test_after_the_quarantine_a_text_is_sent_again_by_the_claim_and_not_by_the_look() -> None:
    """It goes back to pending, where consent, hours and attempts are checked anew."""
    queue = FakeQueue()
    result = look(doubtful(), queue=queue, listed=[])
    assert (result.fate, result.detail, result.next_at) == ("RetryScheduled", "No evidence that it went out", NOON)
    assert queue.told == [("reconcile", Resend())]


def test_after_the_quarantine_a_text_may_be_held_for_a_person() -> None:
    """With the reason and what to do."""
    queue = FakeQueue()
    result = look(doubtful(), queue=queue, listed=[], in_doubt="hold")
    assert result.fate == "Held"
    assert result.detail == ("In doubt: no evidence after 3 looks. Look in the provider's log, then `smsretry resolve`")
    assert result.next_at == NOON + timedelta(hours=1)
    assert queue.told == [("reconcile", Hold(result.detail, "no_evidence", timedelta(hours=1)))]


@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
@pytest.mark.parametrize("looks", [0, 2, 50])
def test_a_message_with_another_body_holds_the_text_until_a_person_says_whose_it_is(
    looks: int, in_doubt: InDoubtPolicy
) -> None:
    """It may be ours with a changed body: a resend could double the text, and to settle it could lose it."""
    queue = FakeQueue()
    result = look(doubtful(reconcile_count=looks), queue=queue, listed=[sighting(body="")], in_doubt=in_doubt)
    assert (result.fate, result.detail, result.next_at) == ("Held", AMBIGUOUS, NOON + timedelta(hours=1))
    assert queue.told == [("reconcile", Hold(AMBIGUOUS, "ambiguous", timedelta(hours=1), (SID,)))]


def test_a_text_that_is_held_past_its_expiry_has_failed() -> None:
    """The queue ends it then, with what was to be decided as the reason."""
    result = look(doubtful(expires_at=NOON), queue=FakeQueue(), listed=None)
    assert (result.fate, result.next_at) == ("Failed", None)
    assert result.detail.startswith("In doubt: the provider's list could not be had")


def test_what_is_surely_ours_is_tried_before_what_is_ambiguous() -> None:
    """The text is completed, and nobody is asked."""
    queue = FakeQueue()
    assert look(doubtful(), queue=queue, listed=[sighting(OTHER, body=""), sighting(second=2)]).fate == "Sent"
    assert queue.told == [("reconcile", Settle(SID, "reconcile"))]


@pytest.mark.parametrize(
    ("looks", "then", "fate"),
    [
        (0, LookAgain(timedelta(minutes=5), failed=False, why="No evidence yet", why_code="no_evidence"), "InDoubt"),
        (2, Resend(), "RetryScheduled"),
    ],
)
def test_an_ambiguous_message_that_is_anothers_holds_nothing(looks: int, then: LookAgain | Resend, fate: Fate) -> None:
    """The application's own text to the same person: as if the list had been empty."""
    queue = FakeQueue(taken={OTHER})
    assert look(doubtful(reconcile_count=looks), queue=queue, listed=[sighting(OTHER, body="Hi")]).fate == fate
    assert queue.decisions == [Hold(AMBIGUOUS, "ambiguous", timedelta(hours=1), (OTHER,)), then]


def test_an_ambiguous_message_that_may_be_an_unanswered_sends_holds_nothing_yet() -> None:
    """The look does not count; once that send has its answer the next one tells."""
    queue = FakeQueue(unanswered={OTHER})
    result = look(doubtful(), queue=queue, listed=[sighting(OTHER, body="Hi")])
    why = "A send to the same number has no answer yet: what was found may be that one's"
    assert (result.fate, result.detail) == ("InDoubt", why)


CHANGED_SINCE = [{"phone": "+12125550199"}, {"body": "Something else"}, {"phone": None, "body": None}]


@pytest.mark.parametrize("changes", CHANGED_SINCE, ids=["number", "body", "deleted"])
def test_evidence_is_compared_with_what_was_sent_and_not_with_what_the_rows_say_now(changes: dict[str, Any]) -> None:
    """Number and body may be changed, and customer and send log deleted, between the send and the look."""
    queue, sender = FakeQueue(), FakeSender(listed=[sighting()])
    assert process_sms_retry_item(doubtful(**changes), queue=queue, sender=sender).fate == "Sent"
    assert [number for number, _ in sender.looks] == [PHONE]


@pytest.mark.parametrize("sent_by", ["MG" + "1" * 32, "+12125550100", None])
def test_the_list_is_asked_for_the_sender_of_then_by_the_databases_clock_of_now(sent_by: str | None) -> None:
    """The settings may name another sender since."""
    sender = FakeSender()
    process_sms_retry_item(doubtful(sent_by=sent_by), queue=FakeQueue(), sender=sender)
    assert sender.asked_of == [(sent_by, NOON)]


@pytest.mark.parametrize("gone", [{"sent_to": None}, {"attempt_begun_at": None}])
def test_without_what_was_sent_the_list_is_not_asked_and_that_is_no_absence(gone: dict[str, Any]) -> None:
    """An older installation's row: there is nothing to compare with."""
    queue, sender = FakeQueue(), FakeSender()
    assert process_sms_retry_item(doubtful(**gone), queue=queue, sender=sender).fate == "InDoubt"
    assert sender.looks == []
    (decision,) = queue.decisions
    assert isinstance(decision, LookAgain)
    assert decision.failed


def test_the_list_is_asked_for_the_number_from_before_the_attempt_began() -> None:
    """The database's clock may have been wrong by then."""
    sender = FakeSender()
    process_sms_retry_item(doubtful(), queue=FakeQueue(), sender=sender)
    assert sender.looks == [(PHONE, BEGUN - CLOCK_ERROR)]


def test_a_look_reaches_back_to_every_message_that_would_be_evidence() -> None:
    """The provider's times are whole seconds, and paging stops at the first message that is older than `since`."""
    begun, oldest = BEGUN + timedelta(milliseconds=900), BEGUN - CLOCK_ERROR
    listed = Look(sightings=(listed_as(created_at=oldest),))
    assert find(listed, Sent(PHONE, BODY, begun, NOON)).ambiguous == (SID,)
    sender = FakeSender()
    process_sms_retry_item(doubtful(attempt_begun_at=begun), queue=FakeQueue(), sender=sender)
    assert sender.looks[0][1] <= oldest


@pytest.mark.parametrize(
    ("listed", "looks"),
    [([sighting()], 2), ([], 0), (None, 0), ([], 2)],
    ids=["found", "look again", "look failed", "resend"],
)
def test_a_worker_that_lost_a_doubtful_row_during_its_look_says_so(listed: list[Sighting] | None, looks: int) -> None:
    """Another worker has it, and nothing was changed: neither sent nor held nor looked for again."""
    queue = FakeQueue(holds=False)
    assert look(doubtful(reconcile_count=looks), queue=queue, listed=listed).fate == "Lost"


def test_an_unforeseen_error_during_a_look_leaves_the_row_in_doubt() -> None:
    """It is not failed, for its text may have gone out; recovery takes it back, and the message quotes nobody."""
    queue = FakeQueue(trouble={"reconcile": ValueError(f"a bug for {PHONE}: {BODY}")})
    with pytest.raises(UnforeseenError) as raised:
        look(doubtful(), queue=queue, listed=[])
    assert queue.calls == ["reconcile"]
    assert BODY not in str(raised.value)
    assert PHONE[2:] not in str(raised.value)


def test_an_unforeseen_error_does_not_quote_what_was_sent_either() -> None:
    """The rows may hold another number and another text by now."""
    queue = FakeQueue(trouble={"reconcile": ValueError(f"a bug for {PHONE}: {BODY}")})
    with pytest.raises(UnforeseenError) as raised:
        look(doubtful(phone="+12125550199", body="Something else"), queue=queue, listed=[])
    assert "its message is withheld" in str(raised.value)
    assert BODY not in str(raised.value)
    assert PHONE[2:] not in str(raised.value)


def test_an_error_of_the_queue_during_a_look_passes_through() -> None:
    """The row keeps its state until recovery takes it back."""
    trouble = QueueUnreachable("Supabase did not answer")
    with pytest.raises(QueueUnreachable) as raised:
        look(doubtful(), queue=FakeQueue(trouble={"reconcile": trouble}), listed=[])
    assert raised.value is trouble
