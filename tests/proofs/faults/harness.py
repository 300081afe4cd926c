"""Rounds of workers against the embedded stack, with everything going wrong that can; then peace, until all is done."""

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from http.client import HTTPConnection
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import UUID

import psycopg

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, ListLag
from smsretry.sending.entry import queue_sms_retry, schedule_sms
from tests.proofs.faults.carrier import CALLBACK_URL, Carrier
from tests.proofs.faults.crew import Crew
from tests.proofs.faults.moves import Movers, moving
from tests.proofs.faults.orders import KILL_POINTS, POLL_POINTS, Order, StallPoint, Switch, dice, pick
from tests.proofs.faults.switches import remove_asking, remove_fence, remove_ranks, remove_sender
from tests.proofs.faults.texts import PlannedText, insert, insert_scheduled
from tests.proofs.faults.troubles import LASTING, calls, passing
from tests.proofs.faults.wire import Asked, listening
from tests.support.builders import NOON
from tests.support.stacks import running_stack

IN_FLIGHT: Final = timedelta(seconds=15)
"""An opt-out while workers run may find a request under way, for as long as the pipeline lets one begin."""
NIGHT_BEGINS: Final = time_of_day(7, 30)
NIGHT_ENDS: Final = time_of_day(12, 55)
"""UTC: from after the last zone's closing until before the first one's opening there is little to do."""
_OVERSLEEPS: Final = timedelta(minutes=11)
"""How long a worker stands still that loses its lease."""
_LEISURE: Final = timedelta(hours=20)
"""How long nobody looks after deliveries at the end, when no text waits any more."""
_STEP: Final = timedelta(minutes=2)
"""How far the clock moves at least while Twilio still learns of messages, and no text waits any more."""
_UNWATCHED: Final = 10
"""In how many rounds on end nobody looks after deliveries; in as many somebody does."""
MORTAL_LIMIT: Final = 4
MORTAL_RATE: Final = 0.4
_CLOSED_PORT: Final = "http://127.0.0.1:9"


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
    movers: Movers | None = None
    """Businesses with senders of their own. None: one sender sends for everybody."""
    asked: list[Asked] = field(default_factory=list)
    """What Twilio was asked, and in which account."""
    texts: list[PlannedText] = field(default_factory=list)
    rounds: int = 0
    crashes: int = 0
    """`kill -9` of Postgres."""
    restarts: int = 0
    answers_dropped: int = 0
    """Answers of the database, after it had committed."""
    woke_and_wrote: int = 0
    """Stalled workers that sent or wrote after they had lost their claims."""
    unwatched: bool = False
    """Whether nobody looks after deliveries while texts wait, at the end."""
    poll_stalls: int = 0
    """Workers stopped past their lease while they looked after deliveries."""
    move_stalls: int = 0
    """Workers stopped while the business of the text in their hands moved to another sender."""
    refused: bool = False
    """Whether Twilio's port is closed to the workers."""
    read_seconds: float | None = None
    """How long the workers wait for Twilio's answer. None: as long as in production."""
    live: int = 0
    """Texts that have not ended, at the last outlook."""
    _worker: int = 0
    _calls_planned: int = 0
    _lasting_until: int = 0

    # -- one round ---------------------------------------------------------------------------------------------------

    def run_workers(self, orders: Sequence[dict[str, Any]], *, crash: bool = False) -> None:
        """Start workers at once and wait for their ends; with `crash`, Postgres does not live through it."""
        started = [self.start(**order) for order in orders]
        if crash:
            time.sleep(0.1 + 0.3 * dice(self.seed, "crash", self.rounds))
            self._crash()
        self.crew.wait(started)
        self._await_twilio()

    def _await_twilio(self) -> None:
        """Until it has taken what dead workers had sent: it takes what comes in order, so a later request tells."""
        url = urlsplit(self.stack.environment()["TWILIO_BASE_URL"])
        connection = HTTPConnection(url.netloc, timeout=30)
        with closing(connection):
            connection.request("GET", "/")
            connection.getresponse().read()

    def start(self, **order: Any) -> int:
        """Start one worker; its number."""
        self._worker += 1
        environment: dict[str, object] = {name.lower(): value for name, value in self.stack.environment().items()}
        environment["supabase_timeout_seconds"] = 5
        if self.read_seconds:
            environment["twilio_read_timeout_seconds"] = self.read_seconds
        if self.carrier:
            environment["twilio_status_callback_url"] = CALLBACK_URL
        if self.movers:
            environment["twilio_accounts"] = self.movers.platform.credentials()
        if self.refused:
            environment["twilio_base_url"] = _CLOSED_PORT
        order.setdefault("queueing", self.scheduled and not order.get("stall_at") and not order.get("polling"))
        self.crew.start(Order(worker=self._worker, settings=environment, seed=self.seed, without=self.without, **order))
        return self._worker

    def round(
        self, *, crash: bool = False, stall: bool = False, stall_poll: bool = False, stall_move: bool = False
    ) -> None:
        """One round in which everything may go wrong."""
        self.rounds += 1
        if self.rounds % 50 == 0:
            now = self.stack.now().isoformat(timespec="minutes")
            sys.stderr.write(f"round {self.rounds}: {self.live} texts live, {self.crew.kills.total()} kills, {now}\n")
        self._plan_faults()
        self._let_twilio_learn()
        if stall:
            self.stall()
        elif stall_poll:
            self.stall_poll()
        elif stall_move:
            self.stall_move()
        else:
            late = threading.Thread(target=self._change_beside_workers)
            late.start()
            count = pick((1, 2, 4, 4), self.seed, "workers", self.rounds)
            with self._carrier_at_work():
                orders = [self._mortal_or_not(n) for n in range(count)]
                self.run_workers([*orders, *self._pollers()], crash=crash)
            late.join()
        self.answers_dropped += self._calls_planned - len(self.stack.rpc_faults._due)
        self.stack.rpc_faults.clear()
        if self.rounds >= self._lasting_until:
            self.stack.twilio.heal()
        self._opt_out_some(timedelta(0))
        if self.movers:
            self.movers.settle()
            self.movers.move_some("between rounds", self.rounds)
        self.stack.move_clock(timedelta(minutes=pick((0.5, 0.5, 0.5, 1, 1, 2, 11), self.seed, "move", self.rounds)))
        if NIGHT_BEGINS <= self.stack.now().time() < NIGHT_ENDS:
            self.stack.set_clock(datetime.combine(self.stack.now(), NIGHT_ENDS, UTC))

    def _mortal_or_not(self, n: int) -> dict[str, Any]:
        """A worker that probably dies has few texts, so that few fall back with it; the others do the work."""
        ended = 1 - self.live / len(self.texts)
        if self.scheduled and dice(self.seed, "queueing?", self.rounds, n) < 0.15:
            return {"limit": 50, "dies_queueing_after": 0.06 * dice(self.seed, "queueing", self.rounds, n)}
        behind = self.killed < self.kills_wanted * ended * 1.6
        if behind or dice(self.seed, "mortal?", self.rounds, n) < 0.2:
            # The point where the fewest died so far, about: not at each is there somebody to die.
            at = min(KILL_POINTS, key=lambda p: self.crew.kills[p] + 4 * dice(self.seed, p, self.rounds, n))
            return {"limit": MORTAL_LIMIT, "kill_rate": MORTAL_RATE, "kill_at": at}
        return {"limit": 50}

    @property
    def killed(self) -> int:
        """Workers that died with texts in hand. Those that died looking after deliveries come on top."""
        return self.crew.kills.total() - sum(self.crew.kills[point] for point in POLL_POINTS)

    @property
    def has_kills_to_come(self) -> bool:
        """Whether fewer workers have died than were asked for, or nobody yet at one of the points."""
        points: list[str] = [*KILL_POINTS]
        if self.scheduled:
            points.append("queueing")
        if self.carrier:
            points += POLL_POINTS
        return self.killed < self.kills_wanted or not all(self.crew.kills[point] for point in points)

    def _pollers(self) -> list[dict[str, Any]]:
        """One or two that look after deliveries; some die of it. Now and then there is none for a while."""
        if not self.carrier or self.rounds // _UNWATCHED % 2:
            return []
        orders = []
        for n in range(pick((1, 1, 2), self.seed, "pollers", self.rounds)):
            few = sum(self.crew.kills[point] for point in POLL_POINTS) < len(POLL_POINTS)
            mortal = few or dice(self.seed, "mortal poller?", self.rounds, n) < 0.4
            at = min(POLL_POINTS, key=lambda p: self.crew.kills[p] + 4 * dice(self.seed, p, self.rounds))
            orders.append(
                {"polling": True, "limit": 500} | ({"kill_rate": MORTAL_RATE, "kill_at": at} if mortal else {})
            )
        return orders

    @contextmanager
    def _carrier_at_work(self) -> Iterator[None]:
        with self.carrier.at_work() if self.carrier else nullcontext():
            yield

    def _let_twilio_learn(self) -> None:
        """What it knows by now, it knows before a worker asks it."""
        if self.carrier:
            self.carrier.work()

    @property
    def slept(self) -> int:
        """Workers that were stopped past their lease with texts in their hands."""
        return self.crew.stalls - self.poll_stalls - self.move_stalls

    def stall_move(self, where: StallPoint | None = None) -> None:
        """Stop a worker before or after begin; the text's business moves to another sender; then wake it in time."""
        assert self.movers
        where = where or pick(("claimed", "begun"), self.seed, self.rounds)
        sleeper = self.start(limit=5, one_by_one=True, stall_at=where)
        held = self.crew.wait_stopped(sleeper)
        if held is None:
            return
        self.move_stalls += 1
        [text] = [text for text in self.texts if text.body == held[0]]
        self.movers.move(text.business_id, "under its hands", self.rounds)
        self.crew.resume(sleeper)
        self.crew.wait([sleeper])

    def stall_poll(self) -> None:
        """Stop a worker between Twilio's word and what follows, past its lease; another one looks; then wake it."""
        looks = self._looks()
        sleeper = self.start(polling=True, limit=5, one_by_one=True, stall_at="asked")
        if self.crew.wait_stopped(sleeper) is None:
            return
        held = self._looks().items() - looks.items()
        self.poll_stalls += 1
        self.stack.move_clock(_OVERSLEEPS)
        self._let_twilio_learn()
        for _ in range(5):  # one that Twilio does not answer leaves the rest to the next
            self.run_workers([{"polling": True, "limit": 5000}])
            if not held & self._looks().items():
                break
        before = self._state_at_rest()
        taken_over = not held & self._looks().items()
        self.crew.resume(sleeper)
        self.crew.wait([sleeper])
        self.woke_and_wrote += taken_over and before != self._state()

    def _looks(self) -> dict[UUID, int]:
        """How often each message was looked at."""
        with self.stack.connect() as connection:
            return {
                row["id"]: row["n"]
                for row in connection.execute("select id, delivery_looks as n from sms_send_attempts")
            }

    def stall(self, where: StallPoint | None = None) -> None:
        """Stop a worker past its lease, let another one have its texts, wake it: it may neither send nor write."""
        where = where or pick(("claimed", "begun"), self.seed, "stall", self.rounds)
        sleeper = self.start(limit=5, one_by_one=True, stall_at=where, oversleeps=_OVERSLEEPS)
        held = self.crew.wait_stopped(sleeper)
        if held is None:
            return
        self.stack.move_clock(_OVERSLEEPS)
        self._let_twilio_learn()
        # The other one dies with a text of the sleeper's accepted and not finished: the sleeper's next, for of the one
        # it stands still with it knows that it is late.
        self.run_workers([{"limit": 50, "kill_targets": held[1:2]}])
        # It died before the end of its run, where texts are taken that are claimed alone. Another takes them now: the
        # sleeper might do so rightly.
        self.run_workers([{"limit": 50}])
        before = self._state_at_rest()
        self.crew.resume(sleeper)
        self.crew.wait([sleeper])
        self.woke_and_wrote += before != self._state()

    # -- what goes wrong ---------------------------------------------------------------------------------------------

    def _plan_faults(self) -> None:
        n = self.rounds
        self._calls_planned = 0
        storm = 1.0 if len(self.texts) <= 1000 else 0.5  # a long run has rounds enough for each of them
        if n >= self._lasting_until and dice(self.seed, "lasting?", n) < 0.1 * storm:
            self.stack.twilio.fail(pick(LASTING, self.seed, "lasting", n), times=None)
            self._lasting_until = n + pick((2, 3, 5), self.seed, "how long", n)
        for k in range(2):
            if dice(self.seed, "passing?", n, k) < 0.5 * storm:
                fault, most = pick(passing(looks=bool(self.carrier)), self.seed, "passing", n, k)
                self.stack.twilio.fail(fault, times=1 + int(dice(self.seed, "times", n, k) * most))
        if self.without:
            self.stack.twilio.fail(AcceptThenDrop())
        if self.without == "quarantine":
            self.stack.twilio.fail(ListLag(timedelta(minutes=9)), times=None)
        for k in range(2):
            if dice(self.seed, "call?", n, k) < 0.3 * storm:
                self._calls_planned += 1
                self.stack.rpc_faults.drop_after_commit(pick(calls(looks=bool(self.carrier)), self.seed, "call", n, k))

    def _crash(self) -> None:
        if dice(self.seed, "crash or restart", self.crashes, self.restarts) < 0.6 or not self.crashes:
            self.crashes += 1
            self.stack.postgres.kill()
            self.stack.postgres.start()
        else:
            self.restarts += 1
            self.stack.postgres.restart()

    def _change_beside_workers(self) -> None:
        self._opt_out_some(IN_FLIGHT)
        if self.movers:
            self.movers.move_some("beside workers", self.rounds)

    def _opt_out_some(self, grace: timedelta) -> None:
        share = 0.01 / max(40, len(self.texts) / 25)  # of the texts a round, so about two in a hundred in the end
        chosen = [
            text
            for text in self.texts
            if text.opted_out_at is None and dice(self.seed, "opt out", text.number, self.rounds, grace) < share
        ][:5]
        if not chosen:
            return
        try:
            with self.stack.connect() as connection:
                connection.execute(
                    "update customers set sms_consent_status = 'opted_out' where id = any(%s)",
                    [[text.customer_id for text in chosen]],
                )
        except psycopg.OperationalError:
            return  # Postgres is down just now; whether it was written does not matter to anybody
        for text in chosen:
            text.opted_out_at = self.stack.now() + grace

    # -- queueing ----------------------------------------------------------------------------------------------------

    def queue(self, texts: Sequence[PlannedText]) -> None:
        """Write the texts; some are queued once more, in each way there is, which must change nothing."""
        self.texts.extend(texts)
        if self.carrier:
            self.carrier.expect(texts)
        if self.scheduled:
            self._schedule(texts)
        else:
            self._queue(texts)
        if self.movers:
            self.movers.move_in(sorted({text.business_id for text in texts}))

    def _queue(self, texts: Sequence[PlannedText]) -> None:
        insert(self.stack, texts)
        with SupabaseQueue(self.stack.settings()) as queue, self.stack.connect() as connection:
            for text in texts[:: max(1, len(texts) // 20)]:
                again = queue_sms_retry(text.send_log_id, "twilio_error", queue=queue)
                assert again.result == "already_queued", again
                assert again.retry_id == text.retry_id
                try:
                    connection.execute(
                        """insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
                           values (%s, %s, %s, now())""",
                        [text.business_id, text.send_log_id, text.customer_id],
                    )
                except psycopg.errors.UniqueViolation:
                    continue
                raise AssertionError("A second live row of one text was accepted")

    def _schedule(self, texts: Sequence[PlannedText]) -> None:
        """Plan the texts; some are planned once more, which must change nothing."""
        insert_scheduled(self.stack, texts)
        with SupabaseQueue(self.stack.settings()) as queue:
            for text in texts[:: max(1, len(texts) // 20)]:
                again = schedule_sms(
                    text.business_id,
                    text.customer_id,
                    text.body,
                    text.due_at,
                    queue=queue,
                    scheduled_id=text.send_log_id,
                )
                assert again.result == "already_scheduled", again

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
                self.run_workers([{"limit": 50}] * 2)
            self._let_twilio_learn()
            if self.carrier and not (self.unwatched and self.live):
                self.run_workers([{"polling": True, "limit": 5000}])

    def _reports_in(self) -> timedelta | None:
        """How long until something is heard of a message, or longer. None: everything is known that ever will be."""
        if not self.carrier:
            return None
        with self.stack.connect() as connection:
            row = connection.execute("select min(delivery_look_at) as next from sms_send_attempts").fetchone()
        if self.carrier.next_at:  # step by step: what is lost first and arrives later is sent again in between
            return max(self.carrier.next_at - self.stack.now(), _STEP)
        return max(row["next"] - self.stack.now(), _LEISURE) if row and row["next"] else None

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

    def _state_at_rest(self) -> Any:
        """What a dead worker had asked for may still be under way in the database: until nothing moves."""
        before, state = None, self._state()
        while before != state:
            time.sleep(0.1)
            before, state = state, self._state()
        return state

    def _state(self) -> Any:
        """Of everything a worker could have changed."""
        with self.stack.connect() as connection:
            row = connection.execute(
                """select (select md5(string_agg(q::text, '' order by id)) from sms_retry_queue q) as rows,
                          (select md5(string_agg(a::text, '' order by id)) from sms_send_attempts a) as attempts,
                          (select md5(string_agg(l::text, '' order by id)) from send_logs l) as logs"""
            ).fetchone()
        return row, len(self.stack.twilio.ledger.entries())


@contextmanager
def harness(
    *,
    seed: str,
    on: Stack | None = None,
    start: datetime = NOON,
    without: Switch | None = None,
    kills: int = 0,
    scheduled: bool = False,
    delivery: bool = False,
    senders: bool = False,
) -> Iterator[Harness]:
    """A running harness whose clock is at `start`; it leaves nothing behind.

    Args:
        on: an empty stack. Without one, a stack of its own.
    """
    with ExitStack() as opened:
        stack = on or opened.enter_context(running_stack())
        crew = opened.enter_context(Crew())
        stack.set_clock(start)
        if without == "fence":
            remove_fence(stack)
        if without == "sender":
            remove_sender(stack)
        if without == "ranks":
            remove_ranks(stack)
        if without in ("asking", "patience"):  # whoever asks also notices what may still arrive
            remove_asking(stack)
        asked = opened.enter_context(listening(stack))
        movers = opened.enter_context(moving(stack, seed)) if senders else None
        tokens = movers.platform.tokens if movers else None
        carrier = opened.enter_context(Carrier(stack, seed, tokens)) if delivery else None
        yield Harness(stack, crew, seed, without, kills, scheduled, carrier, movers, asked)
