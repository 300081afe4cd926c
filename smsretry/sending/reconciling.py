"""What becomes of a text in doubt: we look for evidence, and never simply resend."""

from collections.abc import Iterator
from typing import Final, assert_never

from smsretry.retry import doubt, result
from smsretry.retry.decision import AfterLook
from smsretry.retry.evidence import earliest_creation
from smsretry.retry.models import ENVIRONMENT, Claim, ItemResult, Look, SenderId
from smsretry.retry.profile import Profile
from smsretry.sending.ports import ClaimedTexts, Sender

_UNANSWERED: Final = "A send to the same number has no answer yet: what was found may be that one's"


def reconcile(claim: Claim, *, queue: ClaimedTexts, sender: Sender, profile: Profile) -> ItemResult:
    """Look for evidence of what became of a text in doubt: in the database first, then in the provider's list."""
    for decision in _decisions(claim, sender, profile):
        answer = queue.reconcile(claim, decision)
        if answer != "sid_taken":
            break
    if answer == "wait":
        decision = doubt.look_failed(claim, _UNANSWERED, "ambiguous")
        answer = queue.reconcile(claim, decision)
    match answer:
        case "applied":
            return result.looked(claim, decision)
        case "lost" | "sid_taken" | "wait":
            return result.lost(claim)
        case _:
            assert_never(answer)


def _decisions(claim: Claim, sender: Sender, profile: Profile) -> Iterator[AfterLook]:
    """Decisions from the best evidence to none. The list is fetched only when the database knows nothing."""
    known = doubt.known_evidence(claim)
    if known:
        yield from known
        return
    yield from doubt.after_look(claim, _look(claim, sender), at=claim.claimed_at, profile=profile)


def _look(claim: Claim, sender: Sender) -> Look | None:
    """Messages wherever the text may have gone out from. None: some list could not be had."""
    if not (claim.sent_to and claim.attempt_begun_at):
        return None
    asked = [SenderId(claim.sent_account, claim.sent_by)]
    if claim.sender and asked == [ENVIRONMENT]:
        # Nobody knows who sent it: the application's own processor, or a run that a restored database has forgotten.
        asked.append(SenderId(claim.sender.account))
    since, looks = earliest_creation(claim.attempt_begun_at), list[Look]()
    for one in asked:
        look = sender.look_up(claim.sent_to, sender=one, since=since, at=claim.claimed_at)
        if look is None:
            return None
        looks.append(look)
    sightings = tuple(sighting for look in looks for sighting in look.sightings)
    lacks = next((look.lacks for look in looks if look.lacks), None)
    return looks[0].model_copy(update={"sightings": sightings, "lacks": lacks})
