"""A database that was restored from a backup: what went out after the backup is looked for, and not sent again."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
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
from smsretry.retry.policy import LIFE
from smsretry.sending.pipeline import process_sms_retry_item
from tests.conftest import Business
from tests.integration.unchangeable import HARMS, MENDED, STUCK, planted
from tests.support.builders import AT_ONCE, BODY, NOON, begin, fates_of, finish, run_over
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
            [self.claims[name]] = self.queue.claim_due(1)
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
        finish(self.queue, begun, self.attempt, outcome, Complete(outcome.sid))
        self.live(minutes=35)
        assert self.texts() == dict.fromkeys(SENT, 1)
        self.stack.move_clock(timedelta(minutes=10))
        restore(self.stack, self.backup)

    def live(self, *, minutes: int) -> None:
        """A run a minute."""
        for _ in range(minutes):
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
    """Each got one text; what is not due yet is as it was."""
    tomorrow = world.business.row(world.rows["tomorrow"])
    tried = operators.order(restored(world, dry_run=True, who=None, because=None))
    assert world.texts() == dict.fromkeys(SENT, 1)
    done = operators.order(restored(world))
    assert (tried.changed, done.changed) == (4, 4), "the scheduled send is looked for when its text is to go out"
    assert operators.order(restored(world)).matched == 0
    world.live(minutes=30)
    assert world.texts() == dict.fromkeys((*SENT, "late"), 1)
    for name in (*SENT[:-1], "late"):
        assert world.business.row(world.rows[name])["status"] == "completed", name
    assert world.business.row(world.rows["tomorrow"]) == tomorrow
    [step] = world.business.connection.execute(
        "select step, who, because from smsretry.steps where retry_id = %s", [world.rows["waiting"]]
    ).fetchall()
    assert step == {"step": "put in doubt", "who": "Ann", "because": "Restored from the backup"}


@pytest.mark.long
def test_without_it_they_are_sent_again(world: World) -> None:
    """All but those of which a send was on record in the backup: one is found, of the other a person is asked."""
    world.live(minutes=30)
    assert world.texts() == {"begun": 1, "late": 1, "in doubt": 1} | dict.fromkeys(
        ("waiting", "claimed", "scheduled"), 2
    )


def test_a_worker_from_before_the_restore_can_write_nothing(world: World, operators: SupabaseOperators) -> None:
    """Its claim is valid again in the restored rows, until the claim numbers leap."""
    operators.order(restored(world))
    world.live(minutes=1)
    assert world.queue.put_off(world.claims["claimed"], GiveBack("It stopped", "sending_stopped")) is False
    assert world.business.row(world.rows["claimed"])["status"] == "completed"


def test_what_a_worker_has_at_this_moment_is_left_alone(world: World, operators: SupabaseOperators) -> None:
    """A runner was not stopped: the answer says so."""
    world.queue.recover(10)
    [_] = world.queue.claim_due(1)
    done = operators.order(restored(world))
    assert done.skipped == {"A worker has it at this moment: stop every runner first": 1}


@pytest.mark.parametrize(("due", "counted"), [(30, 30), (120, 60)], ids=["due since", "due before"])
def test_a_text_in_doubt_is_of_use_for_as_long_as_every_text(
    stack: Stack, business: Business, operators: SupabaseOperators, due: int, counted: int
) -> None:
    """From when it was due, though not from before the backup: it had not gone out by then. It had no end."""
    now = stack.now()
    row = business.due_text(due=timedelta(minutes=-due))
    since = now - timedelta(minutes=60)
    done = operators.order(AfterRestore(backup_of=since, dry_run=False, who="Ann", because="Restored from the backup"))
    assert done.changed == 1
    ends = business.row(row)["expires_at"] - LIFE
    assert abs(now - timedelta(minutes=counted) - ends) < timedelta(minutes=5)


def test_the_backup_must_have_been_taken(world: World, operators: SupabaseOperators) -> None:
    """A wrong year would put everything in doubt."""
    with pytest.raises(InputError, match="since is when the backup was taken, and not to come"):
        operators.order(restored(world, backup_of=world.stack.now() + timedelta(hours=1)))


# Which texts may have gone out, and whose claims hold no longer


def told_of_a_restore(business: Business, *, since: datetime = NOON - timedelta(hours=1)) -> None:
    """At noon, of a backup of an hour before."""
    business.connection.execute("insert into smsretry.restores values (%s, %s, 'Ann', 'Lost')", [since, NOON])


def is_forgotten(business: Business, row: UUID) -> bool:
    """Whether the text's send may be."""
    [found] = business.connection.execute(
        "select (smsretry.forgotten(q)).since from sms_retry_queue q where q.id = %s", [row]
    ).fetchall()
    return found["since"] is not None


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
           ) values (gen_random_uuid(), %s, 1, 1, %s, %s, %s, %s)""",
        [row, *(NOON + timedelta(minutes=minutes) for minutes in (begun, looked)), outcome, settled_by],
    )
    assert is_forgotten(business, row) is forgotten


def test_the_applications_own_claim_puts_in_doubt_what_may_have_gone_out(business: Business) -> None:
    """It begins no send, so nobody asks again before the text leaves."""
    row = business.due_text()
    told_of_a_restore(business)
    assert business.connection.execute("select * from claim_due_sms_retries()").fetchall() == []
    assert business.row(row)["in_doubt_since"] is not None


def test_a_claim_that_the_backup_does_not_know_holds_no_longer(business: Business, queue: SupabaseQueue) -> None:
    """Its number would be given anew to whoever looks for the text."""
    row = business.due_text()
    [forgotten] = queue.claim_due(1)
    business.connection.execute(
        "update sms_retry_queue set status = 'pending', claim_no = 0, claimed_at = null where id = %s", [row]
    )
    put_in_doubt(business)
    [claim] = queue.claim_doubtful(1)
    assert claim.claim_no != forgotten.claim_no
    assert queue.put_off(forgotten, GiveBack("It stopped", "sending_stopped")) is False


# A batch a call, whatever is in the way


def put_in_doubt(business: Business, *, limit: int = 1000, dry_run: bool = False) -> dict[str, Any]:
    """A call by SQL, about a backup of noon. One that does not end is ended."""
    with business.connection.transaction():
        business.connection.execute("set local statement_timeout = '5s'")
        answer = business.connection.execute(
            "select * from doubt_sms_retries(%s, %s, 'Ann', 'Restored from the backup', %s)",
            [NOON, dry_run, limit],
        ).fetchone()
    assert answer is not None
    return answer


def in_doubt(business: Business) -> int:
    """How many texts are in doubt."""
    answer = business.connection.execute("select count(in_doubt_since) as n from sms_retry_queue").fetchone()
    assert answer is not None
    return int(answer["n"])


def test_a_batch_is_put_in_doubt_a_call_until_there_is_none(business: Business) -> None:
    """What would be done is what is done. Then a call changes nothing."""
    with business.connection.transaction():
        for _ in range(5):
            business.due_text()
    assert put_in_doubt(business, limit=2, dry_run=True)["changed"] == 2
    assert business.connection.execute("select 1 from smsretry.restores").fetchone() is None
    assert [put_in_doubt(business, limit=2)["changed"] for _ in range(4)] == [2, 2, 1, 0]
    assert in_doubt(business) == 5


@pytest.mark.parametrize("harm", HARMS)
def test_a_scheduled_send_that_could_not_become_a_text_is_looked_for_once_it_can(
    stack: Stack, business: Business, queue: SupabaseQueue, sender: TwilioSender, harm: str
) -> None:
    """Nobody need mend it before anything runs; and it is in no other's way."""
    stuck, fine = (business.scheduled(due=-timedelta(minutes=5), body=body) for body in (STUCK, BODY))
    waiting = business.due_text()
    with planted(business.connection, HARMS[harm]):
        assert put_in_doubt(business)["changed"] == 1
        queue.queue_scheduled(200, timedelta(minutes=2))
        assert sorted(fates_of(run_over(queue, sender, AT_ONCE))) == ["InDoubt", "InDoubt"]
        assert business.text_of(fine)["in_doubt_since"] is not None
        assert business.row(waiting)["in_doubt_since"] is not None
        if harm.startswith("a trigger"):
            business.connection.execute(MENDED)
            stack.move_clock(timedelta(minutes=16))
            queue.queue_scheduled(200, timedelta(minutes=2))
            fates_of(run_over(queue, sender, AT_ONCE))
            assert business.text_of(stuck)["in_doubt_since"] is not None


def test_what_is_left_alone_does_not_keep_the_others_from_doubt(business: Business) -> None:
    """It comes again with each call; as the oldest it was all that a call looked at."""
    nobody, somebody = business.due_text(phone=None, due=-timedelta(hours=1)), business.due_text()
    business.connection.execute("update sms_retry_queue set created_at = created_at - interval '1 year'")
    done = put_in_doubt(business, limit=1)
    assert (done["matched"], done["changed"]) == (1, 1)
    assert business.row(somebody)["in_doubt_since"] is not None
    done = put_in_doubt(business, limit=1)
    assert done["skipped"] == {"Nobody can have texted a customer without a number": 1}
    assert business.row(nobody)["in_doubt_since"] is None


@pytest.mark.parametrize("how", ["raise exception 'not like that'", "return null"])
def test_a_text_that_a_trigger_keeps_as_it_is_is_left_alone(business: Business, how: str) -> None:
    """It undid the whole call, or was said to be in doubt with each."""
    kept, other = business.due_text(), business.due_text()
    business.connection.execute("update sms_retry_queue set created_at = created_at - interval '1 year'")
    business.connection.execute(
        f"""create function public.meddle() returns trigger language plpgsql as $$
            begin if old.id = '{kept}' then {how}; end if; return new; end $$;
            create trigger a_meddle before update on sms_retry_queue for each row execute function public.meddle()
        """.encode()
    )
    try:
        done = put_in_doubt(business)
    finally:
        business.connection.execute(MENDED)
    assert (done["matched"], done["changed"]) == (2, 1)
    [why] = done["skipped"]
    assert why.startswith("A trigger or a rule refuses to have it changed (")
    assert business.row(other)["in_doubt_since"] is not None
    assert business.attempts_of(kept) == []
