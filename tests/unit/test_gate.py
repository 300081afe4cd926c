"""When a run stops sending, and what it remembers for the next one."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import UUID

import pytest

from smsretry.gate import IN_A_ROW, Gate, stopped_by
from smsretry.retry.models import Claim
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Refusal, RefusalKind, Rejected
from tests.builders import SID, claim_with, refused

ACCEPTED = Accepted(SID)
UNREACHABLE = NotSent("Not reached")
NO_ANSWER = InDoubt("No answer", 503)
SLOWER = refused(20429, 429)
WRONG_NUMBER = refused(21211)
OPTED_OUT = refused(21610)
PASSING = refused(30003)
TOO_MANY_TO_ONE = refused(14107, 429)
"""Too many texts to one number in half a minute."""


def after(*outcomes: Outcome, probe: bool = False) -> Gate:
    """A run's gate, after these outcomes."""
    gate = Gate()
    if probe:
        gate.probe()
    for outcome in outcomes:
        gate.observe(claim_with(), outcome)
    return gate


def text_of(business: int, recipient: int) -> Claim:
    """A text of this business to this person."""
    return claim_with(
        id=UUID(int=100 * business + recipient), business_id=UUID(int=business), phone=f"+1212555{recipient:04}"
    )


def test_a_new_gate_lets_everything_through() -> None:
    """And knows nothing of the provider yet."""
    gate = Gate()
    assert (gate.shut_because, gate.circuit, gate.broken, gate.healthy) == (None, None, None, False)


@pytest.mark.parametrize(
    "rejected",
    [refused(20003, 401), refused(20005, 403), refused(10001), refused(99999, 401), refused(20403, 403)],
    ids=str,
)
def test_a_refused_account_opens_the_circuit_at_once(rejected: Rejected) -> None:
    """Every further text would be refused as well; the reason says what to do."""
    gate = after(ACCEPTED, rejected)
    assert gate.circuit is not None
    assert gate.circuit == gate.shut_because
    assert gate.circuit.startswith(f"The account is refused, not the text: Twilio {rejected.refusal.code}: ")
    assert gate.circuit.endswith("Run `smsretry doctor`")


TROUBLES = [
    pytest.param([UNREACHABLE] * 3, id="not reached"),
    pytest.param([NO_ANSWER] * 3, id="no answer"),
    pytest.param([UNREACHABLE, NO_ANSWER, UNREACHABLE], id="some of each"),
]


@pytest.mark.parametrize("troubles", TROUBLES)
def test_three_in_a_row_without_an_answer_open_the_circuit(troubles: list[Outcome]) -> None:
    """Two may be chance."""
    assert len(troubles) == IN_A_ROW
    assert after(*troubles[:-1]).shut_because is None
    gate = after(*troubles)
    assert gate.circuit == gate.shut_because
    assert gate.circuit is not None
    assert gate.circuit.startswith(f"Sending does not work: {getattr(troubles[-1], 'why', '')}")


@pytest.mark.parametrize("works", [ACCEPTED, WRONG_NUMBER, OPTED_OUT, PASSING, TOO_MANY_TO_ONE], ids=str)
def test_one_text_that_was_answered_in_between_starts_the_count_again(works: Outcome) -> None:
    """A refusal for the text's own sake is an answer as good as any."""
    twice: list[Outcome] = [UNREACHABLE, NO_ANSWER]
    gate = after(*twice, works, *twice)
    assert (gate.shut_because, gate.circuit) == (None, None)
    gate.observe(claim_with(), UNREACHABLE)
    assert gate.circuit is not None


@pytest.mark.parametrize(
    ("outcome", "healthy"),
    [
        (ACCEPTED, True),
        (WRONG_NUMBER, True),
        (OPTED_OUT, True),
        (PASSING, True),
        (refused(99999), True),
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
    assert after(outcome).healthy is healthy


@pytest.mark.parametrize("trouble", [UNREACHABLE, NO_ANSWER, refused(20003, 401)], ids=str)
def test_one_failed_probe_keeps_the_circuit_open(trouble: Outcome) -> None:
    """The trouble is known; one text is enough to see that it lasts."""
    gate = after(trouble, probe=True)
    assert gate.circuit is not None
    assert not gate.healthy


def test_a_probe_that_works_lets_the_others_through() -> None:
    """Nothing is shut, and the circuit may be closed."""
    gate = after(ACCEPTED, probe=True)
    assert (gate.shut_because, gate.circuit, gate.healthy) == (None, None, True)


@pytest.mark.parametrize("slower", [SLOWER, refused(99999, 429), refused(21611, 429)], ids=str)
@pytest.mark.parametrize("probe", [True, False])
def test_a_provider_that_asks_to_go_slower_stops_the_run_and_opens_no_circuit(slower: Rejected, probe: bool) -> None:
    """The next run need not probe: the provider works, and says so."""
    gate = after(slower, probe=probe)
    assert gate.shut_because is not None
    assert gate.shut_because.startswith("The provider asks to go slower (Twilio ")
    assert gate.circuit is None


def test_too_many_texts_to_one_number_stop_no_others() -> None:
    """That limit is the recipient's."""
    assert after(TOO_MANY_TO_ONE).shut_because is None


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
def test_a_gate_goes_by_the_kind_of_a_refusal_and_reads_no_code(
    kind: RefusalKind, shut: bool, circuit: bool, healthy: bool, code: int | None
) -> None:
    """The code is the provider's: another one gives the same number to something else."""
    gate = after(Rejected(Refusal(kind, "Some provider 4711: some trouble", code)))
    assert (gate.shut_because is not None, gate.circuit is not None, gate.healthy) == (shut, circuit, healthy)


def test_stopping_a_gate_shuts_it_and_opens_no_circuit() -> None:
    """The reason ends with this run."""
    gate = Gate()
    gate.stop("Enough")
    assert (gate.shut_because, gate.circuit, gate.healthy) == ("Enough", None, False)


def test_the_first_reason_to_stop_is_the_one_that_is_told() -> None:
    """The sends under way end, and may fail in their turn."""
    gate = Gate()
    gate.stop("Enough")
    gate.stop("More than enough")
    gate.observe(claim_with(), SLOWER)
    assert gate.shut_because == "Enough"


def test_a_stopped_gate_still_learns_that_the_account_is_refused() -> None:
    """From a send that was under way; the next run is to know."""
    gate = Gate()
    gate.stop("Enough")
    gate.observe(claim_with(), refused(20003, 401))
    gate.observe(claim_with(), refused(20005, 403))
    assert gate.shut_because == "Enough"
    assert gate.circuit is not None
    assert "Twilio 20003" in gate.circuit


def test_a_success_does_not_open_a_gate_again() -> None:
    """What was under way may still end well; nothing new begins in this run."""
    gate = after(UNREACHABLE, UNREACHABLE, UNREACHABLE, ACCEPTED)
    assert gate.shut_because is not None
    assert gate.circuit is not None


def test_the_count_is_right_when_ten_threads_share_a_gate() -> None:
    """Every trouble is counted once."""
    gate = Gate()
    gate._limit = 1001
    with ThreadPoolExecutor(max_workers=10) as pool:
        list(pool.map(gate.observe, [claim_with()] * 1000, [UNREACHABLE] * 1000))
    assert gate.shut_because is None
    gate.observe(claim_with(), UNREACHABLE)
    assert gate.shut_because is not None


# What may be the account's or one destination's

UNCERTAIN = [refused(21606), refused(21659), refused(99999, 403)]
"""Twilio's own page says that the first may be destination-specific; the last is a code that nobody knows."""


def after_refusals(uncertain: Rejected, *texts: tuple[int, int]) -> Gate:
    """A run's gate, after these texts (business, recipient) were refused."""
    gate = Gate()
    for business, recipient in texts:
        gate.observe(text_of(business, recipient), uncertain)
    return gate


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
def test_one_businesss_refusals_that_may_be_its_destinations_never_open_the_circuit(uncertain: Rejected) -> None:
    """However many of its texts are refused: nobody else pays for them."""
    gate = after_refusals(uncertain, *[(1, recipient) for recipient in range(100)])
    assert (gate.shut_because, gate.circuit) == (None, None)


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
    assert after_refusals(uncertain, *texts[:-1]).circuit is None
    gate = after_refusals(uncertain, *texts)
    assert (gate.circuit is not None, gate.shut_because is not None) == (proved, proved)


@pytest.mark.parametrize(
    ("businesses", "refused_ones", "proved"), [(5, 2, False), (5, 5, True), (90, 9, False), (90, 10, True)]
)
def test_a_few_tenants_prove_nothing_while_there_are_others(businesses: int, refused_ones: int, proved: bool) -> None:
    """Two tenants that text where this account cannot send would have stopped everybody's texts."""
    gate = Gate()
    gate.expect(businesses)
    for business in range(refused_ones):
        for recipient in range(3):
            gate.observe(text_of(business, recipient), refused(21606))
    assert (gate.circuit is not None) is proved


def test_refusals_prove_nothing_about_an_account_that_sends() -> None:
    """In the same run it sent another text."""
    gate = Gate()
    gate.observe(text_of(9, 9), ACCEPTED)
    for business in range(20):
        gate.observe(text_of(business, business), refused(21606))
    assert gate.circuit is None


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
def test_a_refusal_that_proves_nothing_says_neither_that_sending_works_nor_that_it_does_not(
    uncertain: Rejected,
) -> None:
    """It closes no open circuit, and starts no count again."""
    gate = after(uncertain)
    assert (gate.shut_because, gate.circuit, gate.healthy) == (None, None, False)
    assert after(UNREACHABLE, UNREACHABLE, uncertain, UNREACHABLE).circuit is not None


def test_one_certain_refusal_needs_no_other() -> None:
    """Whatever else was refused."""
    gate = after_refusals(refused(21606), (1, 1))
    gate.observe(text_of(1, 2), refused(20003, 401))
    assert gate.circuit is not None


# The probe


def probing(*, unfit: Claim | None = None) -> Gate:
    """The gate of a run that began with an open circuit."""
    gate = Gate()
    gate.probe(unfit=frozenset({unfit.id} if unfit else ()))
    return gate


WAITS = "Sending had stopped: another text goes first, to see whether it works again"


def test_a_text_that_was_refused_before_is_never_the_probe() -> None:
    """It may be what opened the circuit; another text goes first, and once it was taken everything goes."""
    bad, good = text_of(1, 1), text_of(2, 2)
    gate = probing(unfit=bad)
    assert gate.admit(bad) == WAITS
    assert gate.admit(good) is None
    assert gate.admit(bad) == WAITS
    gate.observe(good, ACCEPTED)
    assert gate.admit(bad) is None


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [
        (ACCEPTED, None),
        (WRONG_NUMBER, None),
        (UNREACHABLE, "Sending does not work"),
        (refused(20003, 401), "The account"),
    ],
    ids=str,
)
def test_the_others_wait_for_the_probe_and_then_go_or_go_back(outcome: Outcome, answer: str | None) -> None:
    """When sending works again, they need not wait for another run."""
    gate, probe = probing(), text_of(1, 1)
    assert gate.admit(probe) is None
    with ThreadPoolExecutor() as pool:
        others = [pool.submit(gate.admit, text_of(2, recipient)) for recipient in range(3)]
        assert not any(other.done() for other in others)
        gate.observe(probe, outcome)
        answers = [other.result(timeout=5) for other in others]
    assert [(told or "")[: len(answer or "")] or None for told in answers] == [answer] * 3


@pytest.mark.parametrize("uncertain", UNCERTAIN, ids=str)
def test_a_probe_that_may_have_had_a_bad_destination_makes_room_for_the_next(uncertain: Rejected) -> None:
    """Or a tenant with a fresh one every minute would be the probe for ever, and keep everybody's texts back."""
    gate = probing()
    for recipient in range(5):
        assert gate.admit(text_of(1, recipient)) is None
        gate.observe(text_of(1, recipient), uncertain)
    assert gate.admit(text_of(2, 1)) is None
    gate.observe(text_of(2, 1), ACCEPTED)
    assert gate.healthy


def test_nobody_waits_for_ever_for_a_probe_that_is_not_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread may have died."""
    monkeypatch.setattr("smsretry.gate.PROBE_SECONDS", 0.01)
    gate = probing()
    assert gate.admit(text_of(1, 1)) is None
    assert gate.admit(text_of(2, 2)) == WAITS


def test_a_probe_that_did_not_begin_leaves_its_place_to_the_next_fit_text() -> None:
    """The unfit one is still none."""
    gate, bad, good = Gate(), text_of(1, 1), text_of(2, 2)
    gate.probe(unfit=frozenset({bad.id}))
    assert gate.admit(good) is None
    gate.withdraw()
    assert gate.admit(bad) is not None
    assert gate.admit(good) is None


# A database that cannot be asked


def test_a_database_that_cannot_be_asked_shuts_the_gate_and_opens_no_circuit() -> None:
    """Nothing is wrong with the provider; the first reason is kept."""
    gate = Gate()
    gate.distrust(claim_with(), "Run `smsretry migrate`")
    gate.distrust(claim_with(), "Something else")
    assert (gate.broken, gate.shut_because, gate.circuit) == ("Run `smsretry migrate`", "Run `smsretry migrate`", None)
    assert gate.admit(claim_with()) == "Run `smsretry migrate`"
    assert not gate.healthy


@pytest.mark.parametrize(("businesses", "failing", "shut"), [(1, 1, True), (5, 4, False), (5, 5, True), (90, 10, True)])
def test_what_cannot_be_asked_about_some_businesses_stops_no_others(businesses: int, failing: int, shut: bool) -> None:
    """It may be the trouble of their rows."""
    gate = Gate()
    gate.expect(businesses)
    for business in range(failing):
        gate.distrust(text_of(business, 1), "It failed")
    assert (gate.shut_because is not None, gate.broken) == (shut, "It failed")


def test_a_database_that_answers_in_between_is_not_broken() -> None:
    """Only what failed since then counts."""
    gate = Gate()
    gate.expect(3)
    for business in range(3):
        gate.distrust(text_of(business, 1), "It failed")
        gate.trust()
    assert gate.shut_because is None


def test_a_gate_that_was_shut_before_still_remembers_that_the_database_is_broken() -> None:
    """The run's summary is to say so."""
    gate = Gate()
    gate.stop("Enough")
    gate.distrust(claim_with(), "Run `smsretry migrate`")
    assert (gate.shut_because, gate.broken) == ("Enough", "Run `smsretry migrate`")


# Signals


def test_a_sigterm_stops_the_gate_and_nothing_else() -> None:
    """The process lives on and ends what is under way."""
    gate = Gate()
    with stopped_by(gate, signal.SIGTERM):
        signal.raise_signal(signal.SIGTERM)
    assert gate.shut_because == "This run was asked to stop (SIGTERM)"
    assert gate.circuit is None


def test_several_signals_may_stop_a_gate_and_the_first_is_told() -> None:
    """A second one is no reason to die either."""
    gate = Gate()
    with stopped_by(gate, signal.SIGTERM, signal.SIGINT):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert gate.shut_because == "This run was asked to stop (SIGINT)"


@pytest.mark.parametrize("trouble", [None, RuntimeError("a bug")], ids=["ended well", "raised"])
def test_the_handlers_that_were_there_are_there_again(trouble: Exception | None) -> None:
    """However the run ended."""

    def mine(number: int, frame: object) -> None:
        raise AssertionError("not now")

    before = signal.signal(signal.SIGTERM, mine)
    try:
        with suppress(RuntimeError), stopped_by(Gate(), signal.SIGTERM):
            assert signal.getsignal(signal.SIGTERM) is not mine
            if trouble:
                raise trouble
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_that_comes_while_its_own_thread_holds_the_gates_lock_does_not_hang() -> None:
    """The handler runs in the main thread, in the middle of whatever that does."""
    gate = Gate()
    with stopped_by(gate, signal.SIGTERM), gate._lock:
        signal.raise_signal(signal.SIGTERM)
    assert gate.shut_because is not None


def test_outside_the_main_thread_signals_keep_their_meaning() -> None:
    """Only the main thread may handle them; the run goes on without."""
    before, ran = signal.getsignal(signal.SIGTERM), []

    def run() -> None:
        with stopped_by(Gate(), signal.SIGTERM):
            ran.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert ran == [before]
