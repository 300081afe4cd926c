"""What is done with a text in doubt: look in the database, then ask the provider."""

from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

from smsretry.retry.decision import AfterLook, Complete, Hold, LookAgain, Retry
from smsretry.retry.doubt import after_look, known_evidence
from smsretry.retry.models import Claim, Look, Sighting
from smsretry.retry.profile import Profile
from smsretry.vocabulary import InDoubtPolicy
from tests.support.builders import BODY, NOON, SID, attempt, claim_with
from tests.support.builders import sighting as listed_as
from tests.support.records import Record

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
BEGUN = NOON - 21 * MINUTE
OTHER = "SM" + "e" * 32
POLICIES: list[InDoubtPolicy] = ["resend", "hold"]
LOOK_YOURSELF = "`smsretry texts resolve`"
NOTHING_YET = LookAgain("", "no_evidence", due_in=5 * MINUTE)
NOTHING_YET_EITHER = LookAgain("", "no_evidence", due_in=15 * MINUTE)
NO_LIST = Hold("", "list_unavailable")
SEND_AGAIN = Retry("", "no_evidence", due_in=timedelta(0), reason=None)
MARKED = Complete("", sid=None, by="callback")


def doubtful(**changes: Any) -> Claim:
    """A claim in doubt for twenty minutes, looked for twice, with the given fields changed."""
    row: Record = {
        "attempt": attempt(begun_at=BEGUN),
        "in_doubt_since": NOON - 20 * MINUTE,
        "reconcile_count": 2,
    }
    return claim_with(**(row | changes))


def sighting(sid: str = SID, *, second: float = 1, body: str = BODY) -> Sighting:
    """Our text in the provider's list, created that many seconds after the attempt began."""
    return listed_as(sid, created_at=BEGUN + second * SECOND, body=body)


def completed(sid: str = SID) -> Complete:
    """What is concluded of a message that is the text's."""
    return Complete("", sid=sid, by="reconcile")


def ambiguous(*sids: str) -> Hold:
    """What is concluded of messages that may be the text's."""
    return Hold("", "ambiguous", ambiguous=sids)


def unseen(minutes: float) -> LookAgain:
    """What is concluded of a look that could not be made."""
    return LookAgain("", "list_unavailable", due_in=minutes * MINUTE, look_failed=True)


def conclusions_of(
    claim: Claim, sightings: list[Sighting] | None, in_doubt: InDoubtPolicy = "resend"
) -> list[AfterLook]:
    """What the provider's list says of a text in doubt, in order, but for the words."""
    look = None if sightings is None else Look(sightings=tuple(sightings))
    conclusions = list(
        after_look(claim, look, at=NOON, profile=Profile(in_doubt=in_doubt))
    )
    assert all(
        LOOK_YOURSELF in conclusion.why
        for conclusion in conclusions
        if isinstance(conclusion, Hold)
    ), "what a person is to do"
    return [replace(conclusion, why="") for conclusion in conclusions]


# What is concluded


def test_the_send_log_may_know_what_became_of_a_text_in_doubt() -> None:
    """A SID always; that it was sent, because `begin` refuses a text whose log says so before. SQL knows the words."""
    by_sid = Complete("", sid=SID, by="callback")
    for claim, evidence in (
        (claim_with(known_sid=SID, log_says_sent=True), [by_sid, MARKED]),
        (claim_with(known_sid=SID), [by_sid, MARKED]),
        (claim_with(log_says_sent=True), [MARKED]),
        (claim_with(), []),
    ):
        assert [
            replace(evidence_item, why="") for evidence_item in known_evidence(claim)
        ] == evidence


UNSEEN = unseen(15)
LOOKS: list[tuple[int, float, list[Sighting] | None, AfterLook | None]] = [
    # looks in vain before, minutes in doubt, what the list holds, what is done; None: it is over
    # The first looks: the list lags, so an absence means little.
    (0, 1, [], NOTHING_YET),
    (1, 6, [], NOTHING_YET_EITHER),
    # Not three looks, however long it is ago.
    (0, 60, [], NOTHING_YET),
    # Not fifteen minutes, however often one looked.
    (2, 14.99, [], NOTHING_YET_EITHER),
    (9, 14.99, [], NOTHING_YET_EITHER),
    # Three looks and fifteen minutes.
    (2, 15, [], None),
    (9, 600, [], None),
    # The clock was set back: the looks decide.
    (1, -60, [], NOTHING_YET_EITHER),
    (2, -60, [], None),
    # A look that failed says nothing, however many others there were.
    (0, 1, None, unseen(1)),
    (2, 15, None, UNSEEN),
    (9, 59, None, UNSEEN),
    # For an hour: it goes on, and a person is told.
    (0, 60, None, NO_LIST),
    (9, 600, None, NO_LIST),
]


def test_a_text_in_doubt_is_given_up_for_unsent_only_after_three_looks_and_fifteen_minutes() -> (
    None
):
    """Then it is sent again, or held for a person; evidence settles it at any time."""
    for (looks, minutes, sightings, then), in_doubt in product(LOOKS, POLICIES):
        doubted = NOON - minutes * MINUTE
        claim = doubtful(in_doubt_since=doubted, reconcile_count=looks)
        over = SEND_AGAIN if in_doubt == "resend" else Hold("", "no_evidence")
        assert conclusions_of(claim, sightings, in_doubt)[0] == (then or over), (
            looks,
            minutes,
        )
        if minutes > 0:
            doubted_claim = doubtful(
                in_doubt_since=doubted, attempt=attempt(begun_at=doubted)
            )
            assert (
                conclusions_of(
                    doubted_claim, [listed_as(SID, created_at=doubted)], in_doubt
                )[0]
                == completed()
            )


CANDIDATES: list[tuple[list[Sighting], list[AfterLook]]] = [
    # what the list holds, what is concluded, in this order, until it is no other attempt's
    ([], [NOTHING_YET]),
    ([sighting()], [completed(), NOTHING_YET]),
    (
        [sighting(OTHER, second=2), sighting()],
        [completed(), completed(OTHER), NOTHING_YET],
    ),
    # What fits in all but the body is neither ours nor an absence: a person says, unless it turns out to be another's.
    ([sighting(OTHER, body="")], [ambiguous(OTHER), NOTHING_YET]),
    (
        [sighting(OTHER, body=""), sighting(second=2)],
        [completed(), ambiguous(OTHER), NOTHING_YET],
    ),
]


def test_a_message_of_another_attempt_is_no_evidence() -> None:
    """The oldest one that nobody owns is this text's. When each has an owner, it is as if the list had been empty."""
    for sightings, conclusions in CANDIDATES:
        assert conclusions_of(doubtful(reconcile_count=0), sightings) == conclusions


SPECIAL: list[tuple[Record, list[Sighting] | None, list[AfterLook]]] = [
    # what is known, what the list holds, what is concluded
    # A resend could double an ambiguous one, and to settle it could lose it, however long one has looked.
    (
        {"reconcile_count": 50},
        [sighting(OTHER, body="")],
        [ambiguous(OTHER), SEND_AGAIN],
    ),
    # Nothing equals nothing, and that proves nothing.
    (
        {"attempt": attempt(begun_at=BEGUN, body=None)},
        [sighting(OTHER, body="")],
        [ambiguous(OTHER), SEND_AGAIN],
    ),
    # Nobody could look: one looks on for an hour, also after its life, for it may have gone out.
    (
        {"in_doubt_since": NOON - MINUTE, "expires_at": NOON, "reconcile_count": 50},
        None,
        [UNSEEN],
    ),
    ({"in_doubt_since": NOON - 60 * MINUTE, "expires_at": NOON}, None, [NO_LIST]),
    # The clock was set back during the send: nothing is surely ours, and without anything the looks decide as ever.
    (
        {"in_doubt_since": BEGUN - 5 * MINUTE},
        [sighting()],
        [ambiguous(SID), SEND_AGAIN],
    ),
    ({"in_doubt_since": BEGUN - 5 * MINUTE}, [], [SEND_AGAIN]),
]


def test_what_may_be_its_own_or_cannot_be_known_is_a_person_s_to_decide() -> None:
    """A list that lacks something proves what is in it and no absence: to look again will not make it shorter."""
    for changes, listed, conclusions in SPECIAL:
        assert conclusions_of(doubtful(**changes), listed) == conclusions, changes
    for listed, before in (
        ([], []),
        ([sighting()], [completed()]),
        ([sighting(OTHER, body="")], [ambiguous(OTHER)]),
    ):
        look = Look(sightings=tuple(listed), lacks="is longer than anybody reads")
        *before_last, conclusion = after_look(doubtful(), look, at=NOON)
        assert [replace(earlier, why="") for earlier in before_last] == before
        assert isinstance(conclusion, Hold)
        assert "is longer than anybody reads" in conclusion.why
