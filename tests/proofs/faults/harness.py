"""Rounds of workers against the embedded stack, with everything going wrong that can; then peace, until all is done."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from typing import Any, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import psycopg

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
from tests.proofs.faults.carrier import CALLBACK_URL, Carrier
from tests.proofs.faults.crew import Crew
from tests.proofs.faults.orders import (
    KILL_POINTS,
    POLL_POINTS,
    SAFEGUARDS,
    Order,
    StallPoint,
)
from tests.proofs.town.luck import dice, new_id, pick
from tests.proofs.town.safeguards import without
from tests.proofs.town.senders import Senders
from tests.proofs.town.texts import (
    NEW_YORK,
    Text,
    new_text,
    open_business,
    opt_out,
    plan,
    write,
)
from tests.support.builders import NOON
from tests.support.records import Record, columns
from tests.support.senders import OwnSender

READ_SECONDS = 1.0
"""How long the workers wait for an answer of Twilio where some come later than that, in place of 35 s."""
_NIGHT = (time_of_day(7, 30), time_of_day(12, 55))
"""UTC: from after the last zone's closing until before the first one's opening there is little to do."""
_OVERSLEEPS = timedelta(minutes=11)
"""How long a worker stands still that loses its lease."""
STALLS = (
    "workers stalled past their lease",
    "pollers past their lease",
    "  under a worker's hands",
)
"""With texts in hand, with deliveries, and while the business of the text in hand moved to another sender."""
_UNWATCHED = 10
"""In how many rounds on end nobody looks after deliveries; in as many somebody does."""
_MORTAL = 0.4
"""Share of the claims whose worker dies, where one is to die. It has four, so that few fall back with it."""
_BUSINESSES = 20
_ZONES = (
    "America/New_York", "America/Chicago", "America/Denver", "America/Phoenix", "America/Los_Angeles",
    "America/Anchorage", "America/Adak", "Pacific/Honolulu", None, "America/Boise",
)  # fmt: skip
"""What stands in the customers' rows, and in the businesses'."""
_KINDS = ("ordinary",) * 45 + (
    "opted_out",
    "opted_out",
    "unknown",
    "bad number",
    "no number",
)

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
_PASSING_LOOKS: Final[tuple[tuple[Fault, int], ...]] = (
    (FetchError(), 10),
    (FetchError(20429, http_status=429), 10),
)
_LASTING: Final[tuple[Fault, ...]] = (
    HtmlError(http_status=503),
    JsonError(20500, http_status=500),
    JsonError(20429, http_status=429),
    ListLag(timedelta(minutes=3)),
    ListLag(timedelta(minutes=9)),
    ListError(20503, http_status=503),
)
"""Each lasts for rounds."""
_CALLS = (
    "claim_sms_texts", "begin_sms_attempt", "finish_sms_attempt", "group_sms_calls",
    "reconcile_sms_retry", "defer_sms_retry", "recover_stuck_sms_retries", "end_sms_retry", "queue_scheduled_sms",
)  # fmt: skip
"""The functions whose answers may be lost."""
_DELIVERY_CALLS = (
    "claim_sms_deliveries",
    "finish_sms_delivery",
    "settle_sms_attempt",
)


@dataclass
class Harness:
    """One stack, one crew and the texts of one run."""

    stack: Stack
    senders: Senders
    seed: str
    without: str | None = None
    kills_wanted: int = 0
    scheduled: bool = False
    """Each text is a scheduled send at first."""
    carrier: Carrier | None = None
    """Reports what becomes of the messages. None: nobody does."""
    own_senders: tuple[OwnSender, ...] = ()
    """The senders that businesses move between. None: the environment's sends for everybody."""
    texts: list[Text] = field(default_factory=list)
    rounds: int = 0
    counts: Counter[str] = field(
        default_factory=lambda: Counter(dict.fromkeys(STALLS, 0))
    )
    """What went wrong, as the report names it."""
    wrote: list[str] = field(default_factory=list)
    """Workers that sent or wrote after they had lost their claims."""
    refused: bool = False
    """Whether Twilio's port is closed to the workers."""
    read_seconds: float | None = None
    """How long the workers wait for Twilio's answer. None: as long as in production."""
    live: int = 0
    """Texts that have not ended, at the last outlook."""
    crew: Crew = field(default_factory=Crew)
    began: float = field(default_factory=time.monotonic)
    _lasting_until: int = 0

    # -- texts -------------------------------------------------------------------------------------------------------

    def queue(
        self, count: int, *, spread: timedelta = timedelta(0), zone: str | None = None
    ) -> list[Text]:
        """Write texts that are due within `spread`, or plan them.

        Args:
            zone: ordinary texts in this zone, and nothing else.
        """
        start_number, start = len(self.texts), self.stack.now()
        texts = [
            self._text(n, start + spread * dice(self.seed, "due", n), zone)
            for n in range(start_number, start_number + count)
        ]
        self.texts += texts
        if self.carrier:
            self.carrier.expect(texts)
        with self.stack.connect() as connection:
            for text in texts:
                business_zone = None if zone else _ZONES[text.number % 10]
                open_business(connection, text.business_id, business_zone)
            (plan if self.scheduled else write)(connection, texts)
            connection.execute("analyze sms_retry_queue")
        for n, text in enumerate(
            texts[:_BUSINESSES] if self.own_senders and not start_number else ()
        ):
            self.senders.move(
                text.business_id,
                self.own_senders[n % len(self.own_senders)] if n % 5 else None,
            )
        return texts

    def _text(self, n: int, due_at: datetime, only_zone: str | None) -> Text:
        kind = "ordinary" if only_zone else pick(_KINDS, self.seed, "kind", n)
        zone = only_zone or pick(_ZONES, self.seed, "zone", n)
        business_zone = None if only_zone else _ZONES[n % _BUSINESSES % 10]
        clocks = [ZoneInfo(name) for name in (NEW_YORK, zone, business_zone) if name]
        return new_text(
            self.seed,
            "text",
            n,
            due_at,
            business_id=new_id(self.seed, "business", n % _BUSINESSES),
            phone={"bad number": f"555-{n:04}", "no number": None}.get(
                kind, f"+1212{5550000 + n}"
            ),
            zone=zone,
            consent=kind if kind in ("opted_out", "unknown") else "opted_in",
            expires_at=due_at + timedelta(hours=48),
            is_open=lambda at: all(
                time_of_day(8) <= at.astimezone(clock).time() < time_of_day(21)
                for clock in clocks
            ),
        )

    # -- one round ---------------------------------------------------------------------------------------------------

    def run_workers(self, *orders: Record, crash: bool = False) -> None:
        """Start workers at once and wait for their ends; with `crash`, PostgreSQL does not live through it."""
        started = [self.start(**order) for order in orders]
        if crash:
            time.sleep(0.1 + 0.3 * dice(self.seed, "crash", self.rounds))
            self._crash()
        self.crew.wait(*started)
        # Twilio takes what comes in order: a later request tells that it has taken what dead workers had sent.
        with closing(
            HTTPConnection(
                urlsplit(self.stack.environment()["TWILIO_BASE_URL"]).netloc, timeout=30
            )
        ) as asks:
            asks.request("GET", "/")
            asks.getresponse().read()

    def start(self, **order: Any) -> Connection:
        """Start one worker."""
        settings = self.stack.settings().model_copy(
            update={"supabase_timeout_seconds": 5}
        )
        extra: dict[str, object] = (
            {"twilio_read_timeout_seconds": self.read_seconds}
            if self.read_seconds
            else {}
        )
        extra |= {"twilio_status_callback_url": CALLBACK_URL} if self.carrier else {}
        extra |= {"twilio_base_url": "http://127.0.0.1:9"} if self.refused else {}
        order.setdefault(
            "queueing",
            self.scheduled and not order.get("stall_at") and not order.get("polling"),
        )
        settings = self.senders.settings(settings).model_copy(update=extra)
        return self.crew.start(
            Order(settings=settings, seed=self.seed, without=self.without, **order)
        )

    def round(self, *, crash: bool = False, alone: bool = False) -> None:
        """One round in which everything may go wrong.

        Args:
            alone: somebody stands still, and is all that happens.
        """
        self.rounds += 1
        if self.rounds % 50 == 0:
            now = self.stack.now().isoformat(timespec="minutes")
            sys.stderr.write(
                f"round {self.rounds}: {self.live} texts live, {self.crew.kills.total()} kills, {now}\n"
            )
        planned = self._plan_faults()
        self._let_twilio_learn()
        if alone:
            self._stand_still()
        else:
            late = threading.Thread(target=self._change_beside_workers)
            late.start()
            crowd = pick((1, 2, 4, 4), self.seed, "workers", self.rounds)
            workers = [
                self._mortal_or_not(n) for n in range(min(crowd, 1 + self.live // 8))
            ]
            with self.carrier.at_work() if self.carrier else nullcontext():
                self.run_workers(*workers, *self._pollers(), crash=crash)
            late.join()
        self.counts["PostgreSQL's answers lost"] += planned - len(
            self.stack.rpc_faults._due
        )
        self.stack.rpc_faults.clear()
        if self.rounds >= self._lasting_until:
            self.stack.twilio.heal()
        self._opt_out_some("between rounds")
        self.senders.settle()
        self._move_some("between rounds")
        self.stack.move_clock(
            timedelta(
                minutes=pick(
                    (0.5, 0.5, 0.5, 1, 1, 2, 11), self.seed, "move", self.rounds
                )
            )
        )
        if _NIGHT[0] <= self.stack.now().time() < _NIGHT[1]:
            self.stack.set_clock(datetime.combine(self.stack.now(), _NIGHT[1], UTC))

    def _stand_still(self) -> None:
        """By turns: past the lease with texts, past it with deliveries, or while a business moves."""
        ways: list[Callable[[], None]] = [self.oversleep]
        ways += [self.oversleep_poll] if self.carrier else []
        ways += [self.move_beside] if self.own_senders else []
        ways[self.stood % len(ways)]()

    @property
    def stood(self) -> int:
        """Workers that stood still."""
        return sum(self.counts[way] for way in STALLS)

    def _mortal_or_not(self, n: int) -> Record:
        """A worker that probably dies has few texts, so that few fall back with it; the others do the work."""
        if self.scheduled and dice(self.seed, "queueing?", self.rounds, n) < 0.15:
            return {
                "limit": 50,
                "dies_queueing_after": 0.06
                * dice(self.seed, "queueing", self.rounds, n),
            }
        ended = 1 - self.live / len(self.texts)
        is_behind = self.killed < self.kills_wanted * ended * 1.6
        if is_behind or dice(self.seed, "mortal?", self.rounds, n) < 0.2:
            # The point where the fewest died so far, about, and mostly one where nobody did. Not at each is somebody.
            died = self.crew.kills
            at = min(
                KILL_POINTS,
                key=lambda p: (
                    died[p] + (4 if died[p] else 2) * dice(self.seed, p, self.rounds, n)
                ),
            )
            return {"limit": 4, "kill_rate": _MORTAL, "kill_at": at}
        return {"limit": 50}

    def _pollers(self) -> list[Record]:
        """One or two that look after deliveries; some die of it. Now and then there is none for a while."""
        if not self.carrier or self.rounds // _UNWATCHED % 2:
            return []
        orders: list[Record] = []
        for n in range(pick((1, 1, 2), self.seed, "pollers", self.rounds)):
            orders.append({"polling": True, "limit": 500})
            is_short = sum(self.crew.kills[point] for point in POLL_POINTS) < len(
                POLL_POINTS
            )
            if is_short or dice(self.seed, "mortal poller?", self.rounds, n) < 0.4:
                at = min(
                    POLL_POINTS,
                    key=lambda p: (
                        self.crew.kills[p] + 4 * dice(self.seed, p, self.rounds)
                    ),
                )
                orders[-1] |= {"kill_rate": _MORTAL, "kill_at": at}
        return orders

    @property
    def killed(self) -> int:
        """Workers that died with texts in hand. Those that died looking after deliveries come on top."""
        return self.crew.kills.total() - sum(
            self.crew.kills[point] for point in POLL_POINTS
        )

    @property
    def has_kills_to_come(self) -> bool:
        """Whether fewer workers have died than were asked for, or nobody yet at one of the points. None may have to."""
        if not self.kills_wanted:
            return False
        points = [
            *KILL_POINTS,
            *(["queueing"] if self.scheduled else []),
            *(POLL_POINTS if self.carrier else ()),
        ]
        return self.killed < self.kills_wanted or not all(
            self.crew.kills[point] for point in points
        )

    def _let_twilio_learn(self) -> None:
        """What it knows by now, it knows before a worker asks it."""
        if self.carrier:
            self.carrier.work()

    # -- workers that stand still ------------------------------------------------------------------------------------

    @contextmanager
    def _standing(self, **order: Any) -> Iterator[tuple[str, ...] | None]:
        """A worker stands still, and goes on afterwards. The texts it holds; None: it came to its end before that."""
        sleeper = self.start(limit=5, one_by_one=True, **order)
        bodies = self.crew.wait_stalled(sleeper)
        yield bodies
        if bodies is not None:
            sleeper.send("go on")
            self.crew.wait(sleeper)

    def oversleep(self, where: StallPoint | None = None) -> None:
        """Stop a worker past its lease, let another one have its texts, wake it: it may neither send nor write."""
        where = where or pick(("claimed", "begun"), self.seed, "stall", self.rounds)
        with self._standing(stall_at=where, oversleeps=_OVERSLEEPS) as bodies:
            if bodies is None:
                return
            self.counts[STALLS[0]] += 1
            self.stack.move_clock(_OVERSLEEPS)
            self._let_twilio_learn()
            # The other one dies with a text of the sleeper's accepted and not finished: the sleeper's next, for of the
            # one it stands still with it knows that it is late. A third takes what is claimed alone.
            self.run_workers({"limit": 50, "kill_targets": bodies[1:2]})
            self.run_workers({"limit": 50})
            before = self._settled()
        self._judge_the_sleeper(before)

    def oversleep_poll(self) -> None:
        """The same between Twilio's word on a message and what follows."""
        looks = self._looks()
        with self._standing(polling=True, stall_at="asked") as bodies:
            if bodies is None:
                return
            looks_taken = self._looks() - looks
            self.counts[STALLS[1]] += 1
            self.stack.move_clock(_OVERSLEEPS)
            self._let_twilio_learn()
            for _ in range(
                5
            ):  # one that Twilio does not answer leaves the rest to the next
                self.run_workers({"polling": True, "limit": 5000})
                if not looks_taken & self._looks():
                    break
            before = self._settled() if not looks_taken & self._looks() else None
        if before:
            self._judge_the_sleeper(before)

    def move_beside(self, where: StallPoint | None = None) -> None:
        """Stop a worker before or after begin; the text's business moves to another sender; then wake it in time."""
        where = where or pick(("claimed", "begun"), self.seed, self.rounds)
        with self._standing(stall_at=where) as bodies:
            if bodies is not None:
                self.counts[STALLS[2]] += 1
                self._move_any(
                    next(text for text in self.texts if text.body == bodies[0]),
                    "under its hands",
                )

    def _settled(self) -> Any:
        """The state, once nothing changes: what a dead worker had asked for may be under way in the database."""
        before, state = None, self._state()
        while before != state:
            time.sleep(0.1)
            before, state = state, self._state()
        return state

    def _judge_the_sleeper(self, before: Any) -> None:
        if before != self._state():
            self.wrote.append(f"round {self.rounds}: a worker woke, and wrote")

    def _looks(self) -> set[tuple[Any, int]]:
        """How often each message was looked at."""
        with self.stack.connect() as connection:
            rows = connection.execute(
                "select id, delivery_asks as n from sms_send_attempts"
            )
            return {columns(row, "id", "n") for row in rows}

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
        storm = (
            1.0 if len(self.texts) <= 1000 else 0.5
        )  # a long run has rounds enough for each of them
        if n >= self._lasting_until and dice(self.seed, "lasting?", n) < 0.1 * storm:
            self.stack.twilio.fail(pick(_LASTING, self.seed, "lasting", n), times=None)
            self._lasting_until = n + pick((2, 3, 5), self.seed, "how long", n)
        for k in range(2):
            if dice(self.seed, "passing?", n, k) < 0.5 * storm:
                faults = _PASSING + (_PASSING_LOOKS if self.carrier else ())
                fault, at_most = pick(faults, self.seed, "passing", n, k)
                self.stack.twilio.fail(
                    fault, times=1 + int(dice(self.seed, "times", n, k) * at_most)
                )
            if dice(self.seed, "call?", n, k) < 0.3 * storm:
                calls += 1
                named = _CALLS + (_DELIVERY_CALLS if self.carrier else ())
                self.stack.rpc_faults.drop_after_commit(
                    pick(named, self.seed, "call", n, k)
                )
        return calls

    @property
    def crashes(self) -> int:
        """How often PostgreSQL was killed, or restarted."""
        return self.counts["PostgreSQL killed"] + self.counts["PostgreSQL restarted"]

    def _crash(self) -> None:
        if self.crashes % 2:
            self.counts["PostgreSQL restarted"] += 1
            self.stack.postgres.restart()
        else:
            self.counts["PostgreSQL killed"] += 1
            self.stack.postgres.kill()
            self.stack.postgres.start()

    def _change_beside_workers(self) -> None:
        self._opt_out_some("beside workers")
        self._move_some("beside workers")

    def _opt_out_some(self, when: str) -> None:
        share = 0.01 / max(
            40, len(self.texts) / 25
        )  # of the texts a round, so about two in a hundred in the end
        chosen = [
            text for text in self.texts
            if text.stopped_at is None and dice(self.seed, "opt out", text.number, self.rounds, when) < share
        ][:5]  # fmt: skip
        for text in chosen:
            text.may_be_stopped = True
        if chosen:
            with suppress(
                psycopg.OperationalError
            ):  # PostgreSQL is down just now; whether it was written, nobody asks
                opt_out(self.stack, chosen)
                for text in chosen:
                    text.stopped_at = self.stack.now()

    def _move_some(self, when: str) -> None:
        """In some rounds one business gets another sender, or the environment's; senders without a business go."""
        if self.own_senders and dice(self.seed, "moves?", when, self.rounds) < 0.35:
            self._move_any(
                pick(self.texts[:_BUSINESSES], self.seed, "mover", when, self.rounds),
                when,
            )

    def _move_any(self, text: Text, cause: str) -> None:
        to = pick(
            (*(None,) * 4, *self.own_senders), self.seed, "moves to", cause, self.rounds
        )
        self.senders.move(text.business_id, to)

    # -- peace -------------------------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Heal everything and go on until no text is left, or 2,000 rounds have passed."""
        self.stack.twilio.heal()
        self.stack.rpc_faults.clear()
        for _ in range(2000):
            self.rounds += 1
            due_in = self.outlook()
            wait = (
                max(due_in, timedelta(minutes=1)) if self.live else self._reports_in()
            )
            if wait is None or self.crew.bugs:  # with a bug, it may never end
                return
            self.stack.move_clock(wait)
            self._let_twilio_learn()
            if self.live:
                self.run_workers({"limit": 50}, {"limit": 50})
            self._let_twilio_learn()
            if self.carrier:
                self.run_workers({"polling": True, "limit": 5000})

    def _reports_in(self) -> timedelta | None:
        """How long until something is heard of a message, or longer. None: everything is known that ever will be."""
        if not self.carrier:
            return None
        if self.carrier.next_at:  # step by step: what is lost first and arrives later is sent again in between
            return max(self.carrier.next_at - self.stack.now(), timedelta(minutes=2))
        with self.stack.connect() as connection:
            row = connection.execute(
                "select min(delivery_ask_at) as next from sms_send_attempts"
            ).fetchone()
        return (
            max(row["next"] - self.stack.now(), timedelta(hours=20))
            if row and row["next"]
            else None
        )

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
        return (
            max(row["next"] - self.stack.now(), timedelta(0))
            if self.live
            else timedelta(0)
        )


@contextmanager
def harness(
    stack: Stack,
    *,
    seed: str,
    missing: str | None = None,
    kills: int = 0,
    scheduled: bool = False,
    delivery: bool = False,
    senders: bool = False,
) -> Iterator[Harness]:
    """A running harness on an empty stack, at noon in New York; it leaves nothing behind.

    Args:
        missing: the safeguard that workers are without.
        senders: 19 senders in 11 accounts besides the environment's.
    """
    stack.set_clock(NOON)
    town = Senders(stack, seed)
    own_senders = tuple(
        town.open(
            n,
            account=n % 11,
            foreign=n % 11 > 5,
            number=n % 3 != 0,
            segments_per_second=40.0 if n % 5 == 0 else None,
        )
        for n in range(19 if senders else 0)
    )
    with (
        without(stack, SAFEGUARDS[missing] if missing else None),
        Carrier(stack, seed) if delivery else nullcontext() as carrier,
    ):
        yield Harness(
            stack, town, seed, missing, kills, scheduled, carrier, own_senders
        )
