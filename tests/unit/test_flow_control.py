"""When a run stops sending, and what it remembers for the next one."""

import math
import signal
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import timedelta
from itertools import count
from uuid import UUID

import pytest

from smsretry.retry.decision import Defer, GiveBack
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, RefusalKind, Rejected
from smsretry.sending import breaker, circuit, tally, throttle
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.probes import AT_FIRST, NEWLY_OPENED, PROBES
from smsretry.sending.run_control import RunControl
from smsretry.sending.signals import stopped_by
from smsretry.sending.tally import IN_A_ROW
from tests.support.builders import NOON, SID, claim_with, refused

ACCEPTED = Accepted(SID)
UNREACHABLE = NotSent("Not reached")
NO_ANSWER = InDoubt("No answer")
SLOWER = refused(20429, 429)
WRONG_NUMBER = refused(21211)
OPTED_OUT = refused(21610)
PASSING = refused(30003)
TOO_MANY_TO_ONE = refused(14107, 429)
"""Too many texts to one number in half a minute."""


WAITS = GiveBack("Sending had stopped: another text goes first, to see whether it works again", "sending_stopped")


def after(*outcomes: Outcome, probe: bool = False) -> FlowControl:
    """A run's control, after these outcomes."""
    control = FlowControl()
    if probe:
        control.start_half_open()
    for outcome in outcomes:
        control.observe(claim_with(), outcome)
    return control


def text_of(business: int, recipient: int) -> Claim:
    """A text of this business to this person."""
    return claim_with(
        id=UUID(int=100 * business + recipient), business_id=UUID(int=business), phone=f"+1212555{recipient:04}"
    )


def test_a_new_flow_control_lets_everything_through() -> None:
    """And knows nothing of the provider yet."""
    control = FlowControl()
    assert (control.stopped_because, control.open_because, control.database_trouble, control.sending_works) == (
        None,
        None,
        None,
        False,
    )


@pytest.mark.parametrize(
    "rejected",
    [refused(20003, 401), refused(20005, 403), refused(10001), refused(99999, 401), refused(20403, 403)],
    ids=str,
)
def test_a_refused_account_opens_the_circuit_at_once(rejected: Rejected) -> None:
    """Every further text would be refused as well; the reason says what to do."""
    control = after(ACCEPTED, rejected)
    assert control.open_because is not None
    assert control.open_because == control.stopped_because
    assert control.open_because.startswith(f"The account is refused, not the text: Twilio {rejected.refusal.code}: ")
    assert control.open_because.endswith("Run `smsretry doctor`")


TROUBLES = [
    pytest.param([UNREACHABLE] * 3, id="not reached"),
    pytest.param([NO_ANSWER] * 3, id="no answer"),
    pytest.param([UNREACHABLE, NO_ANSWER, UNREACHABLE], id="some of each"),
]


@pytest.mark.parametrize("troubles", TROUBLES)
def test_three_in_a_row_without_an_answer_open_the_circuit(troubles: list[Outcome]) -> None:
    """Two may be chance."""
    assert len(troubles) == IN_A_ROW
    assert after(*troubles[:-1]).stopped_because is None
    control = after(*troubles)
    assert control.open_because == control.stopped_because
    assert control.open_because is not None
    assert control.open_because.startswith(f"Sending does not work: {getattr(troubles[-1], 'why', '')}")


@pytest.mark.parametrize("works", [ACCEPTED, WRONG_NUMBER, OPTED_OUT, PASSING, TOO_MANY_TO_ONE], ids=str)
def test_one_text_that_was_answered_in_between_starts_the_count_again(works: Outcome) -> None:
    """A refusal for the text's own sake is an answer as good as any."""
    twice: list[Outcome] = [UNREACHABLE, NO_ANSWER]
    control = after(*twice, works, *twice)
    assert (control.stopped_because, control.open_because) == (None, None)
    control.observe(claim_with(), UNREACHABLE)
    assert control.open_because is not None


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [
        (ACCEPTED, True),
        (WRONG_NUMBER, True),
        (OPTED_OUT, True),
        (PASSING, True),
        (refused(21612), True),
        (TOO_MANY_TO_ONE, True),
        (SLOWER, False),
        (refused(20003, 401), False),
        (UNREACHABLE, False),
        (NO_ANSWER, False),
    ],
    ids=str,
)
def test_sending_works_when_a_text_was_taken_or_refused_for_its_own_sake(outcome: Outcome, healthy: bool) -> None:
    """Only that closes an open circuit."""
    assert after(outcome).sending_works is healthy


@pytest.mark.parametrize("trouble", [UNREACHABLE, NO_ANSWER, refused(20003, 401)], ids=str)
def test_one_failed_probe_keeps_the_circuit_open(trouble: Outcome) -> None:
    """The trouble is known; one text is enough to see that it lasts."""
    control = after(trouble, probe=True)
    assert control.open_because is not None
    assert not control.sending_works


def test_a_probe_that_works_lets_the_others_through() -> None:
    """Nothing is shut, and the circuit may be closed."""
    control = after(ACCEPTED, probe=True)
    assert (control.stopped_because, control.open_because, control.sending_works) == (None, None, True)


@pytest.mark.parametrize("slower", [SLOWER, refused(99999, 429), refused(21611, 429)], ids=str)
@pytest.mark.parametrize("probe", [True, False])
def test_a_provider_that_asks_to_go_slower_stops_the_run_and_opens_no_circuit(slower: Rejected, probe: bool) -> None:
    """The next run need not probe: the provider works, and says so."""
    control = after(slower, probe=probe)
    assert control.stopped_because is not None
    assert control.stopped_because.startswith("The provider asks to go slower (Twilio ")
    assert control.open_because is None


def test_too_many_texts_to_one_number_stop_no_others() -> None:
    """That limit is the recipient's."""
    assert after(TOO_MANY_TO_ONE).stopped_because is None


@pytest.mark.parametrize(
    ("kind", "shut", "circuit", "healthy"),
    [
        ("transient", False, False, True),
        ("permanent", False, False, True),
        ("opted_out", False, False, True),
        ("rate_limit", True, False, False),
        ("account", True, True, False),
    ],
)
@pytest.mark.parametrize("code", [None, 0, 4711, 20003, 20429, 21610])
def test_a_flow_control_goes_by_the_kind_of_a_refusal_and_reads_no_code(
    kind: RefusalKind, shut: bool, circuit: bool, healthy: bool, code: int | None
) -> None:
    """The code is the provider's: another one gives the same number to something else."""
    control = after(Rejected(Refusal(kind, "Some provider 4711: some trouble", code)))
    assert (control.stopped_because is not None, control.open_because is not None, control.sending_works) == (
        shut,
        circuit,
        healthy,
    )


def test_stopping_a_flow_control_shuts_it_and_opens_no_circuit() -> None:
    """The reason ends with this run."""
    control = FlowControl()
    control.stop("Enough")
    assert (control.stopped_because, control.open_because, control.sending_works) == ("Enough", None, False)


def test_the_first_reason_to_stop_is_the_one_that_is_told() -> None:
    """The sends under way end, and may fail in their turn."""
    control = FlowControl()
    control.stop("Enough")
    control.stop("More than enough")
    control.observe(claim_with(), SLOWER)
    assert control.stopped_because == "Enough"


def test_a_stopped_flow_control_still_learns_that_the_account_is_refused() -> None:
    """From a send that was under way; the next run is to know."""
    control = FlowControl()
    control.stop("Enough")
    control.observe(claim_with(), refused(20003, 401))
    control.observe(claim_with(), refused(20005, 403))
    assert control.stopped_because == "Enough"
    assert control.open_because is not None
    assert "Twilio 20003" in control.open_because


def test_a_success_does_not_open_a_flow_control_again() -> None:
    """What was under way may still end well; nothing new begins in this run."""
    control = after(UNREACHABLE, UNREACHABLE, UNREACHABLE, ACCEPTED)
    assert control.stopped_because is not None
    assert control.open_because is not None


def test_the_count_is_right_when_ten_threads_share_a_flow_control(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trouble is counted once."""
    for module in (breaker, circuit, tally):
        monkeypatch.setattr(module, "IN_A_ROW", 1001)
    control = FlowControl()
    with ThreadPoolExecutor(max_workers=10) as pool:
        list(pool.map(control.observe, [claim_with()] * 1000, [UNREACHABLE] * 1000))
    assert control.stopped_because is None
    control.observe(claim_with(), UNREACHABLE)
    assert control.stopped_because is not None


# What may be the account's or one destination's

UNCERTAIN = [refused(21606), refused(21659), refused(99999, 403)]
"""Twilio's own page says that the first may be destination-specific; the last is a code that nobody knows."""


def after_refusals(uncertain: Rejected, *texts: tuple[int, int]) -> FlowControl:
    """A run's control, after these texts (business, recipient) were refused."""
    control = FlowControl()
    for business, recipient in texts:
        control.observe(text_of(business, recipient), uncertain)
    return control


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
def test_one_businesss_refusals_that_may_be_its_destinations_never_open_the_circuit(uncertain: Rejected) -> None:
    """However many of its texts are refused: nobody else pays for them."""
    control = after_refusals(uncertain, *[(1, recipient) for recipient in range(100)])
    assert (control.stopped_because, control.open_because) == (None, None)


# whose texts were refused, in order; whether the last one proves that it is the account
SEVERAL = [
    ([(1, 1), (1, 2), (2, 3)], True),
    ([(1, 1), (2, 2), (3, 3)], True),
    ([(1, 1), (1, 2), (1, 3), (2, 1)], True),
    ([(1, 1), (2, 2)], False),
    ([(1, 1), (1, 2), (2, 1)], False),
    ([(1, 1), (2, 1), (3, 1), (4, 1)], False),
    ([(1, 1), (2, 2), (1, 1), (2, 2)], False),
]


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
@pytest.mark.parametrize(("texts", "proved"), SEVERAL)
def test_several_businesses_texts_to_several_people_prove_that_it_is_the_account(
    uncertain: Rejected, texts: list[tuple[int, int]], proved: bool
) -> None:
    """Three people at two businesses at least; one number that nobody can reach proves nothing."""
    assert after_refusals(uncertain, *texts[:-1]).open_because is None
    control = after_refusals(uncertain, *texts)
    assert (control.open_because is not None, control.stopped_because is not None) == (proved, proved)


@pytest.mark.parametrize(("businesses", "refused_ones"), [(5, 4), (90, 10), (90, 89)])
def test_tenants_prove_nothing_while_there_are_others(businesses: int, refused_ones: int) -> None:
    """Ten had, and sixty shops of one chain stopped everybody's texts."""
    control = FlowControl()
    claims = [text_of(business, recipient) for business in range(businesses) for recipient in range(3)]
    control.claimed(claims)
    for claim in claims[: 3 * refused_ones]:
        control.observe(claim, refused(21606))
        control.done(claim)
    assert control.open_because is None
    for claim in claims[3 * refused_ones :]:
        control.observe(claim, refused(21606))
    assert control.open_because is not None


def test_a_business_whose_texts_to_one_country_are_refused_may_still_reach_another() -> None:
    """It is the account's trouble only when each kind of destination that is due was tried."""
    control = FlowControl()
    france = text_of(1, 4).model_copy(update={"phone": "+33612345678"})
    claims = [text_of(1, 1), text_of(2, 2), text_of(2, 3)]
    control.claimed([*claims, france])
    for claim in claims:
        control.observe(claim, refused(21606))
    assert control.open_because is None
    control.observe(france, refused(21606))
    assert control.open_because is not None


def test_refusals_prove_nothing_while_others_wait_who_were_not_claimed() -> None:
    """A claim takes fifty; the oldest texts may all be a chain's."""
    control = FlowControl()
    claims = [text_of(business, business) for business in range(50)]
    control.claimed(claims, nobody_else_is_due=False)
    for claim in claims:
        control.observe(claim, refused(21606))
        control.done(claim)
    assert (control.open_because, control.cause_is_unknown) == (None, True)
    control.claimed([])
    assert control.open_because is not None


def test_refusals_prove_nothing_while_a_text_waits_that_went_back_untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """It left its thread to others. A street of well-behaved businesses was stopped for a chain's country."""
    control = FlowControl()
    monkeypatch.setattr(FlowControl, "_let_in", lambda *_: GiveBack("Others go first", "sending_stopped"))
    innocent, *refused_ones = [text_of(business, business) for business in range(5)]
    control.claimed([innocent, *refused_ones])
    for claim in refused_ones:
        control.observe(claim, refused(21606))
    assert isinstance(control.admit(innocent), GiveBack)
    control.done(innocent)
    assert (control.open_because, control.run.outage.nobody_else_is_due) == (None, False)
    control.claimed([])
    assert control.open_because is not None


def test_refusals_prove_nothing_about_an_account_that_sends() -> None:
    """In the same run it sent another text."""
    control = FlowControl()
    control.observe(text_of(9, 9), ACCEPTED)
    for business in range(20):
        control.observe(text_of(business, business), refused(21606))
    assert control.open_because is None


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
def test_a_refusal_that_proves_nothing_says_neither_that_sending_works_nor_that_it_does_not(
    uncertain: Rejected,
) -> None:
    """It closes no open circuit, and starts no count again."""
    control = after(uncertain)
    assert (control.stopped_because, control.open_because, control.sending_works) == (None, None, False)
    assert after(UNREACHABLE, UNREACHABLE, uncertain, UNREACHABLE).open_because is not None


def test_one_certain_refusal_needs_no_other() -> None:
    """Whatever else was refused."""
    control = after_refusals(refused(21606), (1, 1))
    control.observe(text_of(1, 2), refused(20003, 401))
    assert control.open_because is not None


# Whose trouble it is


def test_one_businesss_failures_put_it_off_and_nobody_else() -> None:
    """Three of them had stopped the run, whoever's text came next."""
    control = FlowControl()
    control.claimed([text_of(business, recipient) for business in (1, 2) for recipient in range(9)])
    control.observe(text_of(2, 0), ACCEPTED)
    for recipient in range(IN_A_ROW):
        assert control.admit(text_of(1, recipient)) is None
        control.observe(text_of(1, recipient), NO_ANSWER)
        control.observe(text_of(2, recipient), ACCEPTED)
    put_off = control.admit(text_of(1, 8))
    assert isinstance(put_off, Defer)
    assert "No answer" in put_off.why
    assert control.admit(text_of(2, 8)) is None
    assert (control.open_because, control.breaker.to_remember) == (None, {UUID(int=1)})


def test_when_sends_fail_and_none_was_taken_an_innocents_text_tells_whose_trouble_it_is() -> None:
    """It goes alone. If it is taken, the trouble is the others' own."""
    control = FlowControl()
    control.claimed([text_of(business, recipient) for business in (1, 2) for recipient in range(9)])
    for recipient in range(IN_A_ROW):
        control.observe(text_of(1, recipient), NO_ANSWER)
    assert control.open_because is None
    assert isinstance(control.admit(text_of(1, 8)), Defer)
    assert control.admit(text_of(2, 1)) is None
    control.observe(text_of(2, 1), ACCEPTED)
    assert control.admit(text_of(2, 2)) is None
    assert isinstance(control.admit(text_of(1, 8)), Defer)
    assert control.open_because is None


def test_the_circuit_opens_when_several_innocents_texts_fail_one_after_the_other() -> None:
    """What was under way when it began to fail counts for none of them."""
    control = FlowControl()
    control.claimed([text_of(business, business) for business in range(90)])
    for business in range(AT_FIRST):
        assert control.admit(text_of(business, business)) is None
    for business in range(AT_FIRST):
        control.observe(text_of(business, business), NO_ANSWER)
    assert control.open_because is None
    for business in range(AT_FIRST, AT_FIRST + PROBES):
        assert control.admit(text_of(business, business)) is None
        control.observe(text_of(business, business), NO_ANSWER)
    assert control.open_because is not None


def test_a_text_that_was_never_let_in_is_taken_off_no_count() -> None:
    """One that is withheld by who may be texted is begun without the flow control."""
    control = FlowControl()
    assert control.admit(text_of(1, 1)) is None
    control.withdraw(text_of(1, 2))
    assert control.breaker.under_way == control.run.outage.under_way == 1


@pytest.mark.parametrize(("businesses", "at_first"), [(1, IN_A_ROW), (90, AT_FIRST)])
def test_until_a_text_was_answered_few_are_under_way(businesses: int, at_first: int) -> None:
    """What is lost in an outage is no more than that, however many a worker sends at once."""
    control, let_in = FlowControl(), list[Claim]()
    claims = [text_of(number % businesses, number) for number in range(90)]
    control.claimed(claims)

    def ask(claim: Claim) -> None:
        if control.admit(claim) is None:
            let_in.append(claim)

    with ThreadPoolExecutor(50) as pool:
        asking = [pool.submit(ask, claim) for claim in claims]
        while len(let_in) < at_first:
            wait(asking, timeout=0.01)
        control.observe(let_in[0], NO_ANSWER)
        for claim in let_in[1:at_first]:
            control.observe(claim, NO_ANSWER)
        control.stop("Enough")
    assert at_first <= len(let_in) <= at_first + PROBES


def test_innocents_that_were_claimed_and_never_came_to_a_send_keep_the_circuit_closed_no_longer_than_that() -> None:
    """It is night where their customers are."""
    control, asleep = FlowControl(), text_of(2, 1)
    control.claimed([text_of(1, 1), asleep])
    for _ in range(IN_A_ROW):
        control.observe(text_of(1, 1), NO_ANSWER)
    assert control.open_because is None
    control.done(asleep)
    assert control.open_because is not None


def test_a_business_that_had_trouble_before_is_tried_with_one_text_and_no_more() -> None:
    """Each may come into doubt. When it is taken the others go on."""
    control = FlowControl()
    first, other = tried(1, 10), tried(1, 10).model_copy(update={"id": UUID(int=8)})
    control.claimed([first, other, text_of(2, 2)])
    assert control.admit(first) is None
    assert isinstance(control.admit(other), Defer)
    assert control.admit(text_of(2, 2)) is None
    control.observe(first, ACCEPTED)
    assert control.admit(other) is None
    assert (control.breaker.to_forget, control.breaker.to_remember) == ({UUID(int=1)}, set())


def test_one_businesss_recipients_slow_everybody_down_for_a_moment_and_stop_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A provider that asked one tenant to wait for an hour had stopped each run at its start."""
    clock = count(step=2)  # each is asked to go slower once the one before it has waited for long enough
    monkeypatch.setattr(throttle, "monotonic", lambda: float(next(clock)))
    control, hour = FlowControl(), timedelta(hours=1)
    control.claimed([text_of(business, recipient) for business in (1, 2) for recipient in range(9)])
    control.observe(text_of(2, 0), ACCEPTED)
    for recipient in range(IN_A_ROW):
        control.observe(text_of(1, recipient), refused(99999, 429, retry_after=hour))
    assert control.stopped_because is None
    assert isinstance(control.admit(text_of(1, 8)), Defer)
    control.observe(text_of(2, 1), refused(99999, 429, retry_after=hour))
    assert control.stopped_because is not None


@pytest.mark.parametrize("asks_to_wait", [timedelta(0), timedelta(hours=1)], ids=["a moment", "an hour"])
def test_a_sender_that_is_slowed_down_for_a_moment_keeps_its_turn_before_others_that_wait_for_threads(
    asks_to_wait: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its texts went back at once in run after run, as often as somebody's recipients were limited."""
    monkeypatch.setattr(throttle, "SLOWER_SECONDS", 0.05)
    run = RunControl(threads=2)
    run.may_wait_until = math.inf
    control, own = FlowControl(run=run), [text_of(1, recipient) for recipient in range(3)]
    run.claimed([*own, *(text_of(2, recipient) for recipient in range(3))], nobody_else_is_due=True)
    control.took(own, nobody_else_is_due=True)
    control.observe(own[0], refused(99999, 429, retry_after=asks_to_wait))
    assert isinstance(control.admit(own[1]), GiveBack) == bool(asks_to_wait)


# The probe


def probing(*claims: Claim) -> FlowControl:
    """The control of a run that began with an open circuit, and has claimed these."""
    control = FlowControl()
    control.claimed(claims)
    control.start_half_open()
    return control


def test_a_text_that_was_refused_before_is_never_the_probe_while_there_is_another() -> None:
    """It may be what opened the circuit; another text goes first, and once it was taken everything goes."""
    bad, good = text_of(1, 1).model_copy(update={"account_refusal_count": 1}), text_of(2, 2)
    control = probing(bad, good)
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(control.admit, bad)
        assert control.admit(good) is None
        assert not waits.done()
        control.observe(good, ACCEPTED)
        assert waits.result(timeout=60) is None


def tried(business: int, minute: int) -> Claim:
    """A text of a business whose texts came to nothing at that minute."""
    at = NOON.replace(minute=minute)
    known = {"business_circuit_opened_at": NOON, "business_circuit_tried_at": at}
    return text_of(business, business).model_copy(update=known)


def test_the_probe_is_an_innocents_and_after_that_who_was_tried_longest_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """One business's trouble keeps the circuit open for nobody else, however old its texts are."""
    monkeypatch.setattr("smsretry.sending.flow_control.PROBE_SECONDS", 0.01)
    claims = [tried(1, 30), tried(2, 10), tried(3, 20), text_of(4, 4)]
    control, order = probing(*claims), []
    while claims:
        answers = [control.admit(claim) for claim in claims]
        fit = answers.index(None)
        order.append(claims[fit].business_id.int)
        control.observe(claims.pop(fit), UNREACHABLE)
        if control.open_because:
            break
    assert order == [4, 2, 3]


@pytest.mark.parametrize(("open_for", "probes"), [(NEWLY_OPENED / 2, PROBES), (NEWLY_OPENED, 1)])
def test_a_circuit_that_was_just_opened_is_tried_with_several_innocents(open_for: timedelta, probes: int) -> None:
    """The longer it is open, the surer it is; each try may cost a text in doubt."""
    claims = [text_of(business, business) for business in range(9)]
    control = FlowControl()
    control.claimed(claims)
    control.start_half_open(claims[0].model_copy(update={"circuit_opened_at": claims[0].claimed_at - open_for}))
    for claim in claims[:probes]:
        assert control.open_because is None
        assert control.admit(claim) is None
        control.observe(claim, UNREACHABLE)
    assert control.open_because is not None


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (ACCEPTED, None),
        (WRONG_NUMBER, None),
        (refused(20003, 401), "The account"),
    ],
    ids=str,
)
def test_the_others_wait_for_the_probe_and_then_go_or_go_back(outcome: Outcome, answer: str | None) -> None:
    """When sending works again, they need not wait for another run."""
    probe = text_of(1, 1)
    control = probing(probe, *[text_of(2, recipient) for recipient in range(3)])
    assert control.admit(probe) is None
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(control.admit, text_of(2, recipient)) for recipient in range(3)]
        assert not any(other.done() for other in others)
        control.observe(probe, outcome)
        answers = [other.result(timeout=60) for other in others]
    assert [told.why[: len(answer or "")] if isinstance(told, GiveBack) else told for told in answers] == [answer] * 3


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
def test_a_probe_that_may_have_had_a_bad_destination_makes_room_for_the_next(uncertain: Rejected) -> None:
    """Or a tenant with a fresh one every minute would be the probe for ever, and keep everybody's texts back."""
    control = probing()
    for recipient in range(5):
        assert control.admit(text_of(1, recipient)) is None
        control.observe(text_of(1, recipient), uncertain)
    assert control.admit(text_of(2, 1)) is None
    control.observe(text_of(2, 1), ACCEPTED)
    assert control.sending_works


def test_nobody_waits_for_ever_for_a_probe_that_is_not_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread may have died."""
    monkeypatch.setattr("smsretry.sending.flow_control.PROBE_SECONDS", 0.01)
    control = probing()
    assert control.admit(text_of(1, 1)) is None
    assert control.admit(text_of(2, 2)) == WAITS


def test_a_probe_that_did_not_begin_leaves_its_place_to_the_next_fit_text() -> None:
    """The unfit one is still none."""
    bad, good = text_of(1, 1).model_copy(update={"account_refusal_count": 1}), text_of(2, 2)
    control = probing(bad, good)
    assert control.admit(good) is None
    control.withdraw(good)
    assert not control.breaker.probes.is_best(bad)
    assert control.admit(good) is None


# A database that cannot be asked


def test_a_database_that_cannot_be_asked_shuts_the_flow_control_and_opens_no_circuit() -> None:
    """Nothing is wrong with the provider; the first reason is kept."""
    control = FlowControl()
    control.database_failed(claim_with(), "Run `smsretry migrate`")
    control.database_failed(claim_with(), "Something else")
    assert (control.database_trouble, control.stopped_because, control.open_because) == (
        "Run `smsretry migrate`",
        "Run `smsretry migrate`",
        None,
    )
    assert control.admit(claim_with()) == GiveBack("Run `smsretry migrate`", "sending_stopped")
    assert not control.sending_works


@pytest.mark.parametrize(
    ("businesses", "failing", "shut"), [(1, 1, True), (5, 4, False), (5, 5, True), (90, 89, False), (90, 90, True)]
)
def test_what_cannot_be_asked_about_some_businesses_stops_no_others(businesses: int, failing: int, shut: bool) -> None:
    """It may be the trouble of their rows."""
    control = FlowControl()
    control.claimed([text_of(business, 1) for business in range(businesses)])
    for business in range(failing):
        control.database_failed(text_of(business, 1), "It failed")
    assert (control.stopped_because is not None, control.database_trouble) == (shut, "It failed")


def test_a_database_that_answers_in_between_is_not_broken() -> None:
    """Only what failed since then counts."""
    control = FlowControl()
    control.claimed([text_of(business, 1) for business in range(4)])
    for business in range(3):
        control.database_failed(text_of(business, 1), "It failed")
        control.database_answered(text_of(3, 1))
    assert control.stopped_because is None


def test_a_business_about_which_the_database_cannot_be_asked_keeps_no_worker_from_others() -> None:
    """Each question may take as long as a lock or a timeout lasts."""
    control = FlowControl()
    control.claimed([text_of(1, 1), text_of(2, 1)])
    for _ in range(IN_A_ROW):
        assert control.admit(text_of(1, 1)) is None
        control.withdraw(text_of(1, 1))
        control.database_failed(text_of(1, 1), "It failed")
    assert isinstance(control.admit(text_of(1, 1)), Defer)
    assert control.admit(text_of(2, 1)) is None


def test_a_flow_control_that_was_shut_before_still_remembers_that_the_database_is_broken() -> None:
    """The run's summary is to say so."""
    control = FlowControl()
    control.stop("Enough")
    control.database_failed(claim_with(), "Run `smsretry migrate`")
    assert (control.stopped_because, control.database_trouble) == ("Enough", "Run `smsretry migrate`")


# Signals


def test_a_sigterm_stops_the_flow_control_and_nothing_else() -> None:
    """The process lives on and ends what is under way."""
    control = FlowControl()
    with stopped_by(control, signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    assert control.stopped_because == "This run was asked to stop (SIGTERM)"
    assert control.open_because is None


def test_several_signals_may_stop_a_flow_control_and_the_first_is_told() -> None:
    """A second one is no reason to die either."""
    control = FlowControl()
    with stopped_by(control, signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert control.stopped_because == "This run was asked to stop (SIGINT)"


@pytest.mark.parametrize("trouble", [None, RuntimeError("a bug")], ids=["ended well", "raised"])
def test_the_handlers_that_were_there_are_there_again(trouble: Exception | None) -> None:
    """However the run ended."""

    def mine(number: int, frame: object) -> None:
        raise AssertionError("not now")

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with suppress(RuntimeError), stopped_by(FlowControl(), signal.SIGTERM):
            assert signal.getsignal(signal.SIGTERM) is not mine
            if trouble:
                raise trouble
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_comes_while_its_own_thread_holds_the_flow_controls_lock_does_not_hang() -> None:
    """The handler runs in the main thread, in the middle of whatever that does."""
    control = FlowControl()
    with stopped_by(control, signal.SIGTERM), control._lock:
        signal.raise_signal(signal.SIGTERM)
    assert control.stopped_because is not None


def test_outside_the_main_thread_signals_keep_their_meaning() -> None:
    """Only the main thread may handle them; the run goes on without."""
    before, ran = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with stopped_by(FlowControl(), signal.SIGTERM):
            ran.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [before]
