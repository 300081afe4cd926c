"""What a worker does with a row in doubt: look in the database, then at Twilio, and write down what that came to."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.errors import QueueUnreachable, UnforeseenError
from smsretry.pipeline import process_sms_retry_item
from smsretry.retry.evidence import matching_sids
from smsretry.retry.models import Claim, ItemResult, Sighting
from smsretry.retry.profile import Profile
from smsretry.words import Fate, InDoubtPolicy
from tests.unit.fakes import BODY, NOON, SID, FakeQueue, FakeSender

ClaimWith = Callable[..., Claim]

BEGUN = NOON - timedelta(minutes=21)
OTHER, THIRD = "SM" + "e" * 32, "SM" + "f" * 32


@pytest.fixture
def doubtful(claim_with: ClaimWith) -> ClaimWith:
    """Build a claim in doubt for twenty minutes, looked for twice, with the given fields changed."""

    def build(**changes: Any) -> Claim:
        row: dict[str, Any] = {
            "attempt_id": UUID(int=5),
            "attempt_begun_at": BEGUN,
            "in_doubt_since": NOON - timedelta(minutes=20),
            "reconcile_count": 2,
        }
        return claim_with(**(row | changes))

    return build


def sighting(sid: str = SID, *, second: int = 1) -> Sighting:
    """Our text in Twilio's list, created that many seconds after the attempt began."""
    return Sighting(sid=sid, to="+12125550123", body=BODY, created_at=BEGUN + timedelta(seconds=second))


def look(
    claim: Claim, *, queue: FakeQueue, listed: list[Sighting] | None, in_doubt: InDoubtPolicy = "resend"
) -> ItemResult:
    """One look at Twilio's list; nothing is ever sent by it."""
    sender = FakeSender(listed=listed)
    result = process_sms_retry_item(claim, queue=queue, sender=sender, profile=Profile(in_doubt=in_doubt))
    assert sender.texts == []
    return result


def test_a_text_that_is_found_at_twilio_is_completed(doubtful: ClaimWith) -> None:
    """With Twilio's name for it."""
    queue = FakeQueue()
    result = look(doubtful(), queue=queue, listed=[sighting()])
    assert (result.fate, result.detail) == ("Sent", f"Found at Twilio as {SID}")
    assert queue.told == [("reconcile", {"verdict": "accepted", "settled_by": "reconcile", "sid": SID})]


def test_what_the_database_knows_is_not_asked_of_twilio(doubtful: ClaimWith) -> None:
    """The application's webhook was there first."""
    queue, sender = FakeQueue(), FakeSender(listed=None)
    result = process_sms_retry_item(doubtful(known_sid=OTHER), queue=queue, sender=sender)
    assert (result.fate, sender.looks) == ("Sent", [])
    assert queue.told == [("reconcile", {"verdict": "accepted", "settled_by": "callback", "sid": OTHER})]


def test_a_send_log_marked_as_sent_settles_its_text_without_a_sid(doubtful: ClaimWith) -> None:
    """There is no name to write down, and none is made up."""
    queue = FakeQueue()
    result = look(doubtful(send_log_status="delivered"), queue=queue, listed=None)
    assert (result.fate, result.detail) == ("Sent", "Marked as sent")
    assert queue.told == [("reconcile", {"verdict": "accepted", "settled_by": "callback"})]


def test_a_message_that_another_attempt_owns_gives_way_to_the_next_one(doubtful: ClaimWith) -> None:
    """The same text twice to the same person: each has its own message."""
    queue = FakeQueue(taken={SID, OTHER})
    listed = [sighting(THIRD, second=3), sighting(OTHER, second=2), sighting(SID, second=1)]
    assert look(doubtful(), queue=queue, listed=listed).fate == "Sent"
    assert [values["sid"] for _, values in queue.told] == [SID, OTHER, THIRD]


@pytest.mark.parametrize(("looks", "verdict", "fate"), [(0, "look_again", "InDoubt"), (2, "resend", "RetryScheduled")])
def test_when_every_message_is_anothers_there_is_no_evidence(
    doubtful: ClaimWith, looks: int, verdict: str, fate: Fate
) -> None:
    """As if the list had been empty."""
    queue = FakeQueue(taken={SID})
    assert look(doubtful(reconcile_count=looks), queue=queue, listed=[sighting()]).fate == fate
    assert [values["verdict"] for _, values in queue.told] == ["accepted", verdict]


def test_a_sid_of_the_send_log_that_an_earlier_attempt_owns_still_says_that_the_text_went_out(
    doubtful: ClaimWith,
) -> None:
    """A late report about the first attempt, while the second is in doubt: completed, and no third is sent."""
    queue = FakeQueue(taken={SID})
    result = look(doubtful(known_sid=SID), queue=queue, listed=None)
    assert (result.fate, result.detail) == ("Sent", "Marked as sent")
    assert [values.get("sid") for _, values in queue.told] == [SID, None]


@pytest.mark.parametrize("looks", [0, 2, 50])
@pytest.mark.parametrize("in_doubt", ["resend", "hold"])
def test_a_list_that_cannot_be_had_is_no_absence(doubtful: ClaimWith, looks: int, in_doubt: InDoubtPolicy) -> None:
    """However often it failed: the look does not count, and the text stays in doubt."""
    queue = FakeQueue()
    result = look(doubtful(reconcile_count=looks), queue=queue, listed=None, in_doubt=in_doubt)
    assert (result.fate, result.detail) == ("InDoubt", "Twilio's list could not be had")
    wait = timedelta(minutes={0: 1}.get(looks, 15))
    assert queue.told == [("reconcile", {"verdict": "look_failed", "look_in": wait})]
    assert result.next_at == NOON + wait


def test_a_look_in_vain_is_followed_by_another(doubtful: ClaimWith) -> None:
    """Not yet three looks."""
    queue = FakeQueue()
    result = look(doubtful(reconcile_count=0), queue=queue, listed=[])
    assert (result.fate, result.detail, result.next_at) == (
        "InDoubt",
        "No evidence yet",
        NOON + timedelta(minutes=5),
    )
    assert queue.told == [("reconcile", {"verdict": "look_again", "look_in": timedelta(minutes=5)})]


def test_after_the_quarantine_a_text_is_sent_again_by_the_claim_and_not_by_the_look(doubtful: ClaimWith) -> None:
    """It goes back to pending, where consent, hours and attempts are checked anew."""
    queue = FakeQueue()
    result = look(doubtful(), queue=queue, listed=[])
    assert (result.fate, result.detail, result.next_at) == ("RetryScheduled", "It did not go out", NOON)
    assert queue.told == [("reconcile", {"verdict": "resend"})]


def test_after_the_quarantine_a_text_may_be_held_for_a_person(doubtful: ClaimWith) -> None:
    """With the reason and what to do."""
    queue = FakeQueue()
    result = look(doubtful(), queue=queue, listed=[], in_doubt="hold")
    assert result.fate == "Failed"
    assert result.detail == "In doubt: no evidence after 3 looks; look in Twilio's log, then decide"
    assert queue.told == [("reconcile", {"verdict": "hold", "error": result.detail})]


def test_the_list_is_asked_for_the_number_from_before_the_attempt_began(doubtful: ClaimWith) -> None:
    """Twilio's clock may be behind the database's."""
    sender = FakeSender()
    process_sms_retry_item(doubtful(), queue=FakeQueue(), sender=sender)
    assert sender.looks == [("+12125550123", BEGUN - timedelta(seconds=5))]


def test_a_look_reaches_back_to_every_message_that_would_be_evidence(doubtful: ClaimWith) -> None:
    """Twilio's times are whole seconds, and paging stops at the first message that is older than `since`."""
    begun = BEGUN + timedelta(milliseconds=900)
    oldest = Sighting(sid=SID, to="+12125550123", body=BODY, created_at=BEGUN - timedelta(seconds=5))
    assert matching_sids([oldest], phone="+12125550123", body=BODY, begun_at=begun, in_doubt_since=NOON) == [SID]
    sender = FakeSender()
    process_sms_retry_item(doubtful(attempt_begun_at=begun), queue=FakeQueue(), sender=sender)
    assert sender.looks[0][1] <= oldest.created_at


@pytest.mark.parametrize(
    ("listed", "looks"),
    [([sighting()], 2), ([], 0), (None, 0), ([], 2)],
    ids=["found", "look again", "look failed", "resend"],
)
def test_a_worker_that_lost_a_doubtful_row_during_its_look_says_so(
    doubtful: ClaimWith, listed: list[Sighting] | None, looks: int
) -> None:
    """Another worker has it, and nothing was changed: neither sent nor held nor looked for again."""
    queue = FakeQueue(holds=False)
    assert look(doubtful(reconcile_count=looks), queue=queue, listed=listed).fate == "Lost"


def test_an_unforeseen_error_during_a_look_leaves_the_row_in_doubt(doubtful: ClaimWith) -> None:
    """It is not failed, for its text may have gone out; recovery takes it back, and the message quotes nobody."""
    queue = FakeQueue(trouble={"reconcile": ValueError(f"a bug for +12125550123: {BODY}")})
    with pytest.raises(UnforeseenError) as raised:
        look(doubtful(), queue=queue, listed=[])
    assert queue.calls == ["reconcile"]
    assert BODY not in str(raised.value)
    assert "2125550123" not in str(raised.value)


def test_an_error_of_the_queue_during_a_look_passes_through(doubtful: ClaimWith) -> None:
    """The row keeps its state until recovery takes it back."""
    trouble = QueueUnreachable("Supabase did not answer")
    with pytest.raises(QueueUnreachable) as raised:
        look(doubtful(), queue=FakeQueue(trouble={"reconcile": trouble}), listed=[])
    assert raised.value is trouble
