"""What a worker does with a text in doubt: look in the database, then ask the provider, and write down what it says."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from smsretry.errors import QueueUnreachable, UnforeseenError
from smsretry.retry.decision import AfterLook, Complete, Hold, LookAgain, Retry
from smsretry.retry.doubt import AMBIGUOUS, after_look, known_evidence
from smsretry.retry.evidence import CLOCK_ERROR, Sent, find
from smsretry.retry.models import Claim, ItemResult, Look, Sighting
from smsretry.retry.profile import Profile
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.vocabulary import InDoubtPolicy
from tests.support.builders import BODY, NOON, PHONE, SENDER, SID, claim_with
from tests.support.builders import sighting as listed_as
from tests.unit.fakes import FakeQueue, FakeSender

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BEGUN = NOON - 21 * MINUTE
OTHER, THIRD = "SM" + "e" * 32, "SM" + "f" * 32
POLICIES: list[InDoubtPolicy] = ["resend", "hold"]
LOOK_YOURSELF = "Look in the provider's log, then `smsretry resolve`"
NO_LIST = f"In doubt: the provider's list could not be had. {LOOK_YOURSELF}"
UNANSWERED = "A send to the same number has no answer yet: what was found may be that one's"
NOTHING_YET = LookAgain("No evidence yet", "no_evidence", look_in=5 * MINUTE)
SEND_AGAIN = Retry("No evidence that it went out", "no_evidence", delay=timedelta(0), reason=None)
MARKED = Complete("Marked as sent", sid=None, by="callback")


def doubtful(**changes: Any) -> Claim:
    """A claim in doubt for twenty minutes, looked for twice, with the given fields changed."""
    row: dict[str, Any] = {
        "attempt_id": UUID(int=5),
        "attempt_begun_at": BEGUN,
        "in_doubt_since": NOON - 20 * MINUTE,
        "reconcile_count": 2,
        "sent_to": PHONE,
        "sent_body": BODY,
        "sent_by": SENDER,
    }
    return claim_with(**(row | changes))


def sighting(sid: str = SID, *, second: float = 1, body: str = BODY) -> Sighting:
    """Our text in the provider's list, created that many seconds after the attempt began."""
    return listed_as(sid, created_at=BEGUN + second * SECOND, body=body)


def found(sid: str = SID) -> Complete:
    """What is concluded of a message that is the text's."""
    return Complete(f"Found in the provider's records as {sid}", sid=sid, by="reconcile")


def ambiguous(*sids: str) -> Hold:
    """What is concluded of messages that may be the text's."""
    return Hold(AMBIGUOUS, "ambiguous", look_in=HOUR, ambiguous=sids)


def unseen(why: str, minutes: float, *, why_code: Any = "list_unavailable") -> LookAgain:
    """What is concluded of a look that could not be made."""
    return LookAgain(why, why_code, look_in=minutes * MINUTE, failed=True)


def conclusions_of(
    claim: Claim, sightings: list[Sighting] | None, in_doubt: InDoubtPolicy = "resend"
) -> list[AfterLook]:
    """What the provider's list says of a text in doubt, in order."""
    look = None if sightings is None else Look(sightings=tuple(sightings))
    return list(after_look(claim, look, at=NOON, profile=Profile(in_doubt=in_doubt)))


def looked(
    claim: Claim, *, queue: FakeQueue, listed: list[Sighting] | None, in_doubt: InDoubtPolicy = "resend"
) -> ItemResult:
    """One look of a worker; nothing is ever sent by it."""
    sender = FakeSender(listed=listed)
    result = process_sms_retry_item(claim, queue=queue, sender=sender, profile=Profile(in_doubt=in_doubt))
    assert sender.texts == []
    return result


# What is concluded


def test_the_send_log_may_know_what_became_of_a_text_in_doubt() -> None:
    """A SID always; that it was sent, because `begin` refuses a text whose log says so before. SQL knows the words."""
    by_sid = Complete(f"Found in the provider's records as {SID}", sid=SID, by="callback")
    for says_sent in (True, False):
        assert known_evidence(claim_with(known_sid=SID, log_says_sent=says_sent)) == [by_sid, MARKED]
    assert known_evidence(claim_with(log_says_sent=True)) == [MARKED]
    assert known_evidence(claim_with()) == []


UNSEEN = unseen("The provider's list could not be had", 15)
LOOKS: list[tuple[int, float, list[Sighting] | None, AfterLook | None]] = [
    # looks in vain before, minutes in doubt, what the list holds, what is done; None: it is over
    # The first looks: the list lags, so an absence means little.
    (0, 1, [], NOTHING_YET),
    (1, 6, [], LookAgain("No evidence yet", "no_evidence", look_in=15 * MINUTE)),
    # Not three looks, however long it is ago.
    (0, 60, [], NOTHING_YET),
    # Not fifteen minutes, however often one looked.
    (2, 14.99, [], LookAgain("No evidence yet", "no_evidence", look_in=15 * MINUTE)),
    (9, 14.99, [], LookAgain("No evidence yet", "no_evidence", look_in=15 * MINUTE)),
    # Three looks and fifteen minutes.
    (2, 15, [], None),
    (9, 600, [], None),
    # The clock was set back: the looks decide.
    (1, -60, [], LookAgain("No evidence yet", "no_evidence", look_in=15 * MINUTE)),
    (2, -60, [], None),
    # A look that failed says nothing, however many others there were.
    (0, 1, None, unseen("The provider's list could not be had", 1)),
    (2, 15, None, UNSEEN),
    (9, 59, None, UNSEEN),
    # For an hour: it goes on, and a person is told.
    (0, 60, None, Hold(NO_LIST, "list_unavailable", look_in=15 * MINUTE)),
    (9, 600, None, Hold(NO_LIST, "list_unavailable", look_in=15 * MINUTE)),
]


@pytest.mark.parametrize("in_doubt", POLICIES)
@pytest.mark.parametrize(("looks", "minutes", "sightings", "then"), LOOKS)
def test_a_text_in_doubt_is_given_up_for_unsent_only_after_three_looks_and_fifteen_minutes(
    looks: int, minutes: float, sightings: list[Sighting] | None, then: AfterLook | None, in_doubt: InDoubtPolicy
) -> None:
    """Then it is sent again, or held for a person; evidence settles it at any time."""
    claim = doubtful(in_doubt_since=NOON - minutes * MINUTE, reconcile_count=looks)
    why = f"In doubt: no evidence after {looks + 1} looks. {LOOK_YOURSELF}"
    over = SEND_AGAIN if in_doubt == "resend" else Hold(why, "no_evidence", look_in=HOUR)
    assert conclusions_of(claim, sightings, in_doubt)[0] == (then or over)
    if minutes > 0:
        known = doubtful(in_doubt_since=NOON - minutes * MINUTE, attempt_begun_at=NOON - minutes * MINUTE)
        assert conclusions_of(known, [listed_as(SID, created_at=NOON - minutes * MINUTE)], in_doubt)[0] == found()


CANDIDATES: list[tuple[list[Sighting], list[AfterLook]]] = [
    # what the list holds, what is concluded, in this order, until it is no other attempt's
    ([], [NOTHING_YET]),
    ([sighting()], [found(), NOTHING_YET]),
    ([sighting(OTHER, second=2), sighting()], [found(), found(OTHER), NOTHING_YET]),
    # What fits in all but the body is neither ours nor an absence: a person says, unless it turns out to be another's.
    ([sighting(OTHER, body="")], [ambiguous(OTHER), NOTHING_YET]),
    ([sighting(OTHER, body=""), sighting(second=2)], [found(), ambiguous(OTHER), NOTHING_YET]),
]


@pytest.mark.parametrize(("sightings", "conclusions"), CANDIDATES)
def test_a_message_of_another_attempt_is_no_evidence(sightings: list[Sighting], conclusions: list[AfterLook]) -> None:
    """The oldest one that nobody owns is this text's. When each has an owner, it is as if the list had been empty."""
    assert conclusions_of(doubtful(reconcile_count=0), sightings) == conclusions


def test_an_ambiguous_message_holds_a_text_however_long_one_has_looked() -> None:
    """A resend could double it, and to settle it could lose it, whatever the owner chose for texts without evidence."""
    for looks in (0, 2, 50):
        for in_doubt in POLICIES:
            claim = doubtful(reconcile_count=looks)
            assert conclusions_of(claim, [sighting(OTHER, body="")], in_doubt)[0] == ambiguous(OTHER)
    unrecorded = doubtful(sent_body=None)  # nothing equals nothing, and that proves nothing
    assert conclusions_of(unrecorded, [sighting(OTHER, body="")])[0] == ambiguous(OTHER)


def test_an_expired_text_whose_list_cannot_be_had_is_held() -> None:
    """It cannot be sent again, and may have gone out: a person looks. With a life that has not begun, one looks on."""
    expired = doubtful(in_doubt_since=NOON - MINUTE, expires_at=NOON)
    assert conclusions_of(expired, None) == [Hold(NO_LIST, "list_unavailable", look_in=15 * MINUTE)]
    unbegun = doubtful(in_doubt_since=NOON - MINUTE, expires_at=None, reconcile_count=50)
    assert conclusions_of(unbegun, None) == [UNSEEN]


@pytest.mark.parametrize(
    ("sightings", "before"), [([], []), ([sighting()], [found()]), ([sighting(OTHER, body="")], [ambiguous(OTHER)])]
)
def test_a_list_that_lacks_something_proves_what_is_in_it_and_no_absence(
    sightings: list[Sighting], before: list[AfterLook]
) -> None:
    """A person is told of it, at once: to look again will not make it shorter."""
    for looks in (0, 50):
        look = Look(sightings=tuple(sightings), lacks="is longer than anybody reads")
        *told, last = after_look(doubtful(reconcile_count=looks), look, at=NOON)
        assert told == before
        assert isinstance(last, Hold)
        assert last.why.startswith("In doubt: the provider's list is longer than anybody reads, so that it proves no")
        assert last.look_in == HOUR


def test_nothing_is_surely_ours_where_the_clock_was_set_back_during_the_send() -> None:
    """What would be the text is named to the person who decides; without any, the looks decide as ever."""
    claim = doubtful(in_doubt_since=BEGUN - 5 * MINUTE)
    assert conclusions_of(claim, [sighting()]) == [ambiguous(SID), SEND_AGAIN]
    assert conclusions_of(claim, []) == [SEND_AGAIN]


# What is done about it


def test_a_text_that_the_provider_has_is_completed_with_its_name_for_it() -> None:
    """Also where nobody knows the attempt any more: it is looked for around the beginning of its doubt."""
    queue = FakeQueue()
    result = looked(doubtful(), queue=queue, listed=[sighting()])
    assert (result.fate, result.detail) == ("Sent", found().why)
    assert queue.told == [("reconcile", found())]
    assert conclusions_of(doubtful(in_doubt_since=BEGUN, attempt_begun_at=None), [sighting()])[0] == found()


def test_what_the_database_knows_is_not_asked_of_the_provider() -> None:
    """The application's webhook was there first. If there is no name to write down, none is made up."""
    for known, decision in (({"known_sid": OTHER}, found(OTHER)), ({"log_says_sent": True}, MARKED)):
        queue, sender = FakeQueue(), FakeSender(listed=None)
        result = process_sms_retry_item(doubtful(**known), queue=queue, sender=sender)
        assert (result.fate, result.detail, sender.looks) == ("Sent", decision.why, [])
        [(call, told)] = queue.told
        assert isinstance(told, Complete)
        assert (call, told.sid, told.by) == ("reconcile", decision.sid, "callback")


def test_a_sid_of_the_send_log_that_an_earlier_attempt_owns_still_says_that_the_text_went_out() -> None:
    """A late report about the first attempt, while the second is in doubt: completed, and no third is sent."""
    queue = FakeQueue(taken={SID})
    result = looked(doubtful(known_sid=SID), queue=queue, listed=None)
    assert (result.fate, result.detail, queue.decisions[-1]) == ("Sent", "Marked as sent", MARKED)


def test_a_message_that_another_attempt_owns_gives_way_to_the_next_one() -> None:
    """The same text twice to the same person: each has its own message."""
    queue = FakeQueue(taken={SID, OTHER})
    listed = [sighting(THIRD, second=3), sighting(OTHER, second=2), sighting(SID, second=1)]
    assert looked(doubtful(), queue=queue, listed=listed).fate == "Sent"
    assert queue.decisions == [found(SID), found(OTHER), found(THIRD)]


@pytest.mark.parametrize("body", [BODY, "Hi"], ids=["with our words", "with other words"])
def test_when_every_message_is_anothers_there_is_no_evidence(body: str) -> None:
    """As if the list had been empty. It is sent again by a claim, where consent, hours and attempts are checked."""
    first = found() if body == BODY else ambiguous(SID)
    for looks, then, fate in ((0, NOTHING_YET, "InDoubt"), (2, SEND_AGAIN, "RetryScheduled")):
        queue = FakeQueue(taken={SID})
        result = looked(doubtful(reconcile_count=looks), queue=queue, listed=[sighting(body=body)])
        assert (result.fate, queue.decisions) == (fate, [first, then])


@pytest.mark.parametrize("body", [BODY, "Hi"], ids=["with our words", "with other words"])
def test_a_message_that_may_be_an_unanswered_sends_is_neither_evidence_nor_its_absence(body: str) -> None:
    """The look does not count, and no further message is tried. Once that send has its answer, the next one tells."""
    first = found() if body == BODY else ambiguous(SID)
    for looks, minutes in ((0, 1), (2, 15), (50, 15)):
        queue = FakeQueue(unanswered={SID})
        result = looked(doubtful(reconcile_count=looks), queue=queue, listed=[sighting(body=body)])
        assert (result.fate, result.detail, result.next_at) == ("InDoubt", UNANSWERED, NOON + minutes * MINUTE)
        assert queue.decisions == [first, unseen(UNANSWERED, minutes, why_code="ambiguous")]


@pytest.mark.parametrize(
    ("listed", "in_doubt", "looks", "result"),
    [
        ([], "resend", 0, ("InDoubt", "No evidence yet", NOON + 5 * MINUTE)),
        ([], "resend", 2, ("RetryScheduled", "No evidence that it went out", NOON)),
        ([], "hold", 2, ("Held", f"In doubt: no evidence after 3 looks. {LOOK_YOURSELF}", NOON + HOUR)),
        (None, "resend", 50, ("InDoubt", "The provider's list could not be had", NOON + 15 * MINUTE)),
        ([sighting(body="")], "resend", 50, ("Held", AMBIGUOUS, NOON + HOUR)),
    ],
    ids=["look again", "send again", "hold", "look failed", "ambiguous"],
)
def test_a_look_comes_to_what_was_decided_and_is_lost_with_its_claim(
    listed: list[Sighting] | None, in_doubt: InDoubtPolicy, looks: int, result: tuple[str, str, object]
) -> None:
    """Another worker may have the row by then: nothing was changed."""
    claim = doubtful(reconcile_count=looks)
    came_to = looked(claim, queue=FakeQueue(), listed=listed, in_doubt=in_doubt)
    assert (came_to.fate, came_to.detail, came_to.next_at) == result
    assert looked(claim, queue=FakeQueue(holds=False), listed=listed, in_doubt=in_doubt).fate == "Lost"


def test_a_text_that_is_held_past_its_expiry_has_failed() -> None:
    """The queue ends it then, with what was to be decided as the reason."""
    result = looked(doubtful(expires_at=NOON), queue=FakeQueue(), listed=None)
    assert (result.fate, result.next_at, result.detail) == ("Failed", None, NO_LIST)


# What is asked


@pytest.mark.parametrize(
    "changes",
    [{"phone": "+12125550199"}, {"body": "Something else"}, {"phone": None, "body": None}],
    ids=["number", "body", "deleted"],
)
def test_evidence_is_compared_with_what_was_sent_and_not_with_what_the_rows_say_now(changes: dict[str, Any]) -> None:
    """Number and body may be changed, and customer and send log deleted, between the send and the look."""
    queue, sender = FakeQueue(), FakeSender(listed=[sighting()])
    assert process_sms_retry_item(doubtful(**changes), queue=queue, sender=sender).fate == "Sent"
    assert [number for number, _ in sender.looks] == [PHONE]


def test_the_list_is_asked_for_the_sender_of_then_by_the_databases_clock_of_now() -> None:
    """The settings may name another sender since."""
    for sent_by in ("MG" + "1" * 32, "+12125550100", None):
        sender = FakeSender()
        process_sms_retry_item(doubtful(sent_by=sent_by), queue=FakeQueue(), sender=sender)
        assert sender.asked_of == [(sent_by, NOON)]


def test_without_what_was_sent_the_list_is_not_asked_and_that_is_no_absence() -> None:
    """There is nothing to compare with."""
    for gone in ({"sent_to": None}, {"attempt_begun_at": None}):
        queue, sender = FakeQueue(), FakeSender()
        assert process_sms_retry_item(doubtful(**gone), queue=queue, sender=sender).fate == "InDoubt"
        assert sender.looks == []
        (decision,) = queue.decisions
        assert isinstance(decision, LookAgain)
        assert decision.failed


def test_a_look_reaches_back_to_every_message_that_would_be_evidence() -> None:
    """The provider's times are whole seconds, and paging stops at the first message that is older than `since`."""
    begun, oldest = BEGUN + timedelta(milliseconds=900), BEGUN - CLOCK_ERROR
    assert find(Look(sightings=(listed_as(created_at=oldest),)), Sent(PHONE, BODY, begun, NOON)).ambiguous == (SID,)
    sender = FakeSender()
    process_sms_retry_item(doubtful(attempt_begun_at=begun), queue=FakeQueue(), sender=sender)
    assert sender.looks == [(PHONE, oldest)]


# Trouble


@pytest.mark.parametrize("now", [{}, {"phone": "+12125550199", "body": "Something else"}], ids=["as sent", "changed"])
def test_an_unforeseen_error_during_a_look_leaves_the_row_in_doubt_and_quotes_nobody(now: dict[str, Any]) -> None:
    """It is not failed, for its text may have gone out; recovery takes it back."""
    queue = FakeQueue(trouble={"reconcile": ValueError(f"a bug for {PHONE}: {BODY}")})
    with pytest.raises(UnforeseenError) as raised:
        looked(doubtful(**now), queue=queue, listed=[])
    assert queue.calls == ["reconcile"]
    assert "its message is withheld" in str(raised.value)
    assert BODY not in str(raised.value)
    assert PHONE[2:] not in str(raised.value)


def test_an_error_of_the_queue_during_a_look_passes_through() -> None:
    """The row keeps its state until recovery takes it back."""
    trouble = QueueUnreachable("Supabase did not answer")
    with pytest.raises(QueueUnreachable) as raised:
        looked(doubtful(), queue=FakeQueue(trouble={"reconcile": trouble}), listed=[])
    assert raised.value is trouble
