"""A database that was restored from a backup: what went out after the backup is looked for, and not sent again."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from smsretry.desk.actions.requests import ReportRestore
from smsretry.errors import InputError
from smsretry.local.twilio.faults import DropUnaccepted
from smsretry.retry.answers import EarlierRun
from smsretry.retry.models import Claim
from smsretry.retry.profile import Profile
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.integration.story import Story
from tests.proofs.town.safeguards import Safeguard, without
from tests.support.builders import (
    AT_ONCE,
    BODY,
    NOON,
    run_over,
    sent_by_hand,
)  # fmt: skip
from tests.support.claims import next_due
from tests.support.restoring import back_up, restore
from tests.support.shop import Shop

SENT = (
    *("waiting", "claimed", "begun", "in doubt", "scheduled", "moved", "failed"),
    "anew",
)
"""Texts that went out after the backup was taken, by what they were in it or what happened to them then."""
NAMES = (*SENT, "late", "tomorrow")
NUMBERS = {name: f"+121255501{place:02d}" for place, name in enumerate(NAMES, start=60)}


class World:
    """What the backup has, what happens after it, and the restore."""

    def __init__(self, shop: Shop, backup: Path) -> None:
        self.shop, self.rows = shop, dict[str, UUID]()
        self._text("in doubt")
        shop.twilio.fail(DropUnaccepted(), to=NUMBERS["in doubt"])
        self.live(minutes=1)
        for name in ("failed", "anew", "claimed", "begun"):
            self._text(name)
        over = [self.rows[name] for name in ("failed", "anew")]
        failed = "status = 'failed', last_error = 'Something passing'"
        shop.sql(f"update sms_retry_queue set {failed} where id = any(%s)", over)
        self.claimed, claim = (
            shop.queue.claim_one(self.rows[name]) for name in ("claimed", "begun")
        )  # and not the text in doubt
        assert isinstance(claim, Claim)
        shop.begin(claim)
        for name, minutes in {"waiting": 5, "late": 40, "tomorrow": 24 * 60}.items():
            self._text(name, minutes)
        self.moved = shop.scheduled(phone=NUMBERS["moved"], due=timedelta(days=1))
        shop.scheduled(phone=NUMBERS["scheduled"], due=timedelta(minutes=10))
        self.since = shop.now()
        back_up(shop.stack, backup)
        self._be_forgotten()
        restore(shop.stack, backup)

    def _be_forgotten(self) -> None:
        """The workers finish what they have, the schedule goes on, and half an hour later the database is lost."""
        assert isinstance(self.claimed, Claim)
        self.shop.process(self.claimed)
        sent_by_hand(self.shop.provider, NUMBERS["begun"], BODY)
        self.order()
        self.live(minutes=35)
        assert self.texts() == dict.fromkeys(SENT, 1)
        self.last = last_run(self.shop)
        """As Prefect's history has it."""
        self.shop.later(minutes=10)

    def order(self) -> None:
        """What people and the application have sent, before the restore and after it: moved, put back, queued anew."""
        move = "update scheduled_sends set scheduled_for = %s where id = %s"
        self.shop.sql(move, self.shop.now() + timedelta(minutes=1), self.moved)
        assert self.shop.requeue(self.rows["failed"]).changed == 1
        anew = self.shop.row(self.rows["anew"])["send_log_id"]
        self.shop.sql("select queue_sms_retry(%s)", anew)

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
        said = {"backup_of": self.since} | more
        return self.shop.change(ReportRestore, **said).changed

    def notice(self) -> bool:
        """Whether a run that remembers the last one says that the database was restored."""
        noticed = self.shop.queue.start_run(uuid4(), 10, [self.last])
        return any(run.restored_since for run in noticed)

    def texts(self) -> dict[str, int]:
        """How many texts each got."""
        names = {number: name for name, number in NUMBERS.items()}
        return dict(Counter(names[message.to] for message in self.shop.messages))

    def _text(self, name: str, minutes: int = 0) -> None:
        due = timedelta(minutes=minutes)
        self.rows[name] = self.shop.due_text(phone=NUMBERS[name], due=due)


def last_run(shop: Shop) -> EarlierRun:
    """The run that began last."""
    [row] = shop.sql(
        """select id, started_at as due_at, finished_at is not null as finished
           from smsretry.runs order by started_at desc limit 1"""
    )
    return EarlierRun.model_validate(row)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """For a backup."""
    return tmp_path / "backup.sql"


@pytest.fixture
def world(shop: Shop, file: Path) -> World:
    """Up to the restore."""
    return World(shop, file)


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
    shop: Shop, file: Path
) -> None:
    """The second message of what was lost is forgotten, and found. What arrived, or was sent before, stays."""
    numbers = [NUMBERS[name] for name in ("late", "waiting", "tomorrow")]
    rows = [shop.due_text(phone=number) for number in numbers]
    services = Services(shop.queue, shop.provider, AT_ONCE)

    def texts_after(minutes: int) -> list[int]:
        for _ in range(0, minutes, 5):
            shop.later(minutes=5)
            sync_deliveries(services, limit=100)
            shop.run(AT_ONCE)
        counted = Counter(message.to for message in shop.messages)
        return [counted[number] for number in numbers]

    shop.run(AT_ONCE)
    back_up(shop.stack, file)
    lost, arrived, _ = (shop.sends(row, "twilio_sid")[-1] for row in rows)
    shop.twilio.report(lost, "undelivered", 30008)
    shop.twilio.report(arrived, "delivered")
    assert texts_after(minutes=60) == [2, 1, 1]
    last = last_run(shop)
    restore(shop.stack, file)
    shop.queue.start_run(uuid4(), 10, [last])
    assert texts_after(minutes=120) == [2, 1, 1]
    assert shop.ends() == "completed completed completed"


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
        world.shop.stack, Safeguard(replaces="smsretry.doubt_forgotten", edits=switch)
    ):
        world.order()
        world.live(minutes=40)
    twice = ("waiting", "claimed", "scheduled", "moved", "failed", "anew")
    assert world.texts() == {"begun": 1, "late": 1, "in doubt": 1} | dict.fromkeys(
        twice, 2
    )


# Which texts may have gone out


CREATED = ("sms_retry_queue", "send_logs", "scheduled_sends")
RESTORED = "select after_sms_restore(%s, false, 'Ann', 'Restored')"


def is_forgotten(shop: Shop, row: UUID) -> bool:
    """Whether the text's send may be: its claim is a look for it."""
    shop.queue.claim_texts(1)
    return shop.row(row)["in_doubt_since"] is not None


def record_restore(shop: Shop, *, backup: int = -60, at: int = 0) -> None:
    """In minutes from noon: of an hour before, at noon."""
    shop.sql(
        "insert into smsretry.restores values (%s, %s, 'Ann', 'Lost')",
        *(NOON + timedelta(minutes=minutes) for minutes in (backup, at)),
    )


@pytest.mark.parametrize("older", [*CREATED, None])
def test_a_text_may_be_forgotten_if_anything_of_it_is_older_than_the_restore(
    shop: Shop, older: str | None
) -> None:
    """Its row, its send log, or its plan. What came about later is on record."""
    row = shop.scheduled()
    shop.queue.queue_scheduled(10, timedelta(minutes=2))
    record_restore(shop)
    for table in CREATED:
        at = NOON - timedelta(minutes=1 if table == older else 0)
        shop.sql(f"update {table} set created_at = %s", at)
    shop.sql("update sms_retry_queue set scheduled_for = smsretry.clock()")
    assert is_forgotten(shop, shop.text_of(row)["id"]) is (older is not None)


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
               id, retry_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by)
           select gen_random_uuid(), %s, 1, 0, noon + make_interval(mins => %s),
                  noon + make_interval(mins => %s), %s, %s
           from cast(%s as timestamptz) noon""",
        *(row, begun, looked, outcome, settled_by, NOON),
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
    shop.sql(RESTORED, NOON)
    assert shop.fields(row, "held_since reconcile_count") == (None, 0)
    assert shop.run(Profile(in_doubt="hold")) == ["InDoubt"]


STORIES = {
    "what went out before a second restore is found too, though nobody had looked for it yet": """
        text
        sql insert into smsretry.restores select now - interval '1 hour', now, 'Ann', 'Lost' from smsretry.clock() now
        30 minutes
        somebody sends it by hand
        30 minutes
        sql insert into smsretry.restores select now - interval '40 minutes', now, 'Ann', 'Lost again' \
            from smsretry.clock() now
        run at once
        130 runs
        messages: 1
        it: completed sent""",
    "what was looked for before a restore is looked for anew: it proves nothing of the time that is forgotten": """
        a text in doubt that Twilio has not
        6 minutes
        run: InDoubt
        6 minutes
        run: InDoubt
        6 minutes
        sql select after_sms_restore('2027-01-12 17:00+00', false, 'Ann', 'Restored')
        16 minutes
        run: InDoubt
        16 minutes
        run: InDoubt
        16 minutes
        run: ...RetryScheduled...""",
    "a customer without a number is not looked for: nobody can have texted them": """
        text phone=None
        sql insert into smsretry.restores select now - interval '1 hour', now, 'Ann', 'Lost' from smsretry.clock() now
        run: Failed
        it.why_code: no_phone""",
}


@pytest.mark.parametrize("story", STORIES)
def test_of_what_a_restore_forgets(shop: Shop, story: str) -> None:
    """What may have gone out is looked for."""
    Story(shop).tell(STORIES[story])


# Who notices it


class Backup:
    """A database with a past of an hour, as of now, and the run that came to its end now."""

    def __init__(self, shop: Shop, file: Path) -> None:
        for _ in range(3):
            shop.run()
            shop.later(minutes=20)
        shop.run()
        self.shop, self.file, self.last = shop, file, last_run(shop)
        back_up(shop.stack, file)

    def restored_since(
        self, earlier: EarlierRun | None, **changes: object
    ) -> datetime | None:
        """What a run is told that remembers this earlier one, with some of it changed."""
        known = [earlier.model_copy(update=changes)] if earlier else []
        answers = self.shop.queue.start_run(uuid4(), 10, known)
        return next((run.restored_since for run in answers if run.restored_since), None)

    def forget_a_run(self) -> EarlierRun:
        """One that the backup does not know, before it is restored."""
        self.shop.later(minutes=1)
        self.shop.run()
        forgotten = last_run(self.shop)
        self.restore()
        return forgotten

    def restore(self) -> None:
        """Everything is as it was then."""
        restore(self.shop.stack, self.file)

    def again(self) -> None:
        """It is taken anew."""
        self.file.unlink()
        back_up(self.shop.stack, self.file)


@pytest.fixture
def backup(shop: Shop, file: Path) -> Backup:
    """It was just taken."""
    return Backup(shop, file)


def test_a_run_that_the_database_has_forgotten_shows_a_restore_each_time_and_once(
    backup: Backup,
) -> None:
    """Also one that was killed, and where the clock of Prefect's server is an hour off. Since then: never after the
    backup.
    """
    ended = backup.shop.value("select max(finished_at) from smsretry.runs")
    for finished, hours in ((True, 0), (False, 0), (True, 1), (True, -1)):
        forgotten = backup.forget_a_run()
        due_at = forgotten.due_at + timedelta(hours=hours)
        remembered = {"finished": finished, "due_at": due_at}
        since = backup.restored_since(forgotten, **remembered)
        assert since is not None
        assert since == ended or (hours < 0 and since < ended)
        assert backup.restored_since(forgotten, **remembered) is None


def test_a_restore_to_a_moment_of_the_last_run_is_noticed_by_its_end(
    backup: Backup,
) -> None:
    """The database knows the run, and not that it finished. Of a killed run nobody says that it did."""
    under_way = (
        "update smsretry.runs set finished_at = null, summary = null where id = %s"
    )
    backup.shop.sql(under_way, backup.last.id)
    assert backup.restored_since(backup.last, finished=False) is None
    assert backup.restored_since(backup.last) is not None


def test_nothing_ordinary_is_taken_for_a_restore(backup: Backup) -> None:
    """A new Prefect server, the run before or one under way, a run that was pruned, a new database, and staging."""
    shop, last, under_way = backup.shop, backup.last, uuid4()
    shop.queue.start_run(under_way, 10)
    pruned = {"id": uuid4(), "due_at": NOON - timedelta(days=1)}
    for ordinary in ({}, {"id": under_way, "finished": False}, pruned):
        assert backup.restored_since(last, **ordinary) is None
    assert backup.restored_since(None) is None
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
    backup.again()
    run = run_over(shop.queue, shop.provider)
    run.start(10)
    assert [run.process(claim).fate for claim in run.claim()] == ["Sent"]
    forgotten = last_run(shop)
    backup.restore()
    assert [run.process(claim).fate for claim in run.claim()] == ["Deferred"]
    assert (shop.status_of(row), len(shop.messages)) == ("pending", 1)
    shop.queue.start_run(uuid4(), 10, [forgotten])
    for _ in range(30):
        shop.later(minutes=1)
        shop.run()
    assert (shop.ends(), len(shop.messages)) == ("completed", 1)


def test_a_run_that_cannot_ask_sends_nothing_and_is_red(backup: Backup) -> None:
    """Nobody could say which runs came before it, so a restore may be unnoticed. The next one notices it."""
    shop, forgotten = backup.shop, backup.forget_a_run()
    shop.due_text()
    run = run_over(shop.queue, shop.provider)
    run.start(10, None)
    assert [run.process(claim).fate for claim in run.claim()] == ["GivenBack"]
    assert run.report([]).needs_attention
    assert backup.restored_since(forgotten) is not None


def test_two_runs_that_notice_a_restore_at_once_record_it_once(backup: Backup) -> None:
    """The second waits for the first."""
    forgotten = backup.forget_a_run()
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(backup.restored_since, [forgotten] * 5))
    assert answers.count(None) == 4
    assert backup.shop.value("select count(*) from smsretry.restores") == 1


def test_people_can_see_for_an_hour_that_the_database_was_restored(
    backup: Backup,
) -> None:
    """By the run, which is red, on the queue's page, and by the monitor."""
    shop, forgotten = backup.shop, backup.forget_a_run()
    run = run_over(shop.queue, shop.provider)
    run.start(10, [forgotten])
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
