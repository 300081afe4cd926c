"""Whose silence is it, when the provider says nothing about messages: one account's, or everybody's?"""

from uuid import UUID

from smsretry.retry.delivery import OpenDelivery
from smsretry.sending.silence import ENOUGH, Silence
from smsretry.sending.summary import FollowedUp
from tests.support.builders import NOON, SID


def message(account: str | None) -> OpenDelivery:
    """A message of this account."""
    return OpenDelivery.model_validate({
        "attempt_id": UUID(int=1), "looks": 1, "retry_id": UUID(int=2), "business_id": UUID(int=3),
        "customer_id": None, "send_log_id": None, "twilio_sid": SID, "sent_account": account, "accepted_at": NOON,
        "delivery_status": None, "delivery_code": None, "failures": 1, "attempt_count": 1, "max_attempts": 3,
        "expires_at": None, "settled": False, "may_have_arrived": False, "claimed_at": NOON,
    })  # fmt: skip


def silent(account: str | None, times: int = 1, *, denied: bool = False) -> list[FollowedUp]:
    """Looks that came to nothing."""
    return [FollowedUp(message(account), "not asked", silent=True, denied=denied)] * times


def told(account: str | None, times: int = 1) -> list[FollowedUp]:
    """Looks that came to something."""
    return [FollowedUp(message(account), "delivered")] * times


def after(*looks: list[FollowedUp]) -> Silence:
    """What is known after these looks."""
    silence = Silence("main")
    for some in looks:
        silence.note(some)
    return silence


def test_one_silent_account_is_left_out_and_the_others_are_asked() -> None:
    """Also the environment's, whose older messages name no account."""
    silence = after(told("b") + silent("a", ENOUGH))
    assert (silence.is_everybodys, silence.without) == (False, ("a",))
    assert after(told("b"), silent(None, 2), silent("main", 3)).without == ("main", "")
    assert after(told("b"), silent("a", ENOUGH - 1), told("a"), silent("a", ENOUGH - 1)).without == ()
    without_main = Silence(None)
    without_main.note(told("b") + silent(None, ENOUGH))
    assert "" in without_main.without


def test_an_outage_is_everybodys_after_a_few_looks() -> None:
    """Whether one account is known so far or many."""
    assert after(silent("a", ENOUGH)).is_everybodys
    assert after(told("a"), *(silent(account) for account in "abcde")).is_everybodys
    assert after(told("a"), silent("a", ENOUGH - 1), silent("b")).is_everybodys
    assert not after(*(silent(account) for account in "abcd")).is_everybodys


def test_what_is_denied_to_accounts_says_nothing_about_others() -> None:
    """However many they are: each is left out by itself."""
    silence = after(*(silent(account, ENOUGH, denied=True) for account in "abc"))
    assert (silence.is_everybodys, silence.answered, silence.accounts) == (False, False, ("a", "b", "c"))


def test_a_few_messages_of_an_account_are_asked_about_before_the_others() -> None:
    """Its credentials may be wrong. Once it has answered, there is no such bound."""
    waiting = [message("a")] * 20 + [message("b")] * 3
    batch, later = after().next_of(waiting, 50)
    assert ([one.account for one in batch], len(later)) == (["a"] * ENOUGH + ["b"] * 3, 15)
    assert len(after(told("a")).next_of(waiting, 50)[0]) == 23
    assert len(after(told("a")).next_of(waiting, 10)[0]) == 10
    batch, later = after(silent("a", ENOUGH)).next_of(waiting, 50)
    assert ([one.account for one in batch], later) == (["b"] * 3, [])
