"""When a text may go out: in every zone the recipient may be in, under every rule that applies to them.

Where they may be is `whereabouts`; what the rules permit is `windows`. Here the two meet, at an instant that is given:
half-open spans on the recipient's clock, 08:00–21:00 at the widest (47 CFR 64.1200(c)(1)). Unknown is never a licence.

Wall clocks are read with the standard library on `tzdata`'s rules, instants are kept in UTC. Nothing here asks
what time it is.
"""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pendulum
from pendulum import DateTime

from smsretry import data
from smsretry.quiet_hours.hours import Week
from smsretry.quiet_hours.openings import HORIZON, next_change
from smsretry.quiet_hours.whereabouts import Found, Whereabouts, whereabouts
from smsretry.quiet_hours.windows import FEDERAL_WINDOW, Window, window_of
from smsretry.words import MessageClass, RuleSet


@dataclass(frozen=True, slots=True)
class QuietHoursCheck:
    """May a text go out at the instant asked about? Yes, or from when, or the reason why a person must look.

    Exactly one of `can_send`, `next_send_at`, `held` and `refused` is the answer.
    """

    can_send: bool
    next_send_at: DateTime | None
    """The next opening, in UTC; None while open, and when there is none."""
    closes_at: DateTime | None
    """While open: the first instant that is no longer permitted, in UTC."""
    rule: str
    """The rule and the zones it was read in, for people and for the record."""
    held: str | None = None
    """Why there is no opening (no zone, none within eight days, a stopped state), and what to do."""
    refused: str | None = None
    """Why no text can ever be sent to this number."""
    zones: tuple[Found, ...] = ()
    states: tuple[Found, ...] = ()
    window: Window = FEDERAL_WINDOW
    """The hours that every rule permits, and the rules with their ids and sources."""
    notes: tuple[str, ...] = ()
    """What was given and not understood."""

    def local_times(self, moment: datetime) -> tuple[datetime, ...]:
        """An instant, such as `next_send_at`, on the clock of each of the zones, in their order.

        Not pendulum's: it would look the zone up again, by name, in the system's data.
        """
        return tuple(_plain(moment).astimezone(data.place(zone.name)) for zone in self.zones)


def check_quiet_hours(
    timezone: str | None,
    *,
    at: datetime,
    phone: str | None = None,
    fallback: str | None = None,
    rules: RuleSet = "us_states",
    message_class: MessageClass = "marketing",
    own_window: Week | None = None,
    stopped_states: frozenset[str] = frozenset(),
) -> QuietHoursCheck:
    """Whether a text may go out at `at`, and if not, when.

    Args:
        timezone: the recipient's zone as stored: an IANA name of a place (`America/Chicago`), or None. Under
            `us_states`, Windows names and US abbreviations are read as the places they stand for; anything else counts
            as unknown.
        at: the instant, time zone aware.
        phone: the recipient's number, E.164. Its area code says where they are when `timezone` does not, and which
            states' rules apply.
        fallback: the zone of the business: one more place the recipient may be, when their own is unknown.
        rules: `federal`, 08:00–21:00 everywhere; or `us_states`, the states' and other countries' rules too.
        message_class: `transactional` texts are not bound by the states' rules.
        own_window: the business's own hours; they only ever narrow.
        stopped_states: states to which an operator lets no marketing text go (a declared emergency).

    Raises:
        ValueError: `at` is naive.
    """
    if at.tzinfo is None:
        raise ValueError("at must be time zone aware: a naive time is somebody's, but whose?")
    found = whereabouts(timezone, phone=phone, fallback=fallback, names=rules == "us_states")
    hours = window_of(
        found.country,
        tuple([state.name for state in found.states]),
        rules=rules,
        message_class=message_class,
        own=own_window,
        stopped_states=stopped_states,
    )
    if reason := found.refused or found.held:
        return _closed(found, hours, rule=reason, refused=found.refused, held=found.held)
    rule = f"{hours.text} in {found.where}"
    if hours.stopped:
        held = f"Texts to {hours.stopped} are stopped: lift the stop for that state, then requeue"
        return _closed(found, hours, rule=rule, held=held)
    zones = [data.place(zone.name) for zone in found.zones]
    moment = _plain(at)
    can_send, change = next_change(moment, zones, hours)
    if change is None:
        held = f"No permitted hour within {HORIZON.days} days: {rule}. Set the customer's timezone, or widen the window"
        return _closed(found, hours, rule=rule, held=held)
    if not can_send:
        return _closed(found, hours, rule=rule, next_send_at=_utc(change))
    return QuietHoursCheck(True, None, _utc(change), rule, None, None, found.zones, found.states, hours, found.notes)


def spread(opening: datetime, *, key: UUID, over: timedelta, closes_at: datetime) -> datetime:
    """When, from an opening on, this row's turn is: always the same for the same id, always before the closing.

    Args:
        opening: when the window opens.
        key: the row's id.
        over: how long the rows that wait for an opening are spread over.
        closes_at: when that window closes; at most the time up to then is used.
    """
    room = min(over.total_seconds(), (closes_at - opening).total_seconds())
    share = zlib.crc32(key.bytes) / 2**32
    return opening + timedelta(seconds=max(room, 0) * share)


def _closed(
    found: Whereabouts,
    hours: Window,
    *,
    rule: str,
    next_send_at: DateTime | None = None,
    held: str | None = None,
    refused: str | None = None,
) -> QuietHoursCheck:
    return QuietHoursCheck(
        False, next_send_at, None, rule, held, refused, found.zones, found.states, hours, found.notes
    )


def _plain(moment: datetime) -> datetime:
    """The instant in UTC, without pendulum's arithmetic, in which a timedelta can cost the time zone."""
    moment = moment.astimezone(UTC)
    return datetime.combine(moment.date(), moment.time(), tzinfo=UTC)


def _utc(moment: datetime) -> DateTime:
    return DateTime(
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond,
        tzinfo=pendulum.UTC,
    )
