"""The senders of one run, each with a flow control of its own: what belongs to one decides for no other."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from smsretry.retry.answers import Lease
from smsretry.retry.models import Claim, SenderId
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.rate_limit import Clock, RateLimit
from smsretry.sending.run_control import RunControl


class Senders:
    """One per run. A sender is known by its messaging service or number, as in the database."""

    def __init__(
        self,
        lease: Callable[[str, int, float, float], Lease],
        default: SenderId,
        per_second: float | None,
        *,
        threads: int,
    ) -> None:
        """Prepare.

        Args:
            lease: takes segments of a sender's time, as `RetryQueue.lease`.
            default: the sender of the environment, for every business without one of its own.
            per_second: segments that it makes a second; None: nobody has to wait.
            threads: texts that the run processes at once.
        """
        self._lease = lease
        self.default: Final = default
        self.per_second: Final = per_second
        self._threads = threads
        self.run: Final = RunControl(self._key, self._account, threads=threads)
        """What they share."""
        self._clock = Clock()
        self._controls = dict[str, FlowControl]()
        self.environment: Final = self._control(default.sent_by or "", per_second)
        """That of the environment's."""

    def of(self, claim: Claim) -> FlowControl:
        """That of the sender which this text goes out from."""
        control = self._control(self._key(claim), None)
        if control.rate_limit and claim.sender:
            control.rate_limit.keep_to(claim.sender.segments_per_second)
        return control

    def _control(self, key: str, per_second: float | None) -> FlowControl:
        with self.run.lock:
            if key not in self._controls:
                rate_limit = RateLimit(partial(self._lease, key), per_second, self._clock)
                self._controls[key] = FlowControl(rate_limit, self.run)
            return self._controls[key]

    def _key(self, claim: Claim) -> str:
        return (claim.sender.sent_by if claim.sender else self.default.sent_by) or ""

    def _account(self, claim: Claim) -> str:
        return (claim.sender.account if claim.sender else self.default.account) or ""

    @property
    def each(self) -> dict[str, FlowControl]:
        """Those that the run has claimed texts of, and the environment's."""
        with self.run.lock:
            return dict(self._controls)

    # Claims

    @property
    def without(self) -> set[str]:
        """Senders whose texts are not to be claimed now."""
        return {key for key, control in self.each.items() if self._takes_no_more(control)}

    def _takes_no_more(self, control: FlowControl) -> bool:
        if control.has_ended or control.is_unsettled:
            return True
        most = control.rate_limit.max_in_flight(self._threads) if control.rate_limit else self._threads
        is_full = most < self._threads and len(control.in_flight) >= most
        return is_full or (control.is_busy and len(self._controls) > 1)

    def claimed(self, claims: Sequence[Claim], *, nobody_else_is_due: bool, without: Iterable[str] = ()) -> None:
        """Take note of rows that were claimed.

        Args:
            nobody_else_is_due: whether every business with a text due has one among them, whatever its sender.
            without: senders whose texts were not to be claimed.
        """
        asked = {key: control for key, control in self.each.items() if key not in without}
        rows = {control: list[Claim]() for control in asked.values()}
        for claim in claims:
            rows.setdefault(self.of(claim), []).append(claim)
        self.run.claimed(claims, nobody_else_is_due=nobody_else_is_due)
        for control, its in rows.items():
            due = [claim for claim in its if claim.in_doubt_since is None]
            if due:
                others_wait = self.run.gave_back or any(map(_others_wait, due))
                control.took(its, nobody_else_is_due=not others_wait)
            elif control in asked.values():
                control.took(its, nobody_else_is_due=nobody_else_is_due)
            else:
                control.in_flight.add(its)
        self._open_halfway(claims)

    def _open_halfway(self, claims: Iterable[Claim]) -> None:
        """Where sending had stopped before this run, one text goes first."""
        for claim in claims:
            probes = self.run.outage.probes
            if (opened_at := claim.provider_circuit_opened_at) and not probes.was_open:
                with self.run.lock:
                    probes.was_open = True
                    probes.start(open_for=claim.claimed_at - opened_at)
            own = claim.circuit_opened_at or (claim.circuit_open and not claim.provider_circuit_opened_at)
            if own and not (control := self.of(claim)).breaker.probes.was_open:
                control.start_half_open(claim)

    def done(self, claim: Claim) -> None:
        """Take note that a row is in its next state."""
        self.of(claim).done(claim)

    def have_room(self, at_most: int, *, idle: bool) -> bool:
        """Whether more may be claimed now: the threads have little left to do, and it is known whose trouble there is.

        Args:
            at_most: rows in flight beside which others are claimed.
            idle: whether the last claim brought nothing.
        """
        in_flight = len(self.run.in_flight)
        if self.run.cause_is_unknown:
            return in_flight == 0
        unsettled = [control.is_unsettled for control in self.each.values()]
        waits = all(unsettled) or (idle and any(unsettled))
        return not waits and in_flight <= at_most

    @property
    def are_unsettled(self) -> bool:
        """Whether the rows of some sender in flight must show first whose trouble it is."""
        return any(control.is_unsettled for control in self.each.values())

    @property
    def keep_to_a_rate(self) -> bool:
        """Whether texts are in flight that go out at their sender's rate, which may be what keeps the others."""
        return any(len(each.in_flight) and each.rate_limit and each.rate_limit.is_set for each in self.each.values())

    # The run

    @property
    def have_ended(self) -> bool:
        """Whether nothing more can go out of any sender that the run has claimed texts of."""
        used = [control for control in self.each.values() if control.businesses]
        return bool(used) and all(control.has_ended for control in used)

    @property
    def stopped_because(self) -> str | None:
        """Why no further send may begin: of any sender, or of none that has texts."""
        reasons = [control.stopped_because for control in self.each.values() if control.businesses]
        return self.run.stopped_because or (reasons[0] if reasons and all(reasons) else None)

    def stop(self, why: str) -> None:
        """Let no further send begin. The reason ends with this run."""
        self.run.stop(why)


def _others_wait(claim: Claim) -> bool:
    """Whether a business that texts through the same sender has a text due that the claim did not bring."""
    return claim.suspects_wait or (claim.others_wait and claim.sender_others_wait)
