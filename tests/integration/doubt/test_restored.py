"""A database that was restored from a backup: what went out after the backup is looked for, and not sent again."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from smsretry import schedule_sms
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.actions.requests import ReportRestore, Requeue
from smsretry.errors import InputError
from smsretry.local.twilio.faults import DropUnaccepted
from smsretry.retry.answers import EarlierRun
from smsretry.retry.decision import Complete, Fail
from smsretry.retry.models import Claim, Text
from smsretry.retry.outcome import Accepted
from smsretry.retry.profile import Profile
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.pipeline import process_sms_retry_item
from smsretry.sending.ports import Services
from tests.proofs.town.safeguards import Safeguard, without
from tests.support.builders import (
    AT_ONCE,
    BODY,
    NOON,
    PHONE,
    begin,
    finish,
    run_over,
    sent_by_hand,
)  # fmt: skip
from tests.support.claims import next_due
from tests.support.orders import ordered
from tests.support.records import columns
from tests.support.restoring import back_up, restore
from tests.support.shop import Shop

SENT = (
    "waiting",
    "claimed",
    "begun",
    "in doubt",
    "scheduled",
    "moved",
    "failed",
    "anew",
)
"""Texts that went out after the backup was taken, by what they were in it or what happened to them then."""
NAMES = (*SENT, "late", "tomorrow")
NUMBERS = {name: f"+121255501{place:02d}" for place, name in enumerate(NAMES, start=60)}
SIGNED = {"dry_run": False, "who": "Ann", "because": "Restored from the backup"}


@dataclass
class World:
    """What the backup has, what happens after it, and the restore."""

    shop: Shop
    operators: SupabaseOperators
    backup: Path
    since: datetime = NOON
    rows: dict[str, UUID] = field(default_factory=dict)
    claims: dict[str, Claim] = field(default_factory=dict)
    attempt: UUID = field(default_factory=uuid4)
    moved: UUID = field(default_factory=uuid4)
    last: EarlierRun | None = None
    """The last run before the restore, as Prefect's history has it."""

    def live_until_the_backup(self) -> None:
        """A text in each state."""
        self._text("in doubt")
        self.shop.stack.twilio.fail(DropUnaccepted(), to=NUMBERS["in doubt"])
        self.live(minutes=1)
        for name in ("failed", "anew", "claimed", "begun"):
            self._text(name)
            claim = self.shop.queue.claim_one(
                self.rows[name]
            )  # and not the text in doubt
            assert isinstance(claim, Claim)
            self.claims[name] = claim
        for name in ("failed", "anew"):
            assert self.shop.queue.act_on(
                self.claims[name], Fail("Something passing", "unforeseen")
            )
        begin(self.shop.queue, self.claims["begun"], self.attempt)
        for name, minutes in {"waiting": 5, "late": 40, "tomorrow": 24 * 60}.items():
            self._text(name, due=timedelta(minutes=minutes))
        self.moved = self.shop.scheduled(phone=NUMBERS["moved"], due=timedelta(days=1))
        due, customer = (
            self.shop.now() + timedelta(minutes=10),
            self.shop.customer(phone=NUMBERS["scheduled"]),
        )
        schedule_sms(self.shop.id, customer, BODY, due, queue=self.shop.queue)
        self.since = self.shop.now()
        back_up(self.shop.stack, self.backup)

    def forget_what_followed(self) -> None:
        """The workers finish what they have, the schedule goes on, and half an hour later the database is lost."""
        shop = self.shop
        process_sms_retry_item(
            self.claims["claimed"],
            queue=shop.queue,
            provider=shop.provider,
            profile=AT_ONCE,
        )
        text = Text(
            attempt_id=self.attempt,
            sender=self.shop.provider.default,
            to=NUMBERS["begun"],
            body=BODY,
            valid_for=timedelta(1),
        )
        outcome = shop.provider.send(text)
        assert isinstance(outcome, Accepted)
        finish(
            shop.queue,
            self.claims["begun"],
            self.attempt,
            outcome,
            Complete("Accepted", sid=outcome.sid),
        )
        self.order()
        self.live(minutes=35)
        assert self.texts() == dict.fromkeys(SENT, 1)
        self.last = last_run(shop)
        shop.later(minutes=10)
        restore(shop.stack, self.backup)

    def order(self) -> None:
        """What people and the application have sent, before the restore and after it: moved, put back, queued anew."""
        move = "update scheduled_sends set scheduled_for = %s where id = %s"
        self.shop.sql(move, self.shop.now() + timedelta(minutes=1), self.moved)
        ask = Requeue.model_validate({"retry_ids": [self.rows["failed"]]} | SIGNED)
        assert ordered(self.operators, ask).changed == 1
        self.shop.sql(
            "select queue_sms_retry(%s)",
            self.shop.row(self.rows["anew"])["send_log_id"],
        )

    def live(self, *, minutes: int) -> None:
        """A run a minute: those that would find nothing are left out, but for some."""
        for minute in range(minutes):
            if minute % 5 == 0 or next_due(self.shop.connection) == 0:
                self.shop.recover()
                self.shop.queue.queue_scheduled(200, timedelta(minutes=2))
                self.shop.run(AT_ONCE)
            self.shop.later(minutes=1)

    def tell(self, **more: object) -> int:
        """What a person says who has restored the backup; how many texts may be concerned."""
        return ordered(
            self.operators,
            ReportRestore.model_validate({"backup_of": self.since} | SIGNED | more),
        ).changed

    def notice(self) -> bool:
        """Whether a run that remembers the last one says that the database was restored."""
        noticed = self.shop.queue.start_run(
            uuid4(), 10, [self.last] if self.last else []
        )
        return any(run.restored_since for run in noticed)

    def texts(self) -> dict[str, int]:
        """How many texts each got."""
        names = {number: name for name, number in NUMBERS.items()}
        return dict(Counter(names[message.to] for message in self.shop.messages))

    def _text(self, name: str, due: timedelta = timedelta(0)) -> None:
        self.rows[name] = self.shop.due_text(phone=NUMBERS[name], due=due)


def last_run(shop: Shop) -> EarlierRun:
    """The run that began last."""
    [row] = shop.sql(
        """select id, started_at as due_at, finished_at is not null as finished
           from smsretry.runs order by started_at desc limit 1"""
    )
    return EarlierRun.model_validate(row)


@pytest.fixture
def world(shop: Shop, operators: SupabaseOperators, tmp_path: Path) -> World:
    """Up to the restore."""
    world = World(shop, operators, tmp_path / "backup.sql")
    world.live_until_the_backup()
    world.forget_what_followed()
    return world


def test_a_person_may_say_when_the_backup_was_taken(world: World) -> None:
    """It is tried first, and recorded once. A time to come is refused."""
    shop = world.shop
    assert world.tell(dry_run=True, who=None, because=None) == 6
    assert shop.sql("select from smsretry.restores") == []
    with pytest.raises(InputError, match="which is not in the future"):
        world.tell(backup_of=shop.now() + timedelta(hours=1))
    assert [world.tell(), world.tell()] == [6, 6]
    assert shop.value("select since from smsretry.restores") == world.since


@pytest.mark.parametrize("who", ["a run", "a person"])
def test_what_went_out_after_the_backup_is_found_and_what_did_not_goes_out(
    world: World, who: str
) -> None:
    """Each got one text, whichever way it came about. What is not due yet is as it was."""
    shop, tomorrow = world.shop, world.shop.row(world.rows["tomorrow"])
    if who == "a person":
        world.tell()
    else:
        assert [world.notice(), world.notice()] == [True, False]
        assert shop.value("select min(since) from smsretry.restores") <= world.since
    world.live(minutes=3)
    world.order()
    world.live(minutes=40)
    assert world.texts() == dict.fromkeys((*SENT, "late"), 1)
    for name in ("waiting", "claimed", "begun", "in doubt", "late"):
        assert shop.status_of(world.rows[name]) == "completed", name
    assert shop.row(world.rows["late"])["claim_no"] > 1000, (
        "a claim from the forgotten time holds nothing"
    )
    assert shop.row(world.rows["tomorrow"]) == tomorrow
    said = "select detail ->> 'because' from smsretry.events where about = %s and code = 'in_doubt'"
    assert "restored from a backup" in shop.value(said, world.rows["waiting"])


def test_what_a_carrier_lost_is_sent_again_once_on_both_sides_of_the_backup(
    shop: Shop, tmp_path: Path
) -> None:
    """The second message of what was lost is forgotten, and found. What arrived, or was sent before, stays."""
    numbers = [NUMBERS[name] for name in ("late", "waiting", "tomorrow")]
    rows = [shop.due_text(phone=number) for number in numbers]
    services = Services(shop.queue, shop.provider, AT_ONCE)

    def live(minutes: int) -> None:
        for _ in range(0, minutes, 5):
            shop.later(minutes=5)
            sync_deliveries(services, limit=100)
            shop.run(AT_ONCE)

    def texts() -> list[int]:
        counted = Counter(message.to for message in shop.messages)
        return [counted[number] for number in numbers]

    shop.run(AT_ONCE)
    back_up(shop.stack, tmp_path / "backup.sql")
    lost, arrived, _ = (shop.attempts_of(row)[-1]["twilio_sid"] for row in rows)
    shop.twilio.report(lost, "undelivered", 30008)
    shop.twilio.report(arrived, "delivered")
    live(minutes=60)
    assert texts() == [2, 1, 1]
    last = last_run(shop)
    restore(shop.stack, tmp_path / "backup.sql")
    shop.queue.start_run(uuid4(), 10, [last])
    live(minutes=120)
    assert texts() == [2, 1, 1]
    assert [shop.status_of(row) for row in rows] == ["completed"] * 3


@pytest.mark.long
def test_without_it_they_are_sent_again(world: World) -> None:
    """All but those of which a send was on record in the backup. The switch: a restore is told, and nobody asks."""
    world.tell()
    switch = (
        (
            r"from smsretry\.forgotten f where",
            "from smsretry.forgotten f where false and",
        ),
    )
    with without(
        world.shop.stack, Safeguard(replaces="public.begin_sms_attempt", edits=switch)
    ):
        world.order()
        world.live(minutes=40)
    twice = ("waiting", "claimed", "scheduled", "moved", "failed", "anew")
    assert world.texts() == {"begun": 1, "late": 1, "in doubt": 1} | dict.fromkeys(
        twice, 2
    )


# Which texts may have gone out


def is_forgotten(shop: Shop, row: UUID) -> bool:
    """Whether the text's send may be: its begin puts it in doubt, and says so again if its answer was lost."""
    claim, attempt = shop.claim(), uuid4()
    assert len({shop.begin(claim, attempt).why for _ in range(2)}) == 1
    return shop.row(row)["in_doubt_since"] is not None


def record_restore(shop: Shop) -> None:
    """At noon, of a backup of an hour before."""
    shop.sql(
        "insert into smsretry.restores values (%s, %s, 'Ann', 'Lost')",
        NOON - timedelta(hours=1),
        NOON,
    )


@pytest.mark.parametrize(
    ("older", "forgotten"),
    [
        ("sms_retry_queue", True),
        ("send_logs", True),
        ("scheduled_sends", True),
        (None, False),
    ],
)
def test_a_text_may_be_forgotten_if_anything_of_it_is_older_than_the_restore(
    shop: Shop, older: str | None, forgotten: bool
) -> None:
    """Its row, its send log, or its plan. What came about later is on record."""
    send = shop.scheduled()
    shop.queue.queue_scheduled(10, timedelta(minutes=2))
    row = shop.text_of(send)["id"]
    record_restore(shop)
    for table in ("sms_retry_queue", "send_logs", "scheduled_sends"):
        shop.sql(
            f"update {table} set created_at = %s",
            NOON - timedelta(minutes=1) if table == older else NOON,
        )
    shop.sql("update sms_retry_queue set scheduled_for = smsretry.clock()")
    assert is_forgotten(shop, row) is forgotten


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
    shop: Shop, begun: int, looked: int, outcome: str, settled_by: str, forgotten: bool
) -> None:
    """It must have looked, after the restore, at all the time since the backup."""
    row = shop.due_text()
    record_restore(shop)
    shop.sql(
        """insert into sms_send_attempts (
               id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by
           ) values (gen_random_uuid(), %s, 1, 0, %s, %s, %s, %s)""",
        *[
            row,
            *(NOON + timedelta(minutes=minutes) for minutes in (begun, looked)),
            outcome,
            settled_by,
        ],
    )
    assert is_forgotten(shop, row) is forgotten


def test_a_doubt_that_is_held_for_a_person_is_looked_for_anew_after_a_restore(
    shop: Shop,
) -> None:
    """Whatever was found out of it may be of the time that is forgotten."""
    row = shop.due_text()
    shop.twilio.fail(DropUnaccepted())
    for _ in range(4):
        shop.run(Profile(in_doubt="hold"))
        shop.later(minutes=16)
    assert shop.row(row)["held_since"] is not None
    shop.sql("select after_sms_restore(%s, false, 'Ann', 'Restored')", NOON)
    assert columns(shop.row(row), "held_since", "reconcile_count") == (None, 0)
    assert shop.run(Profile(in_doubt="hold")) == ["InDoubt"]


def test_what_went_out_before_a_second_restore_is_found_too(shop: Shop) -> None:
    """The first one was of a backup of an hour before noon, and nobody had looked for the text yet."""
    row = shop.due_text()
    record_restore(shop)
    shop.later(minutes=30)
    sent_by_hand(shop.provider, PHONE, BODY)
    shop.later(minutes=30)
    shop.sql(
        "insert into smsretry.restores values (%s, %s, 'Ann', 'Lost again')",
        NOON + timedelta(minutes=20),
        NOON + timedelta(hours=1),
    )
    for _ in range(8):
        shop.run(AT_ONCE)
        shop.later(minutes=16)
    assert (len(shop.messages), shop.status_of(row)) == (1, "completed")


def test_what_was_looked_for_before_a_restore_is_looked_for_anew(shop: Shop) -> None:
    """Looks that found nothing then prove nothing of the time that is forgotten."""
    shop.due_text()
    shop.twilio.fail(DropUnaccepted())
    for _ in range(3):
        assert shop.run(AT_ONCE) == ["InDoubt"]
        shop.later(minutes=6)
    shop.sql("select after_sms_restore(%s, false, 'Ann', 'Restored')", NOON)
    for fate in ("InDoubt", "InDoubt", "RetryScheduled"):
        shop.later(minutes=16)
        assert shop.run(AT_ONCE)[0] == fate


def test_a_customer_without_a_number_is_not_looked_for(shop: Shop) -> None:
    """Nobody can have texted them: the text ends with its reason."""
    row = shop.due_text(phone=None)
    record_restore(shop)
    assert shop.run(AT_ONCE) == ["Failed"]
    assert shop.row(row)["why_code"] == "no_phone"


# Who notices it


@dataclass(frozen=True)
class Backup:
    """A database with a past of an hour, as of some moment, and the run that came to its end then."""

    shop: Shop
    file: Path
    last: EarlierRun

    def restored_since(
        self, earlier: EarlierRun | None, **changes: object
    ) -> datetime | None:
        """What a run is told that remembers this earlier one, with some of it changed."""
        if earlier:
            earlier = earlier.model_copy(update=changes)
        answers = self.shop.queue.start_run(uuid4(), 10, [earlier] if earlier else [])
        return next((run.restored_since for run in answers if run.restored_since), None)

    def lived_on(self) -> EarlierRun:
        """A run that the backup does not know."""
        self.shop.later(minutes=1)
        self.shop.run()
        return last_run(self.shop)


@pytest.fixture
def backup(shop: Shop, tmp_path: Path) -> Backup:
    """It was just taken."""
    for _ in range(3):
        shop.run()
        shop.later(minutes=20)
    shop.run()
    back_up(shop.stack, tmp_path / "backup.sql")
    return Backup(shop, tmp_path / "backup.sql", last_run(shop))


def test_a_run_that_the_database_has_forgotten_shows_a_restore_each_time_and_once(
    backup: Backup,
) -> None:
    """Also one that was killed, and where the clock of Prefect's server is an hour off. Since then: never after the
    backup.
    """
    shop = backup.shop
    [ended] = shop.sql("select max(finished_at) as at from smsretry.runs")
    for finished, hours in ((True, 0), (False, 0), (True, 1), (True, -1)):
        forgotten = backup.lived_on()
        restore(shop.stack, backup.file)
        remembered = {
            "finished": finished,
            "due_at": forgotten.due_at + timedelta(hours=hours),
        }
        since = backup.restored_since(forgotten, **remembered)
        assert since is not None
        assert since <= ended["at"]
        assert since == ended["at"] or hours < 0
        assert backup.restored_since(forgotten, **remembered) is None


def test_a_restore_to_a_moment_of_the_last_run_is_noticed_by_its_end(
    backup: Backup,
) -> None:
    """The database knows the run, and not that it finished. Of a killed run nobody says that it did."""
    shop = backup.shop
    shop.sql(
        "update smsretry.runs set finished_at = null, summary = null where id = %s",
        backup.last.id,
    )
    assert backup.restored_since(backup.last, finished=False) is None
    assert backup.restored_since(backup.last) is not None


def test_nothing_ordinary_is_taken_for_a_restore(backup: Backup) -> None:
    """A new Prefect server, the run before or one under way, a run that was pruned, a new database, and staging."""
    shop, last = backup.shop, backup.last
    assert backup.restored_since(None) is None
    assert backup.restored_since(last) is None
    under_way = uuid4()
    shop.queue.start_run(under_way, 10)
    assert backup.restored_since(last, id=under_way, finished=False) is None
    assert (
        backup.restored_since(last, id=uuid4(), due_at=NOON - timedelta(days=1)) is None
    )
    staging = (
        "select restored_since from start_sms_run(%s, 10, 'nobody', earlier => %s)"
    )
    stranger = Jsonb([{"id": str(uuid4()), "due_at": last.due_at.isoformat()}])
    assert shop.sql(staging, uuid4(), stranger) == []
    shop.sql("truncate smsretry.runs")
    assert backup.restored_since(last) is None
    assert shop.sql("select from smsretry.restores") == []


def test_a_run_that_was_under_way_at_the_restore_sends_nothing_twice(
    backup: Backup,
) -> None:
    """The database does not know the run, whatever it had sent."""
    shop = backup.shop
    row = shop.due_text()
    back_up(shop.stack, backup.file)
    run = run_over(shop.queue, shop.provider)
    run.recover(10)
    assert [run.process(claim).fate for claim in run.claim()] == ["Sent"]
    restore(shop.stack, backup.file)
    assert [run.process(claim).fate for claim in run.claim()] == ["InDoubt"]
    assert shop.end_of(row) == ("pending", "restored")
    for _ in range(30):
        shop.later(minutes=1)
        shop.run()
    assert shop.end_of(row)[0] == "completed"
    assert len(shop.messages) == 1


def test_a_run_that_cannot_ask_sends_new_texts_and_the_next_one_notices_the_restore(
    backup: Backup,
) -> None:
    """What may have gone out waits, whether its row, its send log or its plan was in the backup. The run is red."""
    shop = backup.shop
    rows = [shop.due_text(phone=number) for number in NUMBERS.values()]
    backup.file.unlink()
    back_up(shop.stack, backup.file)
    shop.later(minutes=5)
    assert set(shop.run()) == {"Sent"}
    forgotten = last_run(shop)
    restore(shop.stack, backup.file)
    shop.later(minutes=5)
    earlier = None
    for fates in (
        {"Deferred": len(rows), "Sent": 1},
        {"InDoubt": len(rows) + 1},
    ):
        new = shop.due_text(phone=f"+12125552{len(shop.messages):03}")
        for table, row in (
            ("sms_retry_queue", new),
            ("send_logs", shop.row(new)["send_log_id"]),
        ):
            shop.sql(
                f"update {table} set created_at = smsretry.clock() where id = %s", row
            )
        run = run_over(shop.queue, shop.provider)
        run.recover(10, earlier)
        assert Counter(run.process(claim).fate for claim in run.claim()) == fates
        assert run.report([]).needs_attention
        earlier = [last_run(shop), forgotten]
        shop.later(minutes=1)


def test_two_runs_that_notice_a_restore_at_once_record_it_once(backup: Backup) -> None:
    """The second waits for the first."""
    forgotten = backup.lived_on()
    restore(backup.shop.stack, backup.file)
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(backup.restored_since, [forgotten] * 5))
    assert len([since for since in answers if since]) == 1
    assert backup.shop.value("select count(*) from smsretry.restores") == 1


def test_people_can_see_for_an_hour_that_the_database_was_restored(
    backup: Backup,
) -> None:
    """By the run, which is red, on the queue's page, and by the monitor."""
    shop = backup.shop
    forgotten = backup.lived_on()
    restore(shop.stack, backup.file)
    run = run_over(shop.queue, shop.provider)
    run.recover(10, [forgotten])
    assert run.report([]).needs_attention
    asked = "select check_sms_retries()"
    with pytest.raises(psycopg.Error, match="was restored from a backup"):
        shop.value(asked)
    on_page = 'select sms_status() @> \'{"late": [{"name": "restored"}]}\''
    assert shop.value(on_page)
    shop.later(minutes=70)
    shop.run()
    assert not shop.value(on_page)
    assert shop.value(asked).startswith("ok")
