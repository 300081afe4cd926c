"""Whatever time zone the application's database is set to, what is told is on UTC's clock or names the place's."""

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.stack import DATABASE, Stack
from tests.conftest import Business
from tests.integration.conftest import Command
from tests.support.builders import run_over

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[^\"]*")
_ELSEWHERE = """
alter database {} set timezone = '{}';
select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'smsretry rpc'
"""


@pytest.fixture
def in_kathmandu(stack: Stack) -> Iterator[None]:
    """Every session of the endpoint's begins on a clock that is 5 hours and 45 minutes ahead."""
    with stack.connect() as connection:
        connection.execute(_ELSEWHERE.format(DATABASE, "Asia/Kathmandu").encode())
        yield
        connection.execute(_ELSEWHERE.format(DATABASE, "UTC").encode())
        connection.execute(f"alter database {DATABASE} reset timezone".encode())


@pytest.mark.usefixtures("in_kathmandu")
def test_every_instant_is_told_on_the_clock_that_it_names(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, command: Command
) -> None:
    """Preview, story, status, senders and what a run tells of one that was interrupted."""
    sent = business.due_text()
    queue.start_run(UUID(int=6), stale_minutes=10, send_to="all", default=sender.default)
    run_over(queue, sender)
    business.due_text(due=timedelta(hours=1, minutes=5))
    assert "  from Tue 12 Jan 18:00 UTC  " in command("preview").stdout
    for words in (("explain", sent), ("status",), ("preview",), ("senders",)):
        told = _INSTANT.findall(command(*words, "--json").stdout)
        assert told, words
        assert [moment for moment in told if not moment.endswith("Z")] == [], words
    stack.move_clock(timedelta(minutes=15))
    interrupted = [str(run) for run in queue.start_run(UUID(int=7), stale_minutes=10, send_to="all")]
    assert [run for run in interrupted if " of Tue 12 Jan 17:00 UTC was interrupted" in run]
