"""What becomes of a text in doubt: we look for evidence, and never simply resend."""

from collections.abc import Iterator
from typing import Final, assert_never

from smsretry.phone import e164
from smsretry.retry import doubt
from smsretry.retry.decision import AfterLook, Fail
from smsretry.retry.evidence import all_in_one, earliest_creation
from smsretry.retry.models import Attempt, Claim, ItemResult, SenderId
from smsretry.retry.profile import Profile
from smsretry.sending.ports import Provider, RetryQueue

_UNANSWERED: Final = (
    "A send to the same number has no answer yet: what was found may be that one's"
)


def reconcile(
    claim: Claim, *, queue: RetryQueue, provider: Provider, profile: Profile
) -> ItemResult:
    """Look for evidence of what became of a text in doubt: in the database first, then in the provider's list."""
    for decision in _decisions(claim, provider, profile):
        answer = queue.reconcile(claim, decision)
        if answer != "sid_taken":
            break
    if answer == "wait":
        decision = doubt.look_failed(claim, _UNANSWERED, "ambiguous")
        answer = queue.reconcile(claim, decision)
    match answer:
        case "applied":
            return decision.result(claim)
        case "ended":
            return Fail(decision.why, decision.why_code).result(claim)
        case "claim_lost" | "sid_taken" | "wait":
            return ItemResult.claim_lost(claim)
        case _:
            assert_never(answer)


def _decisions(
    claim: Claim, provider: Provider, profile: Profile
) -> Iterator[AfterLook]:
    """Decisions from the best evidence to none. The list is fetched only when the database knows nothing."""
    evidence = doubt.known_evidence(claim)
    if evidence:
        yield from evidence
        return
    look = denied = None
    attempt = claim.attempt
    if attempt and attempt.phone:
        senders = [*_may_have_left_from(attempt, claim.sender, provider.default)]
        problems = [
            provider.credentials_problem(sender.account or "") for sender in senders
        ]
        denied = next(filter(None, problems), None)
        if not denied:
            # The application's own processor sends to whatever is stored.
            phone = e164(attempt.phone)
            since = earliest_creation(attempt.begun_at)
            looks = [
                provider.look_up(
                    phone,
                    sender=sender,
                    since=since,
                    at=claim.claimed_at,
                )
                for sender in senders
            ]
            look = all_in_one(looks)
    yield from doubt.after_look(
        claim, look, at=claim.claimed_at, profile=profile, denied=denied
    )


def _may_have_left_from(
    attempt: Attempt, sender: SenderId, default: SenderId
) -> Iterator[SenderId]:
    """The senders whose lists may hold it: the one that its attempt left from.

    A send that nobody wrote down, by the application or before a restore, names neither sender nor account. It may have
    left from the business's own sender, or from that of the environment.
    """
    yield SenderId(attempt.account, attempt.sent_by)
    is_unwritten = attempt.account is None and attempt.sent_by is None
    if is_unwritten and sender.account and sender.account != default.account:
        yield SenderId(sender.account)
