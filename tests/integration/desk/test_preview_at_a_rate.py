"""What preview promises of a sender's rate, against what a run then sends: on the real stack, in a time that only waits
make pass.
"""

from collections.abc import Iterator
from datetime import timedelta
from time import sleep
from typing import Final

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import Preview
from smsretry.desk.desk import Desk
from smsretry.local.stack import Stack
from smsretry.retry.profile import Profile
from smsretry.sending import claiming, rate_limit, throttle
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.ports import Services
from smsretry.sending.run import Run, run_once
from smsretry.sending.run_control import RunControl
from tests.conftest import Business

BODIES: Final = ["a" * 200, "b" * 400, "Hello", "c" * 300]
"""Of two, three, one and two segments."""
CLOSING: Final = timedelta(hours=8, minutes=58)
"""From noon: the window closes in two minutes, and nothing is sent in the last one."""


_STANDING: Final = """
create or replace function smsretry.clock() returns timestamptz
language sql volatile set search_path = pg_catalog, pg_temp as $$
    select timestamptz '{now}' + (select c.shift from smsretry_local.clock c) - interval '{shift} seconds'
$$"""


class Time:
    """It passes when somebody waits, and only then: for the database and for the run alike."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._waited = stack, timedelta(0)
        standing = _STANDING.format(now=stack.now().isoformat(), shift=stack.ahead.total_seconds())
        with stack.connect() as connection:
            self._running = connection.execute("select pg_get_functiondef('smsretry.clock'::regproc) as it").fetchone()
            connection.execute(standing.encode())

    def run_on(self) -> None:
        """Put the stack's clock back."""
        assert self._running is not None
        with self._stack.connect() as connection:
            connection.execute(self._running["it"].encode())

    def monotonic(self) -> float:
        """The run's clock."""
        return self._waited.total_seconds()

    def wait(self, control: FlowControl | RunControl, seconds: float) -> None:
        """In place of flow control's. Beside the one thread that sends, the run waits in no time of its own."""
        if isinstance(control, RunControl) and len(control.in_flight):
            sleep(0.001)
        elif not control.stopped_because and seconds > 0:
            waits = timedelta(seconds=seconds) + timedelta(milliseconds=1)  # a wait of nothing would never end
            self._waited += waits
            self._stack.move_clock(waits)


@pytest.fixture
def time(stack: Stack) -> Iterator[Time]:
    """From two minutes before the closing."""
    stack.move_clock(CLOSING)
    time = Time(stack)
    yield time
    time.run_on()


def test_what_preview_promises_at_a_sender_s_rate_goes_out(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    monkeypatch: pytest.MonkeyPatch,
    time: Time,
) -> None:
    """And what it says is not reached does not: 150 of 150 had been promised where 93 went out."""
    for place in range(150):
        business.due_text(body=BODIES[place % len(BODIES)])
    profile = Profile(opening_spread=timedelta(0), segments_per_second=1.5)
    promised = Desk(operators, profile=profile, meaning=code_meaning).preview(Preview(hours=1)).go_out
    assert 0 < promised < 150
    for module in (rate_limit, throttle, claiming):
        monkeypatch.setattr(module, "monotonic", time.monotonic)
    for waiting in (FlowControl, RunControl):
        monkeypatch.setattr(waiting, "wait", lambda control, seconds: time.wait(control, seconds))
    run_once(Run(Services(queue, sender, profile, concurrency=1)), limit=500, seconds=55)
    sent = len(stack.twilio.ledger.entries())
    assert promised - 1 <= sent <= promised + 1
