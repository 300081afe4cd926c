"""A database with live rows takes the next migrations while workers run: nothing is lost, nothing is doubled.

The workers are threads with the real adapters; the migrations are invented. One that no longer fits stops and says so.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Final

import pytest

from smsretry.adapters.migrations.migrate import migrate, migrations
from smsretry.adapters.migrations.schemas import SchemaFile
from smsretry.errors import QueueError, QueueMismatch, UnforeseenError
from smsretry.local.stack import Stack
from smsretry.sending.flow_control import FlowControl
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.wiring import services
from tests.conftest import NOON_IN_NEW_YORK, Business
from tests.integration.invented import changed_files, edited, following
from tests.support.claims import claim_due
from tests.support.waiting import until

WORKERS, BEFORE, AFTER = 4, 10, 40
"""How many there are; texts that are sent before the migration begins, and that are kept for after it, about."""
NUMBERS: Final = [f"+1212555{number:04d}" for number in range(100)]


@pytest.fixture
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack that no other test uses: its schema is changed. Noon in New York."""
    with Stack(tmp_path_factory.mktemp("upgrade")) as stack:
        stack.set_clock(NOON_IN_NEW_YORK)
        yield stack
    stack.postgres.remove()


def work(stack: Stack, migrated: Event) -> str:
    """Send three texts a claim, going on after an error as the next run would, until nothing is due; or until the
    database no longer fits, and why.
    """
    with services(stack.settings()) as connected:
        idle = 0
        while idle < 10:  # while others hold what is due locked, a claim finds nothing
            if len(stack.twilio.ledger.entries()) >= len(NUMBERS) - AFTER:
                migrated.wait()
            control, claims = FlowControl(), []
            try:
                claims = claim_due(connected.queue, 3)
                for claim in claims:
                    process_sms_retry_item(claim, queue=connected.queue, sender=connected.sender, flow_control=control)
            except QueueMismatch as error:
                return str(error)
            except (QueueError, UnforeseenError):
                pass
            if control.database_trouble and "smsretry migrate" in control.database_trouble:
                return control.database_trouble  # its claims were given back
            idle = 0 if claims else idle + 1
    return ""


def upgrade(stack: Stack, files: Sequence[SchemaFile], at: str) -> None:
    """Apply the migration that leads to these files."""
    made = following(files, at=at)
    assert migrate(stack.database_url, shipped=[*migrations(), made]) == [made]


def upgrade_beside_workers(stack: Stack, files: Sequence[SchemaFile], at: str) -> list[str]:
    """Likewise, after some texts of many. Why workers stopped early."""
    migrated = Event()
    stack.twilio.ledger.clear()
    with stack.connect() as connection:
        business = Business(connection, stack.now).open()
        for number in NUMBERS:
            business.due_text(phone=number, body=f"Hi {number[-4:]} of {business.id}")
    with ThreadPoolExecutor(WORKERS) as pool:
        running = [pool.submit(work, stack, migrated) for _ in range(WORKERS)]
        try:
            until(lambda: len(stack.twilio.ledger.entries()) >= BEFORE)
            upgrade(stack, files, at)
            assert len(stack.twilio.ledger.entries()) < len(NUMBERS)
        finally:
            migrated.set()
        return [error for worker in running if (error := worker.result())]


def each_text_goes_out_once(stack: Stack) -> None:
    """What stopped workers held is recovered, looked for, and sent, by workers that fit."""
    with services(stack.settings()) as connected:
        for _ in range(4):
            stack.move_clock(timedelta(minutes=11))
            connected.queue.recover(10)
            for claim in connected.queue.claim_texts(len(NUMBERS)).texts:
                process_sms_retry_item(claim, queue=connected.queue, sender=connected.sender)
    assert Counter(entry.to for entry in stack.twilio.ledger.entries()) == dict.fromkeys(NUMBERS, 1)
    with stack.connect() as connection:
        rows = connection.execute("select distinct status from sms_retry_queue").fetchall()
        logs = connection.execute("select distinct status from send_logs").fetchall()
    assert (rows, logs) == ([{"status": "completed"}], [{"status": "sent"}])


@pytest.mark.long
def test_workers_and_a_migration_beside_them_lose_nothing(own_stack: Stack) -> None:
    """First a parameter more, another answer: old workers fit, but for what was under way, and that changes nothing.

    Then their way to begin a send is gone: they send nothing more and say what to do, and what they held goes out when
    the database fits again.
    """
    for error in upgrade_beside_workers(own_stack, changed_files(), "20270101000001"):
        # 42804: the answer has other columns than at the call. XX000: the function was dropped between call and start.
        assert re.search(r"refused (claim_sms_texts|begin_sms_attempt) with (42804|XX000)", error), error
    each_text_goes_out_once(own_stack)

    stricter = edited(
        changed_files(),
        {
            "begin_sms_attempt": (" quiet_hours_rule text,\n", " quiet_hours_rule text, tray text,\n"),
            "try_sms_retry_queue": ("quiet_hours_rule => 'rehearsal'", "quiet_hours_rule => 'rehearsal', tray => ''"),
        },
    )
    errors = upgrade_beside_workers(own_stack, stricter, "20270101000002")
    assert len(errors) == WORKERS
    assert all("begin_sms_attempt" in error and "smsretry migrate" in error for error in errors)
    assert len(own_stack.twilio.ledger.entries()) < len(NUMBERS)
    upgrade(own_stack, changed_files(), "20270101000003")
    each_text_goes_out_once(own_stack)
