"""Rounds of workers against the embedded stack, with everything going wrong that can; then peace, until all is done."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    BrokenAnswer,
    DropUnaccepted,
    Fault,
    FetchError,
    HtmlError,
    JsonError,
    ListError,
    ListLag,
)
from smsretry.sending.entry import queue_sms_retry, schedule_sms
from tests.proofs.faults.accounts import Asked, listening
from tests.proofs.faults.carrier import CALLBACK_URL, Carrier
from tests.proofs.faults.crew import Crew
from tests.proofs.faults.orders import KILL_POINTS, POLL_POINTS, Line, Order, StallPoint, Switch
from tests.proofs.faults.switches import SWITCHES
from tests.proofs.town.luck import dice, new_id, pick
from tests.proofs.town.safeguards import without
from tests.proofs.town.senders import Senders
from tests.proofs.town.texts import Text, new_text, open_business, opt_out, plan, write
from tests.support.builders import NOON
from tests.support.platform import OwnSender
from tests.support.stacks import running_stack

READ_SECONDS: Final = 1.0
"""How long the workers wait for an answer of Twilio where some come later than that, in place of 35 s."""
_NIGHT: Final = (time_of_day(7, 30), time_of_day(12, 55))
"""UTC: from after the last zone's closing until before the first one's opening there is little to do."""
_OVERSLEEPS: Final = timedelta(minutes=11)
"""How long a worker stands still that loses its lease."""
_UNWATCHED: Final = 10
"""In how many rounds on end nobody looks after deliveries; in as many somebody does."""
_MORTAL: Final = 0.4
"""Share of the claims whose worker dies, where one is to die. It has four, so that few fall back with it."""
_BUSINESSES: Final = 20
_ZONES: Final = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
    "America/Anchorage", "America/Adak", "Pacific/Honolulu", None, "Mars/Olympus",
)  # fmt: skip
"""What stands in the customers' rows."""
_BUSINESS_ZONES: Final = (*_ZONES[:9], "EST")
_AREAS: Final = {
    "212": "America/New_York", "312": "America/Chicago", "303": "America/Denver", "602": "America/Phoenix",
    "213": "America/Los_Angeles", "808": "Pacific/Honolulu",
}  # fmt: skip
_KINDS: Final = ("ordinary",) * 45 + ("opted_out", "opted_out", "unknown", "bad number", "no number")

# Each strikes some requests of one round, at most so many.
_PASSING: Final[tuple[tuple[Fault, int], ...]] = (
    (AcceptThenDrop(), 4),
    (DropUnaccepted(), 4),
    (AcceptThenWait(timedelta(seconds=READ_SECONDS * 1.5)), 2),
    *((broken, 2) for broken in BrokenAnswer),
    (HtmlError(http_status=502, accepted=True), 2),
    (JsonError(20500, http_status=500, accepted=True), 2),
    (JsonError(20429, http_status=429, retry_after=timedelta(seconds=90)), 30),
    (ListError(), 10),
    (ListError(20429, http_status=429), 10),
)
_PASSING_LOOKS: Final[tuple[tuple[Fault, int], ...]] = ((FetchError(), 10), (FetchError(20429, http_status=429), 10))
_LASTING: Final[tuple[Fault, ...]] = (
    HtmlError(http_status=503),
    JsonError(20500, http_status=500),
    JsonError(20429, http_status=429),
    ListLag(timedelta(minutes=3)),
    ListLag(timedelta(minutes=9)),
    ListError(20503, http_status=503),
)
"""Each lasts for rounds."""
_CALLS: Final = (
    "claim_sms_texts", "begin_sms_attempt", "finish_sms_attempt", "group_sms_calls",
    "reconcile_sms_retry", "defer_sms_retry", "recover_stuck_sms_retries", "end_sms_retry", "queue_scheduled_sms",
)  # fmt: skip
"""The functions whose answers may be lost."""
_DELIVERY_CALLS: Final = ("claim_sms_deliveries", "finish_sms_delivery", "settle_sms_attempt")


@dataclass
class Harness:
    """One stack, one crew and the texts of one run."""

    stack: Stack
    crew: Crew
    seed: str
    without: Switch | None = None
    kills_wanted: int = 0
    scheduled: bool = False
    """Each text is a scheduled send at first."""
    carrier: Carrier | None = None
    """Reports what becomes of the messages. None: nobody does."""
    senders: Senders | None = None
    """Businesses move between senders. None: one sender sends for everybody."""
    asked: list[Asked] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    rounds: int = 0
    crashes: int = 0
    """`kill -9` of PostgreSQL."""
    restarts: int = 0
    answers_dropped: int = 0
    """Answers of the database, after it had committed."""
    slept: int = 0
    """Workers that stood still past their lease with texts in their hands."""
    poll_stalls: int = 0
    """The same while they looked after deliveries."""
    move_stalls: int = 0
    """Workers that stood still while the business of the text in their hands moved to another sender."""
    wrote: list[str] = field(default_factory=list)
    """Workers that sent or wrote after they had lost their claims."""
    unwatched: bool = False
    """Whether nobody looks after deliveries while texts wait, at the end."""
    refused: bool = False
    """Whether Twilio's port is closed to the workers."""
    read_seconds: float | None = None
    """How long the workers wait for Twilio's answer. None: as long as in production."""
    live: int = 0
    """Texts that have not ended, at the last outlook."""
    own: tuple[OwnSender, ...] = ()
    """The senders that businesses move between."""
    _lasting_until: int = 0

    # -- texts -------------------------------------------------------------------------------------------------------

    def queue(self, count: int, *, spread: timedelta = timedelta(0), zone: str | None = None) -> list[Text]:
        """Write texts that are due within `spread`, or plan them. Some are queued once more, which changes nothing.

        Args:
            zone: ordinary texts in this zone, and nothing else.
        """
        first, start = len(self.texts), self.stack.now()
        texts = [self._text(n, start + spread * dice(self.seed, "due", n), zone) for n in range(first, first + count)]
        self.texts += texts
        if self.carrier:
            self.carrier.expect(texts)
        with self.stack.connect() as connection:
            for n in range(0 if first else min(_BUSINESSES, count)):
                open_business(connection, texts[n].business_id, _BUSINESS_ZONES[n % 10])
            (plan if self.scheduled else write)(connection, texts)
            connection.execute("analyze sms_retry_queue")
        for n, text in enumerate(texts if self.senders and not first else ()):
            if n < _BUSINESSES:
                self.move(text, self.own[n % len(self.own)] if n % 5 else None)
        self._queue_again(texts[:: max(1, count // 20)])
        return texts

    def _text(self, n: int, due_at: datetime, only_zone: str | None) -> Text:
        kind = "ordinary" if only_zone else pick(_KINDS, self.seed, "kind", n)
        zone = only_zone or pick(_ZONES, self.seed, "zone", n)
        area, line = list(_AREAS)[n // 10_000 % len(_AREAS)], f"{n % 10_000:04}"
        clocks = {zone} if zone and zone != "Mars/Olympus" else {_AREAS[area], _BUSINESS_ZONES[n % _BUSINESSES % 10]}
        on = [ZoneInfo("America/New_York" if clock == "EST" else clock) for clock in clocks if clock]
        return new_text(
            self.seed,
            "text",
            n,
            due_at,
            business_id=new_id(self.seed, "business", n % _BUSINESSES),
            phone={"bad number": f"555-{line}", "no number": None}.get(kind, f"+1{area}555{line}"),
            zone=zone,
            consent=kind if kind in ("opted_out", "unknown") else "opted_in",
            expires_at=due_at + timedelta(hours=48),
            is_open=lambda at: all(time_of_day(8) <= at.astimezone(clock).time() < time_of_day(21) for clock in on),
        )

    def _queue_again(self, texts: Sequence[Text]) -> None:
        with SupabaseQueue(self.stack.settings()) as queue, self.stack.connect() as connection:
            for text in texts:
                if self.scheduled:
                    who = text.business_id, text.customer_id, text.body or "", text.due_at
                    planned = schedule_sms(*who, queue=queue, scheduled_id=text.send_log_id)
                    assert planned.result == "already_scheduled", planned
                    continue
                queued = queue_sms_retry(text.send_log_id, "twilio_error", queue=queue)
                assert (queued.result, queued.retry_id) == ("already_queued", text.retry_id), queued
                with suppress(psycopg.errors.UniqueViolation):
                    connection.execute(
                        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
                           values (%s, %s, %s, now())""",
                        [text.business_id, text.send_log_id, text.customer_id],
                    )
                    raise AssertionError("A second live row of one text was accepted")

    # -- one round ---------------------------------------------------------------------------------------------------

    def run_workers(self, *orders: dict[str, Any], crash: bool = False) -> None:
        """Start workers at once and wait for their ends; with `crash`, PostgreSQL does not live through it."""
        started = [self.start(**order) for order in orders]
        if crash:
            time.sleep(0.1 + 0.3 * dice(self.seed, "crash", self.rounds))
            self._crash()
        self.crew.wait(*started)
        # Twilio takes what comes in order: a later request tells that it has taken what dead workers had sent.
        with closing(HTTPConnection(urlsplit(self.stack.environment()["TWILIO_BASE_URL"]).netloc, timeout=30)) as asks:
            asks.request("GET", "/")
            asks.getresponse().read()

    def start(self, **order: Any) -> Line:
        """Start one worker."""
        settings = self.stack.settings().model_copy(update={"supabase_timeout_seconds": 5})
        more: dict[str, object] = {"twilio_read_timeout_seconds": self.read_seconds} if self.read_seconds else {}
        more |= {"twilio_status_callback_url": CALLBACK_URL} if self.carrier else {}
        more |= {"twilio_base_url": "http://127.0.0.1:9"} if self.refused else {}
        if self.senders:
            settings = self.senders.settings(settings)
        order.setdefault("queueing", self.scheduled and not order.get("stall_at") and not order.get("polling"))
        settings = settings.model_copy(update=more)
        return self.crew.start(Order(settings=settings, seed=self.seed, without=self.without, **order))

    def round(self, *, crash: bool = False, alone: bool = False) -> None:
        """One round in which everything may go wrong.

        Args:
            alone: somebody stands still, and is all that happens.
        """
        self.rounds += 1
        if self.rounds % 50 == 0:
            now = self.stack.now().isoformat(timespec="minutes")
            sys.stderr.write(f"round {self.rounds}: {self.live} texts live, {self.crew.kills.total()} kills, {now}\n")
        planned = self._plan_faults()
        self._let_twilio_learn()
        if not (alone and self._stand_still()):
            late = threading.Thread(target=self._change_beside_workers)
            late.start()
            workers = [self._mortal_or_not(n) for n in range(pick((1, 2, 4, 4), self.seed, "workers", self.rounds))]
            with self.carrier.at_work() if self.carrier else nullcontext():
                self.run_workers(*workers, *self._pollers(), crash=crash)
            late.join()
        self.answers_dropped += planned - len(self.stack.rpc_faults._due)
        self.stack.rpc_faults.clear()
        if self.rounds >= self._lasting_until:
            self.stack.twilio.heal()
        self._opt_out_some("between rounds")
        if self.senders:
            self.senders.settle()
            self._move_some("between rounds")
        self.stack.move_clock(timedelta(minutes=pick((0.5, 0.5, 0.5, 1, 1, 2, 11), self.seed, "move", self.rounds)))
        if _NIGHT[0] <= self.stack.now().time() < _NIGHT[1]:
            self.stack.set_clock(datetime.combine(self.stack.now(), _NIGHT[1], UTC))

    def _stand_still(self) -> bool:
        """By turns: past the lease with texts, past it with deliveries, or while a business moves."""
        ways = [self.stall, *([self.stall_poll] if self.carrier else []), *([self.stall_move] if self.senders else [])]
        ways[(self.slept + self.poll_stalls + self.move_stalls) % len(ways)]()
        return True

    def _mortal_or_not(self, n: int) -> dict[str, Any]:
        """A worker that probably dies has few texts, so that few fall back with it; the others do the work."""
        if self.scheduled and dice(self.seed, "queueing?", self.rounds, n) < 0.15:
            return {"limit": 50, "dies_queueing_after": 0.06 * dice(self.seed, "queueing", self.rounds, n)}
        ended = 1 - self.live / len(self.texts)
        is_behind = self.killed < self.kills_wanted * ended * 1.6
        if is_behind or dice(self.seed, "mortal?", self.rounds, n) < 0.2:
            # The point where the fewest died so far, about, and mostly one where nobody did. Not at each is somebody.
            died = self.crew.kills
            at = min(KILL_POINTS, key=lambda p: died[p] + (4 if died[p] else 2) * dice(self.seed, p, self.rounds, n))
            return {"limit": 4, "kill_rate": _MORTAL, "kill_at": at}
        return {"limit": 50}

    def _pollers(self) -> list[dict[str, Any]]:
        """One or two that look after deliveries; some die of it. Now and then there is none for a while."""
        if not self.carrier or self.rounds // _UNWATCHED % 2:
            return []
        orders: list[dict[str, Any]] = []
        for n in range(pick((1, 1, 2), self.seed, "pollers", self.rounds)):
            orders.append({"polling": True, "limit": 500})
            few = sum(self.crew.kills[point] for point in POLL_POINTS) < len(POLL_POINTS)
            if few or dice(self.seed, "mortal poller?", self.rounds, n) < 0.4:
                at = min(POLL_POINTS, key=lambda p: self.crew.kills[p] + 4 * dice(self.seed, p, self.rounds))
                orders[-1] |= {"kill_rate": _MORTAL, "kill_at": at}
        return orders

    @property
    def killed(self) -> int:
        """Workers that died with texts in hand. Those that died looking after deliveries come on top."""
        return self.crew.kills.total() - sum(self.crew.kills[point] for point in POLL_POINTS)

    @property
    def has_kills_to_come(self) -> bool:
        """Whether fewer workers have died than were asked for, or nobody yet at one of the points."""
        points = [*KILL_POINTS, *(["queueing"] if self.scheduled else []), *(POLL_POINTS if self.carrier else ())]
        return self.killed < self.kills_wanted or not all(self.crew.kills[point] for point in points)

    def _let_twilio_learn(self) -> None:
        """What it knows by now, it knows before a worker asks it."""
        if self.carrier:
            self.carrier.work()

    # -- workers that stand still ------------------------------------------------------------------------------------

    def stall(self, where: StallPoint | None = None) -> None:
        """Stop a worker past its lease, let another one have its texts, wake it: it may neither send nor write."""
        where = where or pick(("claimed", "begun"), self.seed, "stall", self.rounds)
        sleeper = self.start(limit=5, one_by_one=True, stall_at=where, oversleeps=_OVERSLEEPS)
        if (held := self.crew.wait_stalled(sleeper)) is None:
            return
        self.slept += 1
        self.stack.move_clock(_OVERSLEEPS)
        self._let_twilio_learn()
        # The other one dies with a text of the sleeper's accepted and not finished: the sleeper's next, for of the one
        # it stands still with it knows that it is late. A third takes what is claimed alone.
        self.run_workers({"limit": 50, "kill_targets": held[1:2]})
        self.run_workers({"limit": 50})
        self._wake(sleeper)

    def stall_poll(self) -> None:
        """The same between Twilio's word on a message and what follows."""
        looks = self._looks()
        sleeper = self.start(polling=True, limit=5, one_by_one=True, stall_at="asked")
        if self.crew.wait_stalled(sleeper) is None:
            return
        held = self._looks() - looks
        self.poll_stalls += 1
        self.stack.move_clock(_OVERSLEEPS)
        self._let_twilio_learn()
        for _ in range(5):  # one that Twilio does not answer leaves the rest to the next
            self.run_workers({"polling": True, "limit": 5000})
            if not held & self._looks():
                break
        self._wake(sleeper, judged=not held & self._looks())

    def stall_move(self, where: StallPoint | None = None) -> None:
        """Stop a worker before or after begin; the text's business moves to another sender; then wake it in time."""
        where = where or pick(("claimed", "begun"), self.seed, self.rounds)
        sleeper = self.start(limit=5, one_by_one=True, stall_at=where)
        if (held := self.crew.wait_stalled(sleeper)) is None:
            return
        self.move_stalls += 1
        self._move_any(next(text for text in self.texts if text.body == held[0]), "under its hands")
        sleeper.say("go on")
        self.crew.wait(sleeper)

    def _wake(self, sleeper: Line, *, judged: bool = True) -> None:
        before, state = None, self._state()
        while before != state:  # what a dead worker had asked for may still be under way in the database
            time.sleep(0.1)
            before, state = state, self._state()
        sleeper.say("go on")
        self.crew.wait(sleeper)
        if judged and before != self._state():
            self.wrote.append(f"round {self.rounds}: a worker woke, and wrote")

    def _looks(self) -> set[tuple[Any, int]]:
        """How often each message was looked at."""
        with self.stack.connect() as connection:
            found = connection.execute("select id, delivery_looks as n from sms_send_attempts")
            return {(row["id"], row["n"]) for row in found}

    def _state(self) -> Any:
        """Of everything a worker could have changed."""
        with self.stack.connect() as connection:
            row = connection.execute(
                """select (select md5(string_agg(q::text, '' order by id)) from sms_retry_queue q) as rows,
                          (select md5(string_agg(a::text, '' order by id)) from sms_send_attempts a) as attempts,
                          (select md5(string_agg(l::text, '' order by id)) from send_logs l) as logs"""
            ).fetchone()
        return row, len(self.stack.twilio.ledger.entries())

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def _plan_faults(self) -> int:
        """How many answers of the database are to be lost."""
        n, calls = self.rounds, 0
        storm = 1.0 if len(self.texts) <= 1000 else 0.5  # a long run has rounds enough for each of them
        if n >= self._lasting_until and dice(self.seed, "lasting?", n) < 0.1 * storm:
            self.stack.twilio.fail(pick(_LASTING, self.seed, "lasting", n), times=None)
            self._lasting_until = n + pick((2, 3, 5), self.seed, "how long", n)
        for k in range(2):
            if dice(self.seed, "passing?", n, k) < 0.5 * storm:
                faults = _PASSING + (_PASSING_LOOKS if self.carrier else ())
                fault, most = pick(faults, self.seed, "passing", n, k)
                self.stack.twilio.fail(fault, times=1 + int(dice(self.seed, "times", n, k) * most))
            if dice(self.seed, "call?", n, k) < 0.3 * storm:
                calls += 1
                named = _CALLS + (_DELIVERY_CALLS if self.carrier else ())
                self.stack.rpc_faults.drop_after_commit(pick(named, self.seed, "call", n, k))
        if self.without:
            self.stack.twilio.fail(AcceptThenDrop())
        if self.without == "quarantine":
            self.stack.twilio.fail(ListLag(timedelta(minutes=9)), times=None)
        return calls

    def _crash(self) -> None:
        if dice(self.seed, "crash or restart", self.crashes, self.restarts) < 0.6 or not self.crashes:
            self.crashes += 1
            self.stack.postgres.kill()
            self.stack.postgres.start()
        else:
            self.restarts += 1
            self.stack.postgres.restart()

    def _change_beside_workers(self) -> None:
        self._opt_out_some("beside workers")
        if self.senders:
            self._move_some("beside workers")

    def _opt_out_some(self, when: str) -> None:
        share = 0.01 / max(40, len(self.texts) / 25)  # of the texts a round, so about two in a hundred in the end
        chosen = [
            text for text in self.texts
            if text.stopped_at is None and dice(self.seed, "opt out", text.number, self.rounds, when) < share
        ][:5]  # fmt: skip
        for text in chosen:
            text.may_be_stopped = True
        if chosen:
            with suppress(psycopg.OperationalError):  # PostgreSQL is down just now; whether it was written, nobody asks
                opt_out(self.stack, chosen)
                for text in chosen:
                    text.stopped_at = self.stack.now()

    def _move_some(self, when: str) -> None:
        """In some rounds one business gets another sender, or the environment's; senders without a business go."""
        if dice(self.seed, "moves?", when, self.rounds) < 0.35:
            self._move_any(pick(self.texts[:_BUSINESSES], self.seed, "mover", when, self.rounds), when)

    def _move_any(self, text: Text, why: str) -> None:
        self.move(text, pick((*(None,) * 4, *self.own), self.seed, "moves to", why, self.rounds))

    def move(self, text: Text, sender: OwnSender | None) -> None:
        """The text's business gets another sender, or the environment's."""
        assert self.senders
        self.senders.move(text.business_id, sender)

    # -- peace -------------------------------------------------------------------------------------------------------

    def drain(self, *, most_rounds: int = 2000) -> None:
        """Heal everything and go on until no text is left, or so many rounds have passed."""
        self.stack.twilio.heal()
        self.stack.rpc_faults.clear()
        if self.without == "quarantine":
            self.stack.twilio.fail(ListLag(timedelta(minutes=9)), times=None)
        for _ in range(most_rounds):
            self.rounds += 1
            due_in = self.outlook()
            wait = max(due_in, timedelta(minutes=1)) if self.live else self._reports_in()
            if wait is None:
                return
            self.stack.move_clock(wait)
            self._let_twilio_learn()
            if self.live:
                self.run_workers({"limit": 50}, {"limit": 50})
            self._let_twilio_learn()
            if self.carrier and not (self.unwatched and self.live):
                self.run_workers({"polling": True, "limit": 5000})

    def _reports_in(self) -> timedelta | None:
        """How long until something is heard of a message, or longer. None: everything is known that ever will be."""
        if not self.carrier:
            return None
        if self.carrier.next_at:  # step by step: what is lost first and arrives later is sent again in between
            return max(self.carrier.next_at - self.stack.now(), timedelta(minutes=2))
        with self.stack.connect() as connection:
            row = connection.execute("select min(delivery_look_at) as next from sms_send_attempts").fetchone()
        return max(row["next"] - self.stack.now(), timedelta(hours=20)) if row and row["next"] else None

    def outlook(self) -> timedelta:
        """How long until a worker finds something to do; also counts what is `live`."""
        with self.stack.connect() as connection:
            row = connection.execute(
                """select count(*) as live, min(next) as next from (
                       select case status when 'pending' then scheduled_for
                              else greatest(claimed_at, begun_at) + interval '10 minutes 1 second' end as next
                       from sms_retry_queue where status in ('pending', 'processing')
                       union all
                       select coalesce(look_at, scheduled_for) from scheduled_sends where status = 'scheduled'
                   ) waiting"""
            ).fetchone()
        assert row is not None
        self.live = row["live"]
        return max(row["next"] - self.stack.now(), timedelta(0)) if self.live else timedelta(0)


@contextmanager
def harness(
    *,
    seed: str,
    on: Stack | None = None,
    without_: Switch | None = None,
    kills: int = 0,
    scheduled: bool = False,
    delivery: bool = False,
    senders: bool = False,
) -> Iterator[Harness]:
    """A running harness, at noon in New York; it leaves nothing behind.

    Args:
        on: an empty stack. Without one, a stack of its own.
        senders: 19 senders in 11 accounts besides the environment's.
    """
    with ExitStack() as opened:
        stack = on or opened.enter_context(running_stack())
        crew = opened.enter_context(Crew())
        stack.set_clock(NOON)
        if without_:
            opened.enter_context(without(stack, SWITCHES[without_]))
        town = Senders(stack, seed)
        own = tuple(
            town.open(
                n,
                account=n % 11,
                foreign=n % 11 > 5,
                number=n % 3 != 0,
                segments_per_second=40.0 if n % 5 == 0 else None,
            )
            for n in range(19 if senders else 0)
        )
        asked = opened.enter_context(listening(stack))
        carrier = opened.enter_context(Carrier(stack, seed, town.tokens)) if delivery else None
        known = town if senders else None
        yield Harness(stack, crew, seed, without_, kills, scheduled, carrier, known, asked, own=own)
