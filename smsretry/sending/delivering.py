"""What becomes of accepted texts: ask how far each has come, decide, and act on it.

An application without a webhook learns of deliveries only here. One with a webhook learns here of callbacks that were
lost. Failures that a webhook recorded are handled here, too, so that the rules are in one place.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Final, assert_never

from smsretry.errors import QueueError, QueueUnreachable, SmsRetryError
from smsretry.retry.decision import Fail, Hold, LookAgain, Retry
from smsretry.retry.delivery import (
    FAILURES,
    AfterDelivery,
    Close,
    Denied,
    NotKept,
    OpenDelivery,
    Report,
    Word,
    after_delivery,
    is_silence,
)
from smsretry.sending.ports import Services
from smsretry.sending.summary import DeliverySummary, FollowedUp

MOST: Final = 10_000
USUAL: Final = 2_000
"""Messages of one run, which takes some minutes at most."""
AT_ONCE: Final = 10
"""Messages that are claimed and looked up at once."""
ENOUGH: Final = 5
"""Looks in a row without an answer that end the asking: about an account, because its credentials may be wrong; about
everybody, if the provider cannot be reached."""
_SILENT: Final = (
    "The provider said nothing of the last {} messages it was asked about: the others are asked about later. "
    "If that goes on, run `smsretry doctor`: it says whether the provider takes the credentials"
)


def sync_deliveries(services: Services, *, limit: int = USUAL) -> DeliverySummary:
    """Look up to `limit` messages whose delivery is open, business by business in turns.

    An account of which the provider says nothing is left out of the rest of the run. If it says nothing of any, the run
    ends. If the database cannot be asked, it raises nothing and returns what was done before.
    """
    at_once = min(services.concurrency, AT_ONCE)
    followed, silence = list[FollowedUp](), _Silence(services.sender.default.account)
    with ThreadPoolExecutor(at_once) as pool:
        while len(followed) < limit and not silence.is_everybodys:
            try:
                most = min(at_once, limit - len(followed))
                claimed = services.queue.claim_deliveries(most, without=silence.without)
            except QueueError as error:
                return DeliverySummary(followed, stopped_because=str(error), silent_accounts=silence.accounts)
            if not claimed:
                break
            for look in pool.map(partial(follow, services=services), claimed):
                followed.append(look)
                silence.note(look)
    nobody_answers = silence.is_everybodys or (silence.accounts and not silence.anybody_answered)
    return DeliverySummary(
        followed, _SILENT.format(len(silence.in_a_row)) if nobody_answers else None, silence.accounts
    )


class _Silence:
    """Of which accounts' messages the provider says nothing: is it their trouble, or everybody's?"""

    def __init__(self, main: str | None) -> None:
        self._main = main or ""
        """The account of messages that name none."""
        self._of = Counter[str]()
        """Looks in a row, by account."""
        self.in_a_row = list[FollowedUp]()
        """Likewise, whoever's."""
        self.anybody_answered = False

    def note(self, look: FollowedUp) -> None:
        account = self._account(look)
        if look.silent:
            self._of[account] += 1
            self.in_a_row.append(look)
        else:
            del self._of[account]
            self.in_a_row.clear()
            self.anybody_answered = True

    @property
    def is_everybodys(self) -> bool:
        """Whether the provider cannot be asked at all. What it denies to one account says nothing about others."""
        silent = [self._account(look) for look in self.in_a_row if not look.denied]
        return len(silent) >= ENOUGH and (not self.anybody_answered or len({*silent}) > 1)

    @property
    def accounts(self) -> tuple[str, ...]:
        """Those that are asked about no more."""
        return tuple(sorted(account for account, looks in self._of.items() if looks >= ENOUGH))

    @property
    def without(self) -> tuple[str, ...]:
        """The same, as a claim leaves their messages out: '' is the account of those that name none."""
        return (*self.accounts, *([""] if self._main in self.accounts else []))

    def _account(self, look: FollowedUp) -> str:
        return look.message.account or self._main


def follow(message: OpenDelivery, services: Services) -> FollowedUp:
    """Look up one message, and act on it. A reported failure is looked up once more: the message may have arrived."""
    word = services.sender.what_became_of(message.sid, account=message.account)
    return replace(_follow(message, word, services), silent=is_silence(word), denied=isinstance(word, Denied))


def _follow(message: OpenDelivery, word: Word, services: Services) -> FollowedUp:
    if isinstance(word, NotKept) and message.delivery_status in FAILURES:
        word = services.sender.reported(message.delivery_status, message.delivery_code)
    decision = after_delivery(message, word, profile=services.profile)
    report = word if isinstance(word, Report) else None
    try:
        answer = services.queue.follow(message, report, decision)
    except QueueUnreachable as error:  # passing: it is looked up again
        return FollowedUp(message, "not asked", str(error))
    except SmsRetryError as error:
        return FollowedUp(message, "error", str(error))
    match answer:
        case "applied":
            return _followed(message, word, report, decision)
        case "lost" | "changed":
            return FollowedUp(message, "settled elsewhere")
        case _:
            assert_never(answer)


def _followed(message: OpenDelivery, word: Word, report: Report | None, decision: AfterDelivery) -> FollowedUp:
    code = report.refusal.code if report and report.refusal else None
    match decision:
        case Close(unknown=True):
            return FollowedUp(message, "unknown")
        case Close():
            return FollowedUp(message, "delivered" if report and report.has_arrived else "settled elsewhere")
        case LookAgain(why):
            return _to_look_again(message, word, why)
        case Hold(why):
            return FollowedUp(message, "held", why, code, blames_sender=True)
        case Retry(why):
            return FollowedUp(message, "retried", why, code)
        case Fail(why):
            return FollowedUp(message, "undelivered", why, code, report is not None and report.blames_the_sender)
        case _:
            assert_never(decision)


def _to_look_again(message: OpenDelivery, word: Word, why: str) -> FollowedUp:
    match word:
        case None | Denied():
            return FollowedUp(message, "not asked", why)
        case NotKept():
            return FollowedUp(message, "not at the provider", why)
        case Report(status):
            lost = status in FAILURES and message.settled
            return FollowedUp(message, "still undelivered" if lost else "on its way", why)
