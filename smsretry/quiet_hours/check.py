"""May a text go out? Only while it is permitted in every zone the recipient may be in, under every rule that applies.

`location` says where they may be, `windows` what the rules permit. Here both are applied to one given instant. The
hours are half-open spans on the recipient's clock, 08:00–21:00 at the widest (47 CFR 64.1200(c)(1)). What is unknown
never widens them.

Wall clocks are pendulum's, with the rules of `tzdata`. Instants are kept in UTC. Nothing here asks what time it is.
"""

import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal
from uuid import UUID

import pendulum
from pendulum import DateTime

from smsretry.quiet_hours.hours import Week
from smsretry.quiet_hours.location import Location, Place, locate
from smsretry.quiet_hours.openings import HORIZON_DAYS, next_change
from smsretry.quiet_hours.rules import EVERY_STATE, Names
from smsretry.quiet_hours.windows import FEDERAL_WINDOW, Window, window_of
from smsretry.vocabulary import MessageClass, RuleSet, WhyCode

_WIDEN: Final = "Correct customers.timezone, null unless they said it, or widen businesses.sms_hours"


@dataclass(frozen=True, slots=True)
class QuietHoursCheck:
    """Whether a text may go out at one instant: yes; no, but later; or no, until a person does something.

    Exactly one of `can_send`, `next_send_at`, `why_held` and `refused` is set.
    """

    can_send: bool
    next_send_at: DateTime | None
    """When the window opens next, in UTC. None while it is open, and where it never opens."""
    closes_at: DateTime | None
    """While open: the first instant that is no longer permitted, in UTC. `next_closes_at` is for a closed window."""
    rule: str
    """The hours, their rules and the zones they were read in, for people and for the record."""
    why_held: str | None = None
    """Why there is no opening until somebody does something, and what to do."""
    refused: str | None = None
    """Why no text can ever be sent to this number."""
    why_code: WhyCode | None = None
    """The code of `why_held` or `refused`."""
    zones: tuple[Place, ...] = ()
    states: tuple[Place, ...] = ()
    window: Window = FEDERAL_WINDOW
    """The hours that every rule permits, and the rules with their ids and sources."""

    @property
    def answer(self) -> Literal["open", "closed", "held", "refused"]:
        """The answer in a word. closed: not now, but later. held: not before a person has looked."""
        if self.refused:
            return "refused"
        if self.why_held:
            return "held"
        return "open" if self.can_send else "closed"

    @property
    def next_closes_at(self) -> DateTime | None:
        """When the window that opens at `next_send_at` closes again, in UTC. None when `next_send_at` is."""
        if self.next_send_at is None:
            return None
        return next_change(self.next_send_at, _names(self.zones), self.window)[1]


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
        timezone: the recipient's zone as stored: an IANA name (`America/Chicago`), a Windows name, a US abbreviation,
            an offset, or None. It adds a clock to the number's. What is not understood holds the text.
        at: the instant, time zone aware.
        phone: the recipient's number, E.164. It says where the recipient may be, and which states' rules apply.
        fallback: the zone of the business, which is added to the others and stands in for none: the recipient may be
            there, too, if the number's calling code is used there.
        rules: `federal`, 08:00–21:00 everywhere; or `us_states`, the states' and other countries' rules too.
        message_class: the states' and other countries' rules bind `marketing` texts, not `transactional` ones.
        own_window: the business's own hours. They narrow the window and never widen it.
        stopped_states: states to which an operator has stopped all marketing texts (a declared emergency), in two
            letters. A number whose area code is in no table may be in any of them.

    Raises:
        ValueError: `at` is naive, or `rules`, `message_class` or a stopped state is a word that this version does not
            know.
    """
    if at.tzinfo is None:
        raise ValueError(
            "at must be time zone aware: a naive time does not say on whose clock it was read"
        )
    location = locate(
        timezone,
        phone=phone,
        business_timezone=fallback,
    )
    window = window_of(
        location.country,
        _names(location.states),
        rules=rules,
        message_class=message_class,
        own_window=own_window,
        stopped_states=stopped_states,
    )
    answer = partial(
        QuietHoursCheck,
        can_send=False,
        next_send_at=None,
        closes_at=None,
        zones=location.zones,
        states=location.states,
        window=window,
    )
    if reason := location.refused or location.why_held:
        return answer(
            rule=reason,
            refused=location.refused,
            why_held=location.why_held,
            why_code=location.why_code,
        )
    rule = f"{window.text} in {location.where}"
    if window.stopped:
        why_held = _stop_reason(location, window.stopped)
        return answer(
            rule=rule,
            why_held=why_held,
            why_code="state_stopped",
        )
    can_send, change = next_change(instant(at), _names(location.zones), window)
    if change is None:
        why_held = f"No hour within {HORIZON_DAYS} days is permitted in all of these places: {rule}. {_WIDEN}"
        return answer(
            rule=rule,
            why_held=why_held,
            why_code="no_opening",
        )
    if can_send:
        return answer(
            rule=rule,
            can_send=True,
            closes_at=change,
        )
    return answer(rule=rule, next_send_at=change)


def instant(moment: datetime) -> DateTime:
    """The instant in UTC, whichever clock it was read on.

    The standard library brings it to UTC: pendulum would look a foreign zone up by its name, in the system's data.
    """
    return pendulum.instance(moment.astimezone(pendulum.UTC))


def due_after_opening(
    opening: datetime, *, key: UUID, spread: timedelta, closes_at: datetime
) -> datetime:
    """When a row's turn comes after an opening. The same id always gets the same turn, never after the closing.

    Args:
        opening: when the window opens.
        key: the row's id.
        spread: the time in which the turns of all rows that wait for one opening come.
        closes_at: when that window closes. The turns come in less time when it closes before `spread` has passed.
    """
    available = max(min(spread, closes_at - opening), timedelta())
    return opening + available * (zlib.crc32(key.bytes) / 2**32)


def _stop_reason(location: Location, state: str) -> str:
    reason = f"Texts to {state} are stopped"
    for place in location.states:
        if place.name == EVERY_STATE:
            reason += f", and the number may be from there ({place.origin})"
    return f"{reason}: lift the stop for that state, and they go on"


def _names(places: tuple[Place, ...]) -> Names:
    return tuple(place.name for place in places)
