"""The playbooks: each in the trouble that it is for. Their commands are run as shown, and then all is well."""

from collections.abc import Generator, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.e2e.commands import run_as_shown
from tests.e2e.documents import PLAYBOOKS
from tests.support.builders import AT_ONCE, PHONE, fates_of, run_over
from tests.support.records import columns
from tests.support.restoring import back_up, restore
from tests.support.senders import open_account
from tests.support.shop import Shop

ACCOUNT, SERVICE = "AC" + "5" * 32, "MG" + "5" * 32
"""Of a business's own."""
FIRST, SECOND, THIRD = "+12125550161", "+12125550162", "+12125550163"
DATABASE = "postgresql://postgres:…@db.<project>.supabase.co:5432/postgres"


class Scene(Shop):
    """A business, and what happens to it between the steps."""

    def live(self, *, minutes: int = 1) -> None:
        """A run a minute."""
        for _ in range(minutes):
            fates_of(run_over(self.queue, self.provider, AT_ONCE), limit=200)
            self.later(minutes=1)

    def sent(self) -> list[str]:
        """The numbers that got a text, one entry a text."""
        return sorted(entry.to for entry in self.messages)

    def sender_of(self, row: UUID) -> tuple[str, str]:
        """The account and the sender from which a text went out."""
        [attempt] = self.attempts_of(row)
        return columns(attempt, "sent_account", "sent_by")

    def placeholders(self) -> dict[str, str]:
        """What stands for them in the commands: the business, its first text, and what it may have of its own."""
        here = {
            "$BUSINESS": str(self.id),
            "$ACCOUNT": ACCOUNT,
            "$SERVICE": SERVICE,
            DATABASE: self.stack.database_url,
        }
        for row in self.sql(
            "select id, customer_id from sms_retry_queue order by created_at limit 1"
        ):
            here |= {"$ROW": str(row["id"]), "$CUSTOMER": str(row["customer_id"])}
        return here


Story = Generator[None, None, None]
"""Goes on before each block of commands; what is left follows the last one."""


def a_customer_says_it_never_came(scene: Scene) -> Story:
    """Twilio refused the number once, which is then corrected."""
    scene.due_text(phone=PHONE)
    scene.stack.twilio.fail(JsonError(21211))
    scene.live()
    yield
    assert scene.ends() == "failed"
    yield
    scene.live()
    yield
    assert (scene.ends(), scene.sent()) == ("completed", [PHONE])


def it_came_late(scene: Scene) -> Story:
    """Nobody knew the zone of its customer for 40 minutes."""
    scene.due_text(phone="+881612345678", timezone=None)
    scene.live(minutes=40)
    scene.sql("update customers set phone = %s, timezone = 'America/New_York'", PHONE)
    scene.live(minutes=10)
    assert scene.ends() == "completed"
    yield


def it_came_twice(scene: Scene) -> Story:
    """The carrier reported the first message as lost, and it was sent again."""
    scene.due_text(phone=PHONE)
    scene.live()
    scene.stack.twilio.report(scene.messages[0].sid, "undelivered", 30008)
    scene.later(minutes=6)
    with SupabaseQueue(scene.stack.settings()) as records:
        sync_deliveries(Services(records, scene.provider, AT_ONCE, 1), limit=100)
    scene.live()
    scene.later(minutes=30)
    scene.live()
    yield
    assert scene.sent() == [PHONE, PHONE]
    yield


def twilio_was_down(scene: Scene) -> Story:
    """For three days: a text of the first day expires, one of the third is sent."""
    scene.due_text(phone=FIRST)
    scene.stack.twilio.fail(JsonError(20503, http_status=503), times=None)
    scene.live(minutes=5)
    yield
    scene.later(hours=70)
    scene.live(minutes=5)
    scene.due_text(phone=THIRD)
    scene.stack.twilio.heal()
    yield
    scene.live(minutes=60)
    assert scene.ends() == "cancelled completed"
    yield
    scene.live()
    assert scene.sent() == [FIRST, THIRD]


def we_must_stop_texts(scene: Scene) -> Story:
    """Louisiana; a customer in New York is texted meanwhile."""
    yield
    scene.due_text(phone="+15045550164", timezone="America/Chicago")
    scene.due_text(phone=PHONE)
    scene.live()
    assert (scene.ends(), scene.sent()) == ("pending completed", [PHONE])
    yield
    yield
    scene.live()
    assert scene.ends() == "completed completed"


def somebody_opted_out_by_phone(scene: Scene) -> Story:
    """While a text waits for them."""
    scene.due_text(phone=PHONE)
    yield
    assert scene.ends() == "cancelled"
    yield
    scene.due_text(phone=PHONE)
    scene.live()
    assert (scene.ends(), scene.sent()) == ("cancelled cancelled", [])


def she_wants_texts_again(scene: Scene) -> Story:
    """She had said stop by telephone, and a text was cancelled for it."""
    scene.due_text(phone=PHONE)
    scene.sql(
        "select record_sms_consent(%s, 'opted_out', 'telephone', %s)", PHONE, scene.id
    )
    yield
    yield
    scene.live()
    assert (scene.ends(), scene.sent()) == ("cancelled", [])
    yield
    scene.live()
    yield
    assert (scene.ends(), scene.sent()) == ("completed", [PHONE])


def move_a_business_to_its_own_sender(scene: Scene) -> Story:
    """Texts go out before, meanwhile and after."""
    open_account(scene.stack, ACCOUNT, "token", subaccount=True, senders=[SERVICE])
    before = scene.due_text(phone=FIRST)
    scene.live()
    yield
    meanwhile = scene.due_text(phone=SECOND)
    scene.live()
    yield
    yield
    after = scene.due_text(phone=THIRD)
    scene.live()
    assert scene.sender_of(meanwhile) == (ACCOUNT, SERVICE)
    assert scene.sender_of(after) == scene.sender_of(before) != (ACCOUNT, SERVICE)
    assert scene.sent() == [FIRST, SECOND, THIRD]


def the_account_of_a_business_was_suspended(scene: Scene) -> Story:
    """Its texts wait, and another business's go out."""
    open_account(scene.stack, ACCOUNT, "token", subaccount=True, senders=[SERVICE])
    scene.sql(
        "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'Its own')",
        scene.id,
        ACCOUNT,
        SERVICE,
    )
    row = scene.due_text(phone=FIRST)
    yield
    yield
    scene.neighbor().due_text(phone=SECOND)
    scene.live(minutes=5)
    assert (scene.end_of(row), scene.sent()) == (("pending", "sender_paused"), [SECOND])
    yield
    yield
    yield
    scene.live()
    assert (scene.row(row)["attempt_count"], scene.sent()) == (1, [FIRST, SECOND])


def upgrade_without_stopping(scene: Scene) -> Story:
    """Texts come before and after."""
    scene.due_text(phone=FIRST)
    scene.live()
    scene.due_text(phone=SECOND)
    scene.live()
    yield
    assert scene.sent() == [FIRST, SECOND]


def restore_from_a_backup(scene: Scene) -> Story:
    """One text went out after the backup was taken, one had no time to."""
    scene.due_text(phone=FIRST, due=timedelta(minutes=1))
    scene.due_text(phone=SECOND, due=timedelta(minutes=30))
    backup = Path("backup.sql")
    back_up(scene.stack, backup)
    scene.live(minutes=5)
    assert scene.sent() == [FIRST]
    scene.later(minutes=40)
    restore(scene.stack, backup)
    assert scene.ends() == "pending pending"
    yield
    scene.live(minutes=25)
    yield
    assert (scene.ends(), scene.sent()) == ("completed completed", [FIRST, SECOND])


@pytest.fixture
def scene(
    stack: Stack,
    queue: SupabaseQueue,
    sender: TwilioProvider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Scene]:
    """A business, the settings of its workers, and the folder in which the commands are given."""
    for name, value in (stack.environment() | {"COLUMNS": "250"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(
        "smsretry.cli.running.now", stack.now
    )  # the doctor compares this machine's clock with others
    monkeypatch.chdir(tmp_path)
    Path("number.txt").write_text(f"{PHONE}\n")
    with stack.connect() as connection:
        scene = Scene(connection, stack.now, stack=stack, queue=queue, provider=sender)
        scene.open()
        yield scene


@pytest.mark.parametrize(
    "title",
    [line[3:] for line in PLAYBOOKS.text.splitlines() if line.startswith("## ")],
)
def test_the_commands_of_a_playbook_end_its_trouble(title: str, scene: Scene) -> None:
    """Step by step, with what happens in between: the story of the playbook's name."""
    story: Story = globals()[title.lower().replace(" ", "_")](scene)
    for block in PLAYBOOKS.blocks("sh", under=title):
        next(story)
        run_as_shown(block, scene.placeholders(), {"status": (0, 1)})
    assert next(story, "the end") == "the end"
