"""What the desk predicts of a text, against what the next runs do with it: each state of a text, on the real stack."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Preview, WhichText
from smsretry.desk.desk import Desk
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from smsretry.sending.scheduled import queue_scheduled_sends
from tests.conftest import Business
from tests.support.builders import AT_ONCE, fates_of, run_over
from tests.support.claims import next_due
from tests.support.orders import stop_state

HOURS: Final = 26
"""How far ahead is looked: past the next opening."""
FEW_HOURS: Final = 3
WAITS: Final = ("held", "in a stopped state", "due in two days", "closed for days")
"""They wait however far ahead is looked, and many runs would be made meanwhile."""
BEYOND: Final = ("due in two days", "closed for days")
"""They go out, but later."""
NIGHT: Final = timedelta(hours=10)
"""From noon."""
MIAMI: Final = "+13055550123"
NEW_ORLEANS: Final = "+15045550123"


@dataclass
class World:
    """A stack, and what acts on it."""

    stack: Stack
    business: Business
    queue: SupabaseQueue
    sender: TwilioSender
    operators: SupabaseOperators

    def run(self) -> None:
        """A run of scheduled sends, and one of the queue."""
        queue_scheduled_sends(self.queue)
        fates_of(run_over(self.queue, self.sender, AT_ONCE))

    def change(self, query: str, *values: object) -> None:
        """As somebody else would."""
        self.business.connection.execute(query.encode(), values)


Make = Callable[[World], UUID]


def _with(change: str, *values: object, **text: object) -> Make:
    """A due text after somebody has changed something."""

    def make(world: World) -> UUID:
        row = world.business.due_text(**text)  # type: ignore[arg-type]
        world.change(f"update {change}", *values)
        return row

    return make


def _at_night(make: Make) -> Make:
    def at_night(world: World) -> UUID:
        world.stack.move_clock(NIGHT)
        return make(world)

    return at_night


def _suppressed(world: World) -> UUID:
    gone = world.business.customer(consent="opted_out")
    world.change("delete from customers where id = %s", gone)
    return world.business.due_text()


def _capped(world: World) -> UUID:
    for _ in range(3):
        world.business.due_text(phone=MIAMI)
    world.run()
    world.stack.move_clock(timedelta(hours=1))
    return world.business.due_text(phone=MIAMI)


def _stopped_state(world: World) -> UUID:
    stop_state(world.operators, "LA", "A hurricane")
    return world.business.due_text(phone=NEW_ORLEANS, timezone="America/Chicago")


def _held_and_still_so(world: World) -> UUID:
    row = _stopped_state(world)
    world.run()
    return row


def _held_and_mended(world: World) -> UUID:
    row = _held_and_still_so(world)
    stop_state(world.operators, "LA", None)
    return row


def _stopped(make: Make) -> Make:
    def stopped(world: World) -> UUID:
        world.queue.set_stop("everybody", "", "Twilio is down")
        world.stack.twilio.fail(JsonError(20500, http_status=500), times=None)
        return make(world)

    return stopped


def _tried_once(world: World) -> UUID:
    row = world.business.due_text()
    world.stack.twilio.fail(JsonError(30001, http_status=429))
    world.run()
    world.stack.twilio.heal()
    return row


def _scheduled(change: str = "", late: timedelta = timedelta(0)) -> Make:
    def make(world: World) -> UUID:
        planned = world.business.scheduled(due=timedelta(minutes=5))
        if change:
            world.change(change)
        world.stack.move_clock(late)
        return planned

    return make


_OPTED_OUT: Final = _with("customers set sms_consent_status = 'opted_out'")
_SOON: Final = "smsretry.clock() + interval '2 hours'"
STATES: Final[dict[str, Make]] = {
    "due": lambda world: world.business.due_text(),
    "due in an hour": lambda world: world.business.due_text(due=timedelta(hours=1)),
    "due in two days": lambda world: world.business.due_text(due=timedelta(hours=48)),
    "at night": _at_night(lambda world: world.business.due_text()),
    "tried once": _tried_once,
    "opted out": _OPTED_OUT,
    "consent unknown": _with("customers set sms_consent_status = 'unknown'"),
    "suppressed": _suppressed,
    "opted out at night": _at_night(_OPTED_OUT),
    "sent already": _with("send_logs set status = 'delivered'"),
    "not a text": _with("send_logs set channel = 'email'"),
    "too long": _with("send_logs set subject = repeat('a', 1601)"),
    "without a number": lambda world: world.business.due_text(phone=None),
    "given up": lambda world: world.business.due_text(attempts=3),
    "expired": _with("sms_retry_queue set expires_at = smsretry.clock() - interval '1 minute'"),
    "expires before it opens": _at_night(_with(f"sms_retry_queue set expires_at = {_SOON}")),
    "capped": _capped,
    "in a stopped state": _stopped_state,
    "held": _held_and_still_so,
    "held and mended": _held_and_mended,
    "stopped": _stopped(lambda world: world.business.due_text()),
    "stopped, opted out": _stopped(_OPTED_OUT),
    "business without hours": _with("businesses set timezone = null, sms_hours = null"),
    "without any zone": _with("businesses set timezone = null", timezone="Middle/Earth", phone="+18005550123"),
    "closed for days": _with("businesses set sms_hours = 'Mon 10:00-11:00'"),
    "scheduled": _scheduled(),
    "scheduled, opted out": _scheduled("update customers set sms_consent_status = 'opted_out'"),
    "scheduled past not_after": _scheduled(
        "update scheduled_sends set not_after = smsretry.clock() + interval '10 minutes'", timedelta(minutes=20)
    ),
    "scheduled to nobody": _scheduled("delete from customers"),
}


def _came_to(world: World, row: UUID, until: datetime) -> tuple[str, str]:
    """Let the runs go on, and say what they made of the text, and why."""
    before = len(world.stack.twilio.ledger.entries())
    world.run()
    for _ in range(200):
        left = (until - world.stack.now()).total_seconds()
        found = world.business.connection.execute(
            "select 1 from sms_retry_queue where status in ('pending', 'processing') and in_doubt_since is null"
            " union all select 1 from scheduled_sends where status = 'scheduled'"
        ).fetchone()
        if left <= 0 or not found:
            break
        due = next_due(world.business.connection)
        world.stack.move_clock(timedelta(seconds=min(max(left if due is None else due, 30), 1800, left + 1)))
        if world.stack.now() < until:
            world.run()
    if len(world.stack.twilio.ledger.entries()) > before:
        return "go out", ""
    ends = world.business.connection.execute(
        """select q.status, coalesce(q.why, q.last_error) as why, q.held_since is not null as held,
                  q.in_doubt_since is not null as in_doubt
           from sms_retry_queue q where q.id = %(row)s or q.send_log_id = %(row)s
           union all
           select s.status, s.why, s.held_since is not null, false from scheduled_sends s
           where s.id = %(row)s and s.send_log_id is null""",
        {"row": row},
    ).fetchall()
    [end] = ends
    if end["status"] in ("failed", "cancelled"):
        return "end", end["why"]
    return ("held" if end["held"] else "wait longer"), end["why"] or ""


def _untrue(world: World, desk: Desk, name: str, row: UUID) -> Iterator[str]:
    """Where explain or preview said something else than what then came to be."""
    now = world.stack.now()
    hours = FEW_HOURS if name in WAITS else HOURS
    until = now + timedelta(hours=hours)
    ahead = desk.preview(Preview(hours=hours))
    [explanation] = desk.explain(WhichText(retry_id=row))
    kinds = [kind for business in ahead.businesses for kind in business.counts] or ["wait longer"]
    whys = " ".join(why for business in ahead.businesses for why in business.why)
    came_to, why = _came_to(world, row, until)
    if kinds != [came_to]:
        yield f"{name}: preview predicted {kinds}, it came to {came_to} ({why})"
    if kinds == ["go out"] == [came_to]:
        [*_, last] = world.stack.twilio.ledger.entries()
        went_out = (last.accepted_at - now) / timedelta(hours=1)
        predicted = next(hour for hour, told in enumerate(ahead.hours) if told.texts)
        if not predicted - 0.1 <= went_out <= predicted + 1.1:
            yield f"{name}: preview predicted it in hour {predicted}, it went out after {went_out} hours"
    if ("goes out" in explanation.next) is not (came_to == "go out") and name not in BEYOND:
        yield f"{name}: explain said {explanation.next!r}, it came to {came_to} ({why})"
    if came_to in ("end", "held") and (why not in explanation.headline + explanation.next or why not in whys):
        yield f"{name}: {why!r} is not in {explanation.headline!r}, {explanation.next!r} or {whys!r}"
    if came_to == "end" and not ("will be cancelled" in explanation.next or "will fail" in explanation.next):
        yield f"{name}: explain did not say that it ends: {explanation.next!r}"


@pytest.fixture
def world(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, operators: SupabaseOperators
) -> World:
    """Noon in New York, and nothing to send."""
    return World(stack, business, queue, sender, operators)


@pytest.mark.parametrize("name", STATES)
def test_what_is_predicted_comes_to_be(world: World, desk: Desk, name: str) -> None:
    """By explain and by preview, with the reason."""
    assert list(_untrue(world, desk, name, STATES[name](world))) == []
