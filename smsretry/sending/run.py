"""One run: recover, claim and process, until nothing is due now or later in the run's time; then report.

The flow makes Prefect tasks of the steps; `run_once` calls the same steps bare.
"""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from math import inf
from time import monotonic
from types import FrameType
from typing import Final
from uuid import UUID, uuid4

from smsretry.errors import QueueCancelled, QueueError
from smsretry.privacy import masked_sender
from smsretry.retry.answers import EarlierRun, InterruptedRun, Recovered
from smsretry.retry.models import AssignedSender, Claim, ItemResult
from smsretry.retry.profile import STALE_MINUTES
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Batch, Services
from smsretry.sending.summary import RunSummary, Stopped

CLAIM_SIZE: Final = 50
"""Due rows that one claim takes, and as many in doubt."""
MIN_SUSPECTS: Final = 50
"""Suspect rows that a run claims, one after the other, even when its time is over by then."""
POLL_SECONDS: Final = 1.0
"""How often a run that waits claims what has come due meanwhile."""
ATTENTIVE_SECONDS: Final = 0.25
"""The same while it lingers: after a text that was due at once, another one often comes."""
SLOW_SECONDS: Final = 30.0
"""How long a claim is repeated, each time without one more business whose row takes all its time."""
LONGEST_SECONDS: Final = 600.0
"""How long a run that waits for nothing goes on claiming while it finds something due."""
LINGER_SECONDS: Final = 5.0
"""How long a run that had something to do waits for more, although it knows of nothing that will be due; and for what
is due in a moment, even when its time is over: its sender's next slot, as a rule."""
_UNSURE: Final = (
    "Prefect did not say which runs there were before this one. The database may have been restored unnoticed, so this "
    "run sends nothing, and the next one asks again"
)
_UNCLAIMED: Final = "No text that is due could be claimed. The database says: {}"


def threads_for(concurrency: int) -> int:
    """How many threads keep so many requests to the provider under way, while other texts begin or are recorded."""
    return concurrency * 3 // 2 + 1


class Run:
    """One run over the queue, with the flow control that its rows share."""

    def __init__(self, services: Services, run_id: UUID | None = None) -> None:
        self._services = services
        self._started: Final = monotonic()
        self._until = self._started
        """When the run claims no more."""
        self.id: Final = run_id or uuid4()
        """Stored with each of its attempts. In Prefect it is the flow run's."""
        self.threads: Final = threads_for(services.concurrency)
        """Each sees one text through at a time, from the begin to the record."""
        self.interrupted: list[InterruptedRun] = []
        """Earlier runs that fell silent, or that the database has forgotten, and were not reported before."""
        self.recovered: list[Recovered] = []
        self.claim_size = CLAIM_SIZE
        """Due rows that one claim takes at most."""
        self.flow_control: Final = FlowControl(
            services.queue.set_stop, services.concurrency
        )
        self._slow = set[UUID]()
        """Businesses whose row took all the time of a claim. The run leaves them to the next one."""
        self._room: Mapping[str, int] = {}
        """Of the senders and businesses of which the last claim took no more."""
        self._claimed_ids = set[UUID]()
        """Due texts that it has claimed, but for those that were given back for want of capacity."""
        self._next_in: float | None = None
        """Seconds until something else is due, as the last claim said."""
        self._restored: str | None = None
        """The notice that the database was, or may have been, restored from a backup."""
        self.asked_to_stop: signal.Signals | None = None
        """The signal that ended the run."""
        self._ended_because: str | None = None
        """Why it could claim no more: the database's trouble."""
        self._refused: str | None = None
        """The database's error, if it refused every row of a claim."""

    @contextmanager
    def stopped_by(self, *signals: signal.Signals) -> Iterator[None]:
        """Let these signals stop the run and nothing else: sends under way end, and the rest is given back.

        Only the main thread may handle signals. In any other they keep their meaning.
        """

        def stop(number: int, _frame: FrameType | None) -> None:
            self.asked_to_stop = signal.Signals(number)
            self.flow_control.stop(
                f"This run was asked to stop ({self.asked_to_stop.name})"
            )

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        earlier_handlers = {number: signal.signal(number, stop) for number in signals}
        try:
            yield
        finally:
            for number, handler in earlier_handlers.items():
                signal.signal(number, handler)

    def start(
        self, stale_minutes: int, earlier: Sequence[EarlierRun] | None = ()
    ) -> None:
        """Tell the database of the run, and take back the rows whose worker has been silent for `stale_minutes`.

        Args:
            earlier: the last runs that the database accepted. If it does not know one of them, it was restored. None:
                nobody could say which; then the run sends nothing.
        """
        self.interrupted = self._services.queue.start_run(
            self.id, stale_minutes, earlier or ()
        )
        self._restored = next(
            (str(run) for run in self.interrupted if run.restored_since),
            _UNSURE if earlier is None else None,
        )
        if earlier is None:
            self.flow_control.stop("It is unknown whether the database was restored")
        self.recovered = self._services.queue.recover(stale_minutes)

    def claim(self, limit: int = CLAIM_SIZE) -> list[Claim]:
        """Take charge of up to `limit` due rows, and of as many in doubt whose next look has come."""
        try:
            batch = self._claim_batch(min(limit, self.claim_size))
        except QueueCancelled:
            if self.claim_size == 1:
                raise
            # One of the rows takes all the time, perhaps a trigger's of its business: the others go on beside it.
            self.claim_size = 1
            batch = self._claim_batch(1)
        self._next_in = batch.next_in
        return self._note_claimed(batch)

    def _claim_batch(self, size: int, *, suspect: bool = False) -> Batch:
        """The texts that may be claimed now, without the businesses whose row takes all the time of a claim."""
        queue, until = self._services.queue, monotonic() + SLOW_SECONDS
        while True:
            self._room = {} if suspect else self.flow_control.room
            batch = queue.claim_texts(
                size, room=self._room, slow=self._slow, suspect=suspect
            )
            if (
                batch.slow is None
                or monotonic() > until
                or self.flow_control.why_stopped
            ):
                return batch
            self._slow.add(batch.slow)

    def _note_claimed(self, batch: Batch) -> list[Claim]:
        self.flow_control.note_claimed(batch)
        if batch.refused:
            self._refused = _UNCLAIMED.format(batch.refused)
        return list(batch.texts)

    def drain(
        self, first_claims: Sequence[Claim], *, limit: int, seconds: float
    ) -> Iterator[list[Claim]]:
        """Yield claims to process: first these, then what comes due in the run's time.

        The caller has other threads process them meanwhile. The next claims come once a thread is free. What was given
        back for want of capacity is claimed again once there is some.

        Args:
            limit: the most due rows that the run takes.
            seconds: the run's time, counted from its start. 0: it takes what is due and waits for nothing else.
        """
        claims = list(first_claims)
        ends = self._started + seconds
        self._until = ends if seconds else self._started + LONGEST_SECONDS
        idle_from = -inf
        wait = partial(
            self.flow_control.wait_to_claim,
            until=self._until,
            most_in_flight=self.threads,
        )
        while True:
            due = {text.id for text in claims if text.in_doubt_since is None}
            has_doubtful = len(due) < len(claims)
            is_new = has_doubtful or not due <= self._claimed_ids
            self._claimed_ids |= due
            if claims:
                yield claims
            if not wait(at=-inf, room=self._room):
                return
            pause = inf  # at the limit
            if len(self._claimed_ids) < limit:
                pause = 0 if is_new else self._pause(ends, idle_from)
                idle_from = monotonic() if is_new else idle_from
            if not wait(at=monotonic() + pause, room=self._room):
                return
            try:
                # At the limit only what is in doubt is claimed.
                claims = self.claim(max(limit - len(self._claimed_ids), 0))
            except QueueError as error:
                # The rows in flight are finished, and the next run asks again.
                self._ended_because = str(error)
                return

    def _pause(self, ends: float, idle_from: float) -> float:
        """Seconds until the next claim, after one that brought nothing new; inf if nothing will be due in time."""
        now, due_in = monotonic(), inf if self._next_in is None else self._next_in
        linger_ends = idle_from + LINGER_SECONDS
        if now < min(linger_ends, ends):
            return min(ATTENTIVE_SECONDS, due_in or inf)
        if now + due_in < max(ends, linger_ends):
            return min(POLL_SECONDS, due_in or inf)
        return inf

    def suspects(self) -> Iterator[Claim]:
        """Suspect rows, whose workers died more than once, each claimed when the one before it is done.

        If one of them is what kills its worker, that has nothing else in flight.
        """
        seen_ids = set[UUID]()
        self.flow_control.claims_one_by_one = True
        while (
            len(seen_ids) < MIN_SUSPECTS or monotonic() < self._until
        ) and not self.flow_control.why_stopped:
            try:
                claims = self._note_claimed(self._claim_batch(1, suspect=True))
            except QueueError as error:
                self._ended_because = self._ended_because or str(error)
                return
            yield from claims
            if not claims or claims[0].id in seen_ids:
                return  # it was given back, and would only come again
            seen_ids.add(claims[0].id)

    def process(self, claim: Claim) -> ItemResult:
        """Bring one row to its next state."""
        services = self._services
        try:
            result = process_sms_retry_item(
                claim,
                queue=services.queue,
                provider=services.provider,
                flow_control=self.flow_control,
                profile=services.profile,
                run_id=self.id,
            )
            if result.why_code == "at_capacity":
                self._claimed_ids.discard(claim.id)  # it counts when it comes again
            return result
        finally:
            self.flow_control.release(claim)

    def _stopped(self) -> Iterator[Stopped]:
        """Everybody and senders, if they have stopped."""
        default = self._services.provider.default
        for circuit in self.flow_control.stopped:
            sender, why = circuit.sender, circuit.why_stopped
            if why and circuit.key[0] != "business":
                yield Stopped(
                    what=_name_of(sender),
                    why=why,
                    is_news=circuit.is_news,
                    concerns_all=sender is None or sender.sent_by == default.sent_by,
                    businesses=len(circuit.businesses),
                )

    def report(self, results: Sequence[ItemResult]) -> RunSummary:
        """End the run, and add it up."""
        control, stopped = self.flow_control, list(self._stopped())
        for_all = next((stop.why for stop in stopped if stop.concerns_all), None)
        unclaimed = None if results else self._refused
        summary = RunSummary.of(
            recovered=self.recovered,
            results=results,
            duration_seconds=round(monotonic() - self._started, 3),
            why_stopped=control.why_stopped
            or for_all
            or self._ended_because
            or unclaimed,
            stopped=stopped,
            database_broken=bool(control.database_trouble or unclaimed),
            texts_only=self._services.provider.audience.description,
            restored=self._restored,
        )
        self._services.queue.finish_run(
            self.id, str(summary), needs_attention=summary.needs_attention
        )
        return summary


def _name_of(sender: AssignedSender | None) -> str:
    if sender is None:
        return "sending"
    if sender.whose:
        return f"the sender of {sender.whose}"
    return f"sender {masked_sender(sender.sent_by or '')}"


def run_once(
    run: Run,
    *,
    limit: int = CLAIM_SIZE,
    seconds: float = 0,
    stale_minutes: int = STALE_MINUTES,
) -> tuple[list[ItemResult], RunSummary]:
    """Make a whole run without Prefect: what became of each row, and the numbers. The limits are those of `drain`."""
    run.start(stale_minutes)

    def process(claim: Claim) -> ItemResult:
        try:
            return run.process(claim)
        except Exception as error:  # noqa: BLE001 - one bad row never stops the others
            return ItemResult.error(claim, str(error))

    with ThreadPoolExecutor(run.threads) as pool:
        first_claims = run.claim(limit)
        under_way = [
            pool.submit(process, claim)
            for claims in run.drain(
                first_claims,
                limit=limit,
                seconds=seconds,
            )
            for claim in claims
        ]
    items = [future.result() for future in under_way]
    items += map(process, run.suspects())
    return items, run.report(items)
