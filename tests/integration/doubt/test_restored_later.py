"""After a restore: texts that were not due yet, had ended, or had gone out, and whose next message comes about later.

Each got a message after the backup was taken, of which the database knows nothing. Whoever has it sent again, by
whichever way, has it looked for first.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import AfterRestore, Requeue
from smsretry.local.stack import Stack
from smsretry.retry.decision import Cancel, Fail
from smsretry.retry.models import Claim
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Services
from tests.conftest import Business
from tests.proofs.town.safeguards import Safeguard, without
from tests.support.builders import AT_ONCE, NOON, fates_of, run_over
from tests.support.claims import claim_due
from tests.support.orders import ordered
from tests.support.restoring import back_up, restore

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
SENT_ONCE = ("moved", "moved in the queue", "early", "failed", "cancelled", "anew", "by its log")
"""Texts that went out after the backup was taken, by what happened to them then."""
NOT_SENT = ("tomorrow", "planned")
"""Texts whose time is tomorrow, which it is in the backup, too."""
_NAMES = ("lost", *SENT_ONCE, *NOT_SENT)
_NUMBERS = {name: f"+121255502{place:02d}" for place, name in enumerate(_NAMES, start=10)}
_SIGNED = {"dry_run": False, "who": "Ann", "because": "Restored from the backup"}


@dataclass
class World:
    """What the backup has, what happens after it, the restore, and what happens then."""

    stack: Stack
    business: Business
    queue: SupabaseQueue
    sender: TwilioSender
    deliveries: Services
    operators: SupabaseOperators
    backup: Path
    since: datetime = NOON
    rows: dict[str, UUID] = field(default_factory=dict)
    logs: dict[str, UUID] = field(default_factory=dict)
    planned: dict[str, UUID] = field(default_factory=dict)

    def live_until_the_backup(self) -> None:
        """Nothing of what will be sent again is due."""
        self.rows["lost"] = self.business.due_text(phone=_NUMBERS["lost"])
        assert self.run() == ["Sent"]
        for name in ("failed", "cancelled", "anew"):
            self.rows[name] = self.business.due_text(phone=_NUMBERS[name])
            [claim] = claim_due(self.queue, 1)
            end = Cancel if name == "cancelled" else Fail
            assert self.queue.put_off(claim, end("Something passing", "unforeseen"))
        for name in ("early", "tomorrow"):
            self.rows[name] = self.business.due_text(phone=_NUMBERS[name], due=DAY)
        for name in ("moved", "moved in the queue", "planned"):
            self.planned[name] = self.business.scheduled(phone=_NUMBERS[name], due=DAY)
        self.queue_planned("moved in the queue")
        self.logs["by its log"] = self.business.send_log(self.business.customer(phone=_NUMBERS["by its log"]))
        self.logs["anew"] = self.business.row(self.rows["anew"])["send_log_id"]
        self.since = self.stack.now()
        back_up(self.stack, self.backup)

    def queue_planned(self, name: str) -> None:
        """A planned text waits in the queue already, and its time is tomorrow."""
        self.move(name, MINUTE)
        self.queue.queue_scheduled(200, 2 * MINUTE)
        self.move(name, DAY)

    def move(self, name: str, due: timedelta) -> None:
        """The application moves a scheduled send."""
        self.business.connection.execute(
            "update scheduled_sends set scheduled_for = %s where id = %s", [self.stack.now() + due, self.planned[name]]
        )

    def let_them_go(self) -> None:
        """By each way there is: moved to now, claimed by hand, put back by a person, queued anew."""
        self.move("moved", MINUTE)
        self.move("moved in the queue", MINUTE)
        self.order()
        claim = self.queue.claim_one(self.rows["early"])
        assert isinstance(claim, Claim)
        process_sms_retry_item(claim, queue=self.queue, sender=self.sender, profile=AT_ONCE)

    def order(self) -> None:
        """What a person and the application have sent again, before the restore and after it."""
        rows = [self.rows["failed"], self.rows["cancelled"]]
        ask = Requeue.model_validate({"retry_ids": rows, "states": ["failed", "cancelled"]} | _SIGNED)
        assert ordered(self.operators, ask).changed == 2
        for name in ("anew", "by its log"):
            self.business.connection.execute("select * from queue_sms_retry(%s)", [self.logs[name]])

    def forget_it(self) -> None:
        """The lost one is sent again and arrives; then the database is lost."""
        [lost] = [entry.sid for entry in self.stack.twilio.ledger.entries()]
        self.stack.twilio.report(lost, "undelivered", 30008)
        self.let_them_go()
        self.live(minutes=45)
        assert self.texts() == {"lost": 2} | dict.fromkeys(SENT_ONCE, 1)
        restore(self.stack, self.backup)

    def live(self, *, minutes: int) -> None:
        """A run a minute."""
        for _ in range(minutes):
            self.queue.queue_scheduled(200, 2 * MINUTE)
            self.run()
            self.stack.move_clock(MINUTE)
            sync_deliveries(self.deliveries, limit=100)

    def run(self) -> list[str]:
        """One run."""
        return fates_of(run_over(self.queue, self.sender, AT_ONCE))

    def tell_of_the_restore(self) -> None:
        """What the playbook says."""
        ordered(self.operators, AfterRestore.model_validate({"backup_of": self.since} | _SIGNED))

    def texts(self) -> dict[str, int]:
        """How many texts each got, by what it was."""
        names = {number: name for name, number in _NUMBERS.items()}
        return dict(Counter(names[entry.to] for entry in self.stack.twilio.ledger.entries()))

    def go_on_until_tomorrow(self) -> None:
        """Everything goes out that would, and what was ordered is ordered again."""
        self.live(minutes=3)
        self.order()
        self.live(minutes=75)
        self.stack.set_clock(NOON + DAY)
        self.live(minutes=30)


@pytest.fixture
def world(
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    operators: SupabaseOperators,
    tmp_path: Path,
) -> Iterator[World]:
    """Up to the restore."""
    with SupabaseQueue(stack.settings()) as records:
        deliveries = Services(records, sender, DEFAULT, 4)
        world = World(stack, business, queue, sender, deliveries, operators, tmp_path / "backup.sql")
        world.live_until_the_backup()
        world.forget_it()
        yield world


ONCE = {"lost": 2} | dict.fromkeys((*SENT_ONCE, *NOT_SENT), 1)
TWICE = {"lost": 3} | dict.fromkeys(SENT_ONCE, 2) | dict.fromkeys(NOT_SENT, 1)


@pytest.mark.long
def test_no_text_gets_a_second_message_whichever_way_it_comes_about(world: World) -> None:
    """Each is found at Twilio, and recorded as sent."""
    world.tell_of_the_restore()
    world.go_on_until_tomorrow()
    assert world.texts() == ONCE
    for name, row in world.rows.items():
        if name != "anew":
            assert world.business.row(row)["status"] == "completed", name


@pytest.mark.long
def test_without_the_record_of_the_restore_they_are_sent_again(world: World) -> None:
    """The switch: the record is there, and nobody asks for it."""
    world.tell_of_the_restore()
    nobody_asks = Safeguard(
        replaces="smsretry.put_in_doubt", edits=((r"exists \(select from smsretry\.restores\)", "false"),)
    )
    with without(world.stack, nobody_asks):
        world.go_on_until_tomorrow()
    assert world.texts() == TWICE


def test_a_person_who_puts_a_text_back_is_told(world: World) -> None:
    """It was requeued before, and the database has forgotten that."""
    world.tell_of_the_restore()
    told = ordered(world.operators, Requeue.model_validate({"retry_ids": [world.rows["failed"]]} | _SIGNED))
    assert told.warned == {"The database was restored from a backup: it is looked for before it goes out": 1}
