"""A database that was restored from a backup: what went out after the backup is looked for, and not sent again."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from smsretry import schedule_sms
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.actions.requests import AfterRestore
from smsretry.errors import InputError
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import DropUnaccepted
from smsretry.retry.decision import Complete, GiveBack
from smsretry.retry.models import Claim, Text
from smsretry.retry.outcome import Accepted
from smsretry.sending.pipeline import process_sms_retry_item
from tests.conftest import Business
from tests.support.builders import AT_ONCE, BODY, NOON, begin, fates_of, finish, run_over
from tests.support.orders import ordered
from tests.support.restoring import back_up, restore

SENT = ("waiting", "claimed", "begun", "in doubt", "scheduled")
"""Texts that went out after the backup was taken, by what they were in it."""
_NUMBERS = {name: f"+121255501{place:02d}" for place, name in enumerate((*SENT, "late", "tomorrow"), start=60)}
_NAMES = {number: name for name, number in _NUMBERS.items()}


@dataclass
class World:
    """What the backup has, what happens after it, and the restore."""

    stack: Stack
    business: Business
    queue: SupabaseQueue
    sender: TwilioSender
    backup: Path
    since: datetime
    rows: dict[str, UUID] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    attempt: UUID = field(default_factory=uuid4)

    def live_until_the_backup(self) -> None:
        """A text in each state."""
        self._text("in doubt")
        self.stack.twilio.fail(DropUnaccepted(), to=_NUMBERS["in doubt"])
        self.live(minutes=1)
        for name in ("claimed", "begun"):
            self._text(name)
            claim = self.queue.claim_one(self.rows[name])  # and not the text in doubt
            assert isinstance(claim, Claim)
            self.claims[name] = claim
        begin(self.queue, self.claims["begun"], self.attempt, sent_by=self.sender.default.sent_by)
        self._text("waiting", due=timedelta(minutes=5))
        self._text("late", due=timedelta(minutes=40))
        self._text("tomorrow", due=timedelta(days=1))
        customer = self.business.customer(phone=_NUMBERS["scheduled"])
        schedule_sms(self.business.id, customer, BODY, self.stack.now() + timedelta(minutes=10), queue=self.queue)
        self.since = self.stack.now()
        back_up(self.stack, self.backup)

    def forget_what_followed(self) -> None:
        """The workers finish what they have, the schedule goes on, and half an hour later the database is lost."""
        process_sms_retry_item(self.claims["claimed"], queue=self.queue, sender=self.sender, profile=AT_ONCE)
        begun = self.claims["begun"]
        text = Text(attempt_id=self.attempt, to=_NUMBERS["begun"], body=BODY, valid_for=timedelta(hours=1))
        outcome = self.sender.send(text)
        assert isinstance(outcome, Accepted)
        finish(self.queue, begun, self.attempt, outcome, Complete("Accepted", sid=outcome.sid))
        self.live(minutes=35)
        assert self.texts() == dict.fromkeys(SENT, 1)
        self.stack.move_clock(timedelta(minutes=10))
        restore(self.stack, self.backup)

    def live(self, *, minutes: int) -> None:
        """A run a minute."""
        for _ in range(minutes):
            self.queue.recover(10)
            self.queue.queue_scheduled(200, timedelta(minutes=2))
            fates_of(run_over(self.queue, self.sender, AT_ONCE))
            self.stack.move_clock(timedelta(minutes=1))

    def texts(self) -> dict[str, int]:
        """How many texts each got, by what it was."""
        return dict(Counter(_NAMES[entry.to] for entry in self.stack.twilio.ledger.entries()))

    def _text(self, name: str, due: timedelta = timedelta(0)) -> None:
        self.rows[name] = self.business.due_text(phone=_NUMBERS[name], due=due)


@pytest.fixture
def world(stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, tmp_path: Path) -> World:
    """Up to the restore."""
    world = World(stack, business, queue, sender, tmp_path / "backup.sql", stack.now())
    world.live_until_the_backup()
    world.forget_what_followed()
    return world


def restored(world: World, **more: object) -> AfterRestore:
    """What a person says who has restored the backup."""
    signed = {"dry_run": False, "who": "Ann", "because": "Restored from the backup"}
    return AfterRestore.model_validate({"backup_of": world.since} | signed | more)


def test_what_went_out_after_the_backup_is_found_and_what_did_not_goes_out(
    world: World, operators: SupabaseOperators
) -> None:
    """Each got one text; what is not due yet is as it was. Only a word on record changes anything."""
    tomorrow = world.business.row(world.rows["tomorrow"])
    tried = ordered(operators, restored(world, dry_run=True, who=None, because=None))
    assert world.business.connection.execute("select from smsretry.restores").fetchall() == []
    done = ordered(operators, restored(world))
    assert (tried.changed, done.changed) == (6, 6)
    ordered(operators, restored(world))
    assert len(world.business.connection.execute("select from smsretry.restores").fetchall()) == 1
    world.live(minutes=30)
    assert world.texts() == dict.fromkeys((*SENT, "late"), 1)
    for name in (*SENT[:-1], "late"):
        assert world.business.row(world.rows[name])["status"] == "completed", name
    assert world.business.row(world.rows["tomorrow"]) == tomorrow
    [event] = world.business.connection.execute(
        "select who, detail ->> 'because' as because from smsretry.events where about = %s and code = 'put_in_doubt'",
        [world.rows["waiting"]],
    ).fetchall()
    assert event == {"who": "Ann", "because": "Restored from the backup"}


@pytest.mark.long
def test_without_it_they_are_sent_again(world: World) -> None:
    """All but those of which a send was on record in the backup: one is found, of the other a person is asked."""
    world.live(minutes=30)
    assert world.texts() == {"begun": 1, "late": 1, "in doubt": 1} | dict.fromkeys(
        ("waiting", "claimed", "scheduled"), 2
    )


def test_a_worker_from_before_the_restore_can_write_nothing(world: World, operators: SupabaseOperators) -> None:
    """Its claim would be valid again in the restored rows, but new claims have numbers above it."""
    ordered(operators, restored(world))
    world.live(minutes=3)
    assert world.queue.put_off(world.claims["claimed"], GiveBack("It stopped", "sending_stopped")) is False
    assert world.business.row(world.rows["claimed"])["status"] == "completed"


def test_the_backup_must_have_been_taken(world: World, operators: SupabaseOperators) -> None:
    """A wrong year would put everything in doubt."""
    with pytest.raises(InputError, match="since is when the backup was taken, and not to come"):
        ordered(operators, restored(world, backup_of=world.stack.now() + timedelta(hours=1)))


# Which texts may have gone out, and whose claims hold no longer


def told_of_a_restore(business: Business, *, since: datetime = NOON - timedelta(hours=1)) -> None:
    """At noon, of a backup of an hour before."""
    business.connection.execute("insert into smsretry.restores values (%s, %s, 'Ann', 'Lost')", [since, NOON])


def is_forgotten(business: Business, row: UUID) -> bool:
    """Whether the text's send may be: the application's own processor is not given it, and it is in doubt."""
    business.connection.execute("update sms_retry_queue set scheduled_for = smsretry.clock()")
    business.connection.execute("select from claim_due_sms_retries()")
    return business.row(row)["in_doubt_since"] is not None


@pytest.mark.parametrize(
    ("older", "forgotten"), [("sms_retry_queue", True), ("send_logs", True), ("scheduled_sends", True), (None, False)]
)
def test_a_text_may_be_forgotten_if_anything_of_it_is_older_than_the_restore(
    business: Business, queue: SupabaseQueue, older: str | None, forgotten: bool
) -> None:
    """Its row, its send log, or its plan. What came about later is on record."""
    send = business.scheduled()
    queue.queue_scheduled(10, timedelta(minutes=2))
    row = business.text_of(send)["id"]
    told_of_a_restore(business)
    for table in ("sms_retry_queue", "send_logs", "scheduled_sends"):
        at = NOON - timedelta(minutes=1) if table == older else NOON
        business.connection.execute(f"update {table} set created_at = %s".encode(), [at])
    assert is_forgotten(business, row) is forgotten


@pytest.mark.parametrize(
    ("begun", "looked", "outcome", "settled_by", "forgotten"),
    [
        (-60, 0, "not_sent", "reconcile", False),
        (-60, 0, "not_sent", "operator", False),
        (-60, -1, "not_sent", "reconcile", True),
        (-59, 0, "not_sent", "reconcile", True),
        (-60, 0, "accepted", "reconcile", True),
        (-60, 0, "not_sent", "response", True),
    ],
)
def test_only_a_later_look_that_found_nothing_or_a_person_clears_a_forgotten_send(
    business: Business, begun: int, looked: int, outcome: str, settled_by: str, forgotten: bool
) -> None:
    """It must have looked, after the restore, at all the time since the backup."""
    row = business.due_text()
    told_of_a_restore(business)
    business.connection.execute(
        """insert into sms_send_attempts (
               id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by
           ) values (gen_random_uuid(), %s, 1, 0, %s, %s, %s, %s)""",
        [row, *(NOON + timedelta(minutes=minutes) for minutes in (begun, looked)), outcome, settled_by],
    )
    assert is_forgotten(business, row) is forgotten


def test_the_applications_own_claim_puts_in_doubt_what_may_have_gone_out(business: Business) -> None:
    """It begins no send, so nobody asks again before the text leaves."""
    row = business.due_text()
    told_of_a_restore(business)
    assert business.connection.execute("select * from claim_due_sms_retries()").fetchall() == []
    assert business.row(row)["in_doubt_since"] is not None


def test_a_customer_without_a_number_is_not_looked_for(
    business: Business, queue: SupabaseQueue, sender: TwilioSender
) -> None:
    """Nobody can have texted them: the text ends with its reason."""
    row = business.due_text(phone=None)
    told_of_a_restore(business)
    assert fates_of(run_over(queue, sender, AT_ONCE)) == ["Failed"]
    assert business.row(row)["why_code"] == "no_phone"
