"""What belongs to one sender decides for no other. Only what is certainly the provider's own stops everybody."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.retry.answers import Lease
from smsretry.retry.decision import GiveBack
from smsretry.retry.models import AssignedSender, Claim, ItemResult, Text
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome
from smsretry.retry.profile import Profile
from smsretry.sending import flow_control, run
from smsretry.sending.entry import send_sms
from smsretry.sending.in_flight import InFlight
from smsretry.sending.outage import Outage
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.probes import AT_FIRST, PROBES
from smsretry.sending.run import Run, run_once
from smsretry.sending.summary import RunSummary
from smsretry.sending.tally import IN_A_ROW
from tests.support.builders import CONCURRENCY, NOON, SENDER, SID, assigned, claim_with, refused, run_over
from tests.unit.fakes import FakeQueue, FakeSender

SUSPENDED = refused(20005, 403)
SLOWER = refused(20429, 429, retry_after=timedelta(minutes=1))
UNREACHABLE = NotSent("Not reached")
NO_ANSWER = InDoubt("No answer")


def texts_of(business: int, sender: AssignedSender | None, count: int, **changes: object) -> list[Claim]:
    """Texts of a business, which go out from this sender; None: from the environment's."""
    return [
        claim_with(
            id=UUID(int=1000 * business + n),
            business_id=UUID(int=business),
            sender=sender,
            phone=f"+1212555{business:02}{n:02}",
            **changes,
        )
        for n in range(count)
    ]


def in_turn(*texts: list[Claim]) -> list[Claim]:
    """One text of each, then the next of each, as a claim has them."""
    longest = max(map(len, texts))
    return [of_one[n] for n in range(longest) for of_one in texts if n < len(of_one)]


@dataclass
class BySender(FakeSender):
    """What a text comes to depends on what it goes out from."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By messaging service or number; accepted when there is none."""

    def send(self, text: Text) -> Outcome:
        self.texts.append(text)
        return self.outcomes.get(text.sender.sent_by or "", Accepted(SID))

    @property
    def sends(self) -> Counter[str]:
        """How many texts went out from each."""
        return Counter(text.sender.sent_by or "" for text in self.texts)


def made(queue: FakeQueue, sender: FakeSender) -> tuple[dict[int, Counter[str]], RunSummary]:
    """A whole run: what each business's texts came to, and the numbers."""
    items, summary = run_once(run_over(queue, sender), limit=1000)
    fates: dict[int, Counter[str]] = {}
    for item in items:
        assert isinstance(item, ItemResult)
        fates.setdefault(item.retry_id.int // 1000, Counter())[item.fate] += 1
    return fates, summary


# One sender's trouble


def test_a_suspended_account_stops_its_own_sender_and_no_other() -> None:
    """It had stopped everybody's texts, and the run was red until somebody mended that one account."""
    bad = assigned(1)
    queue = FakeQueue(claims=in_turn(texts_of(1, bad, 9), texts_of(2, assigned(2), 9), texts_of(3, None, 9)))
    fates, summary = made(queue, BySender(outcomes={bad.sent_by: SUSPENDED}))
    assert (fates[2], fates[3]) == ({"Sent": 9}, {"Sent": 9})
    assert set(fates[1]) <= {"Held", "GivenBack"}
    assert queue.senders == [bad.sent_by]
    assert (summary.circuit_open, summary.stopped_because, summary.needs_somebody) == (False, None, False)
    [stopped] = summary.stopped_senders
    assert (stopped.sender, stopped.is_news, stopped.businesses) == (bad.sent_by, True, 1)
    assert f"Stopped senders: {bad.sent_by} (The account is refused" in str(summary)


def test_a_stopped_sender_s_texts_are_not_claimed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each claim would bring them, and give them back."""
    monkeypatch.setattr(run, "CLAIM_SIZE", 4)
    bad = assigned(1)
    queue = FakeQueue(claims=in_turn(texts_of(1, bad, 99), texts_of(2, assigned(2), 30)))
    fates, _ = made(queue, BySender(outcomes={bad.sent_by: SUSPENDED}))
    assert fates[2] == {"Sent": 30}
    assert queue.left_out[-1] == {bad.sent_by}
    assert len(queue.claims) > 50


def test_when_one_sender_is_asked_to_go_slower_the_others_go_on() -> None:
    """A run that has no time to wait stops that sender alone, and remembers nothing of it."""
    slow = assigned(1)
    queue = FakeQueue(claims=in_turn(texts_of(1, slow, 9), texts_of(2, assigned(2), 9)))
    fates, summary = made(queue, BySender(outcomes={slow.sent_by: SLOWER}))
    assert fates[2] == {"Sent": 9}
    assert set(fates[1]) == {"RetryScheduled", "GivenBack"}
    assert (queue.senders, summary.stopped_senders, summary.needs_somebody) == ([], (), False)


def test_one_account_s_lost_answers_stop_nobody_else() -> None:
    """Others were answered meanwhile: it is no outage. What is remembered is that sender's own."""
    bad = assigned(1)
    healthy = [texts_of(business, assigned(business), 9) for business in range(2, 9)]
    queue = FakeQueue(claims=in_turn(texts_of(1, bad, 9), *healthy))
    sender = BySender(outcomes={bad.sent_by: NO_ANSWER})
    fates, summary = made(queue, sender)
    assert all(fates[business] == {"Sent": 9} for business in range(2, 9))
    assert sender.sends[bad.sent_by] <= IN_A_ROW
    assert (set(queue.senders), summary.circuit_open, summary.needs_somebody) == ({bad.sent_by}, False, False)


def test_runs_are_red_when_several_businesses_texts_wait_and_nobody_s_go_out() -> None:
    """They share one sender, which is all that there is."""
    shared = assigned(1)
    outcomes: dict[str, Outcome] = {shared.sent_by: SUSPENDED}
    _, alone = made(FakeQueue(claims=texts_of(1, shared, 3)), BySender(outcomes=outcomes))
    _, several = made(
        FakeQueue(claims=in_turn(texts_of(1, shared, 3), texts_of(2, shared, 3))), BySender(outcomes=outcomes)
    )
    assert (alone.needs_somebody, several.needs_somebody) == (False, True)


def test_the_environment_s_sender_stops_as_before_and_others_go_on() -> None:
    """It is the platform's own, and the run is red."""
    queue = FakeQueue(claims=in_turn(texts_of(1, None, 5), texts_of(2, assigned(2), 5)))
    fates, summary = made(queue, BySender(outcomes={SENDER: SUSPENDED}))
    assert fates[2] == {"Sent": 5}
    assert (queue.senders, summary.circuit_open, summary.needs_somebody) == ([SENDER], True, True)
    assert summary.stopped_senders == ()


def test_a_sender_that_is_a_number_is_shown_by_its_last_digits() -> None:
    """In whatever a run says."""
    number = assigned(1, sent_by="+12065550123")
    _, summary = made(FakeQueue(claims=texts_of(1, number, 2)), BySender(outcomes={number.sent_by: SUSPENDED}))
    assert [each.sender for each in summary.stopped_senders] == ["…0123"]
    assert "2065550123" not in summary.model_dump_json() + str(summary)


# Circuits that were open


@pytest.mark.parametrize(("outcome", "closed"), [(Accepted(SID), True), (SUSPENDED, False)], ids=["works", "refused"])
def test_a_sender_whose_circuit_was_open_is_probed_while_the_others_go_on(outcome: Outcome, closed: bool) -> None:
    """One text of it goes first."""
    sick = assigned(1)
    probed = texts_of(1, sick, 9, circuit_open=True, circuit_opened_at=NOON - timedelta(hours=1))
    queue = FakeQueue(claims=in_turn(probed, texts_of(2, assigned(2), 9)))
    sender = BySender(outcomes={sick.sent_by: outcome})
    fates, summary = made(queue, sender)
    assert fates[2] == {"Sent": 9}
    assert sender.sends[sick.sent_by] == (9 if closed else 1)
    assert (queue.senders, queue.decisions[-1] is None) == ([sick.sent_by], closed)
    assert [each.is_news for each in summary.stopped_senders] == ([] if closed else [False])
    assert summary.resumed_senders == ((sick.sent_by,) if closed else ())


def test_the_provider_s_circuit_is_closed_by_any_sender_s_text() -> None:
    """No sender's own circuit was open."""
    opened = {"circuit_open": True, "provider_circuit_opened_at": NOON - timedelta(hours=1)}
    queue = FakeQueue(claims=in_turn(*(texts_of(n, assigned(n), 3, **opened) for n in (1, 2))))
    made_of = run_over(queue, BySender())
    run_once(made_of)
    assert (queue.senders, queue.decisions[-1]) == ([""], None)
    assert (made_of.circuit_was_open, made_of.circuit_closed) == (True, True)


def test_the_provider_s_probe_comes_from_a_sender_that_had_no_trouble_of_its_own() -> None:
    """Or one bad account would keep the circuit open for everybody."""
    opened = {"circuit_open": True, "provider_circuit_opened_at": NOON - timedelta(hours=1)}
    sick = texts_of(1, assigned(1), 5, circuit_opened_at=NOON - timedelta(hours=2), **opened)
    queue = FakeQueue(claims=in_turn(sick, texts_of(2, assigned(2), 5, **opened)))
    sender = BySender(outcomes={assigned(1).sent_by: NO_ANSWER})
    fates, _ = made(queue, sender)
    assert sender.texts[0].sender.sent_by == assigned(2).sent_by
    assert fates[2] == {"Sent": 5}
    assert (queue.senders[-1], queue.decisions[-1]) == ("", None)


# The provider's own trouble


def test_an_outage_over_twenty_accounts_costs_no_more_than_over_one() -> None:
    """Each sender's own breaker would try three texts of each."""
    queue = FakeQueue(claims=in_turn(*(texts_of(n, assigned(n), 5) for n in range(1, 21))))
    sender = FakeSender(NO_ANSWER)
    _, summary = made(queue, sender)
    assert len(sender.texts) <= AT_FIRST + IN_A_ROW + PROBES
    assert (summary.circuit_open, summary.needs_somebody) == (True, True)
    assert "" in queue.senders
    assert any(businesses for _, businesses in queue.businesses), "the next run tries others first"
    assert summary.stopped_because is not None
    assert summary.stopped_because.startswith("Sending does not work: No answer")


def test_an_outage_over_many_senders_of_one_account_costs_no_more_either() -> None:
    """A platform may have one account, and a messaging service for each business."""
    one = "AC" + "9" * 32
    queue = FakeQueue(claims=in_turn(*(texts_of(n, assigned(n, account=one), 5) for n in range(1, 21))))
    sender = FakeSender(UNREACHABLE)
    _, summary = made(queue, sender)
    assert len(sender.texts) <= AT_FIRST + IN_A_ROW + PROBES
    assert summary.circuit_open


def test_an_outage_after_the_environment_s_sender_worked_again_is_remembered() -> None:
    """Closing that one's circuit closes everybody's, so it is opened anew."""

    class Once(FakeSender):
        def send(self, text: Text) -> Outcome:
            self.texts.append(text)
            return Accepted(SID) if len(self.texts) == 1 else NO_ANSWER

    known = {"circuit_open": True, "circuit_opened_at": NOON - timedelta(hours=1)}
    first = texts_of(1, None, 1, **known)
    queue = FakeQueue(claims=[*first, *in_turn(*(texts_of(n, assigned(n), 5) for n in range(2, 21)))])
    made_of = run_over(queue, Once())
    made_of.senders.claimed(first, nobody_else_is_due=False)
    made_of.process(first[0])
    queue.claims.remove(first[0])
    run_once(made_of)
    assert {SENDER, ""} <= set(queue.senders)
    assert queue.senders[-1] == ""


def control_of(made_of: Run, claim: Claim) -> flow_control.FlowControl:
    """That of the sender which a text goes out from."""
    return made_of.senders.of(claim)


def fail(made_of: Run, claims: Iterable[Claim]) -> None:
    """Let these go out, and come to nothing."""
    for claim in claims:
        assert control_of(made_of, claim).admit(claim) is None
        control_of(made_of, claim).observe(claim, NO_ANSWER)
        made_of.senders.done(claim)


def test_senders_of_one_account_stop_no_other_account_whose_text_was_not_tried() -> None:
    """Another account is innocent until its own text fails, too."""
    one = "AC" + "9" * 32
    bad = [texts_of(n, assigned(n, account=one), 1)[0] for n in range(1, 8)]
    [good] = texts_of(9, assigned(9), 1)
    made_of = run_over(FakeQueue(), FakeSender())
    made_of.senders.claimed([*bad, good], nobody_else_is_due=True)
    fail(made_of, bad[:IN_A_ROW])
    put_off = control_of(made_of, bad[-1]).admit(bad[-1])
    assert isinstance(put_off, GiveBack), "a text of the other account goes first, and this one loses no time"
    assert made_of.senders.run.stopped_because is None
    assert control_of(made_of, good).admit(good) is None
    control_of(made_of, good).observe(good, Accepted(SID))
    assert control_of(made_of, bad[-1]).admit(bad[-1]) is None
    assert made_of.senders.run.stopped_because is None


def test_trouble_of_some_accounts_that_is_known_is_not_called_everybody_s() -> None:
    """Nobody else has a text due. Each is tried, and the others' next texts go out as ever."""
    known = {"circuit_open": True, "circuit_opened_at": NOON - timedelta(hours=1)}
    queue = FakeQueue(claims=in_turn(*(texts_of(n, assigned(n), 4, **known) for n in range(1, IN_A_ROW + 1))))
    _, summary = made(queue, FakeSender(NO_ANSWER))
    assert "" not in queue.senders
    assert not summary.circuit_open


def test_until_somebody_was_answered_one_sender_leaves_room_for_the_others() -> None:
    """It may be the only one that does not work, and whoever is answered shows that the provider does."""
    many = [texts_of(business, assigned(1), 1)[0] for business in range(1, 13)]
    [other] = texts_of(20, assigned(2), 1)
    made_of = run_over(FakeQueue(), FakeSender())
    made_of.senders.claimed([*many, other], nobody_else_is_due=True)
    for claim in many[:IN_A_ROW]:
        assert control_of(made_of, claim).admit(claim) is None
    outage = made_of.senders.run.outage
    assert (outage.must_wait(many[IN_A_ROW]), outage.must_wait(other)) == (True, False)
    assert control_of(made_of, other).admit(other) is None
    control_of(made_of, other).observe(other, Accepted(SID))
    assert not outage.must_wait(many[IN_A_ROW])


@pytest.mark.parametrize(
    ("known", "was_open", "everybodys"), [(False, False, True), (True, False, False), (True, True, True)]
)
def test_trouble_of_all_senders_is_the_provider_s_unless_it_was_known_to_be_theirs(
    known: bool, was_open: bool, everybodys: bool
) -> None:
    """If no other is left to try. What was known counts if the provider's own circuit was open, too."""
    outage = Outage(InFlight(), sender_of=lambda claim: str(claim.business_id), account_of=str)
    outage.probes.was_open = was_open
    for business in (1, 2, 1):
        [claim] = texts_of(business, None, 1, circuit_opened_at=NOON if known else None)
        outage.failed(claim, "No answer")
    assert (outage.open_because is not None) is everybodys


def test_nobody_s_text_may_go_beside_a_probe_or_before_a_first_answer() -> None:
    """Either of the two is enough."""
    texts = texts_of(1, None, AT_FIRST)
    outage, begun = (Outage(InFlight(), sender_of=str, account_of=str) for _ in range(2))
    assert not outage.holds_everybody_up
    outage.probes.start()
    for claim in texts:
        begun.began(claim)
    assert outage.holds_everybody_up
    assert begun.holds_everybody_up


def test_what_is_remembered_of_a_business_from_an_outage_is_not_its_own_trouble() -> None:
    """Its failures count for its sender like anybody's."""
    known = {"business_circuit_opened_at": NOON, "provider_circuit_opened_at": NOON}
    control = flow_control.FlowControl()
    for claim in texts_of(1, None, IN_A_ROW, **known):
        control.observe(claim, NO_ANSWER)
    assert control.open_because is not None


def test_a_run_waits_for_the_cause_of_a_sender_s_trouble_only_when_it_has_nothing_else_to_do() -> None:
    """Others' texts are claimed meanwhile; and where none is due, the run does not end before it knows."""
    texts = [texts_of(business, assigned(1), 1)[0] for business in range(1, IN_A_ROW + 2)]
    made_of = run_over(FakeQueue(), FakeSender())
    made_of.senders.claimed(texts, nobody_else_is_due=True)
    fail(made_of, texts[:IN_A_ROW])
    assert made_of.senders.are_unsettled
    assert made_of.senders.without == {assigned(1).sent_by}
    assert [made_of.senders.have_room(CONCURRENCY, idle=idle) for idle in (False, True)] == [True, False]
    made_of.senders.done(texts[-1])
    assert made_of.senders.have_room(CONCURRENCY, idle=True)


# Rates and threads


@dataclass
class Paced(FakeQueue):
    """Its leases are each sender's own, in a time that stands."""

    free_at: dict[str, float] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)

    def lease(self, sender: str, segments: int, per_second: float, lead: float) -> Lease:
        begins = self.free_at.get(sender, 0)
        self.free_at[sender] = begins + segments / per_second
        self.rates[sender] = per_second
        return Lease(begins_at=NOON + timedelta(seconds=begins), asked_at=NOON)


def test_a_slow_sender_s_texts_go_back_and_keep_no_thread_from_the_others() -> None:
    """Its second text has a turn in a hundred seconds."""
    slow = assigned(1, segments_per_second=0.01)
    queue = Paced(claims=[*texts_of(1, slow, 30), *texts_of(2, assigned(2, segments_per_second=1000), 15)])
    fates, _ = made(queue, BySender())
    assert fates == {1: {"Sent": 1, "GivenBack": 29}, 2: {"Sent": 15}}
    assert queue.rates == {slow.sent_by: 0.01, assigned(2).sent_by: 1000}


def test_a_business_s_own_sender_that_is_the_environment_s_shares_one_rate_with_it() -> None:
    """The slower of the two that are known."""
    own = assigned(1, account=FakeSender().default.account, sent_by=SENDER, segments_per_second=40)
    queue = Paced(claims=in_turn(texts_of(1, own, 2), texts_of(2, None, 2)))
    run_once(run_over(queue, BySender(), Profile(segments_per_second=80)))
    assert queue.rates == {SENDER: 40}


def hanging(others: int) -> tuple[type[BySender], threading.Event]:
    """A provider that answers one sender when so many others' texts were answered. If they wait for it, nobody is."""
    answered, lock = threading.Event(), threading.Lock()
    left = others

    class Hanging(BySender):
        def send(self, text: Text) -> Outcome:
            nonlocal left
            if text.sender.sent_by == assigned(1).sent_by:
                return super().send(text) if answered.wait(60) else NO_ANSWER
            with lock:
                left -= 1
            if not left:
                answered.set()
            return super().send(text)

    return Hanging, answered


@pytest.mark.parametrize("known", [{}, {"circuit_open": True, "circuit_opened_at": NOON}], ids=["new", "was open"])
def test_a_sender_that_is_not_answered_keeps_no_thread_from_the_others(
    known: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other texts would wait for the first ones' answer in every thread that there is."""
    monkeypatch.setattr(flow_control, "PATIENCE_SECONDS", 0.01)
    make, answered = hanging(others=20)
    slow = texts_of(1, assigned(1), 2 * CONCURRENCY, **known)
    queue = FakeQueue(claims=[*slow, *texts_of(2, assigned(2), 20)])
    fates, _ = made(queue, make())
    assert answered.is_set()
    assert fates[2] == {"Sent": 20}
    assert fates[1]["InDoubt"] == 0, "it was answered once all others were"


def test_a_suspect_of_a_stopped_sender_is_put_behind_the_others() -> None:
    """Given back, it would be the next one again, and others' would never be claimed."""
    bad = assigned(1)
    queue = FakeQueue(
        claims=in_turn(texts_of(1, bad, 2), texts_of(2, assigned(2), 2)),
        suspects=[*texts_of(3, bad, 1), *texts_of(4, assigned(2), 1)],
    )
    fates, _ = made(queue, BySender(outcomes={bad.sent_by: SUSPENDED}))
    assert (fates[3], fates[4]) == ({"Deferred": 1}, {"Sent": 1})


# What a text goes out from


def test_a_text_for_whose_account_there_are_no_credentials_is_held() -> None:
    """Whoever runs the worker can mend that; others' go out."""
    foreign = assigned(1)
    queue = FakeQueue(claims=in_turn(texts_of(1, foreign, 2), texts_of(2, assigned(2), 2)))
    fates, _ = made(queue, BySender(no_credentials={foreign.account: "There are no credentials for it"}))
    assert fates == {1: {"Held": 2}, 2: {"Sent": 2}}


@pytest.mark.parametrize("own", [None, assigned(1)], ids=["environment", "own"])
def test_a_first_send_goes_out_from_its_business_s_sender(own: AssignedSender | None) -> None:
    """As every retry does."""
    sender = FakeSender()
    claim = texts_of(1, own, 1)[0].model_copy(update={"id": UUID(int=1)})
    assert send_sms(UUID(int=7), queue=FakeQueue(claims=[claim]), sender=sender).fate == "Sent"
    assert [text.sender.sent_by for text in sender.texts] == [own.sent_by if own else SENDER]


def test_a_run_s_stop_is_every_sender_s() -> None:
    """A process that is asked to end lets no further send begin, whoever's."""
    made_of = run_over(FakeQueue(), FakeSender())
    [first], [second] = texts_of(1, assigned(1), 1), texts_of(2, assigned(2), 1)
    made_of.senders.stop("Enough")
    process: Callable[[Claim], ItemResult] = made_of.process
    assert [process(claim).fate for claim in (first, second)] == ["GivenBack", "GivenBack"]
    assert process_sms_retry_item(first, queue=FakeQueue(), sender=FakeSender()).fate == "Sent"
