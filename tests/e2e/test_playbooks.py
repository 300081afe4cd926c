"""The playbooks: each in the trouble that it is for. Their commands are run as shown, and then all is well."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.cli.command import app
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import JsonError
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.conftest import Business
from tests.e2e.documents import PLAYBOOKS, Block
from tests.support.builders import AT_ONCE, PHONE, fates_of, run_over
from tests.support.platform import open_account
from tests.support.restoring import back_up, restore

_DATABASE = "postgresql://postgres:…@db.<project>.supabase.co:5432/postgres"
_MAY_TELL_OF_TROUBLE = {"status"}


@dataclass
class Scene:
    """The embedded stack, and what happens to it between the steps."""

    stack: Stack
    business: Business
    queue: SupabaseQueue
    sender: TwilioSender
    folder: Path

    def live(self, *, minutes: int = 1) -> None:
        """A run a minute."""
        for _ in range(minutes):
            fates_of(run_over(self.queue, self.sender, AT_ONCE), limit=200)
            self.stack.move_clock(timedelta(minutes=1))

    def follow(self) -> None:
        """A run of `sync-delivery-status`, some minutes later."""
        self.stack.move_clock(timedelta(minutes=6))
        with SupabaseQueue(self.stack.settings()) as records:
            sync_deliveries(Services(records, self.sender, AT_ONCE, 1), limit=100)

    def sent(self) -> list[str]:
        """The numbers that got a text, one entry a text."""
        return sorted(entry.to for entry in self.stack.twilio.ledger.entries())

    def status(self, row: UUID) -> object:
        """Of the row."""
        return self.business.row(row)["status"]


Story = Generator[dict[str, str], None, None]
"""Goes on before each block of commands, with what stands for its placeholders; what is left follows the last one."""


def a_customer_says_it_never_came(scene: Scene) -> Story:
    """Twilio refused the number once, which is then corrected."""
    row = scene.business.due_text(phone=PHONE)
    scene.stack.twilio.fail(JsonError(21211, http_status=400))
    scene.live()
    here = {"$CUSTOMER": str(scene.business.row(row)["customer_id"]), "$ROW": str(row)}
    yield here
    yield here
    assert scene.status(row) == "pending"
    scene.live()
    yield here
    assert scene.status(row) == "completed"
    assert scene.sent() == [PHONE]


def it_came_late(scene: Scene) -> Story:
    """Nobody knew the zone of its customer for 45 minutes."""
    row = scene.business.due_text(phone="+881612345678", timezone=None)
    scene.live(minutes=40)
    scene.business.connection.execute(
        "update customers set phone = %s, timezone = 'America/New_York' where business_id = %s",
        [PHONE, scene.business.id],
    )
    scene.live(minutes=10)
    assert scene.status(row) == "completed"
    yield {"$CUSTOMER": str(scene.business.row(row)["customer_id"])}


def it_came_twice(scene: Scene) -> Story:
    """The carrier reported the first message as lost, and it was sent again."""
    row = scene.business.due_text(phone=PHONE)
    scene.live()
    [first] = scene.business.attempts_of(row)
    scene.stack.twilio.report(first["twilio_sid"], "undelivered", 30008)
    scene.follow()
    scene.live()
    scene.stack.move_clock(timedelta(minutes=30))
    scene.live()
    here = {"$CUSTOMER": str(scene.business.row(row)["customer_id"]), "$ROW": str(row)}
    yield here
    assert scene.sent() == [PHONE, PHONE]
    yield here


def twilio_was_down(scene: Scene) -> Story:
    """For three days: a text of the first day expires, one of the third is sent."""
    first = scene.business.due_text(phone="+12125550161")
    scene.stack.twilio.fail(JsonError(20503, http_status=503), times=None)
    scene.live(minutes=5)
    yield {}
    scene.stack.move_clock(timedelta(hours=70))
    scene.live(minutes=5)
    third = scene.business.due_text(phone="+12125550162")
    scene.stack.twilio.heal()
    yield {}
    scene.live(minutes=60)
    assert (scene.status(first), scene.status(third)) == ("cancelled", "completed")
    yield {}
    scene.live()
    assert scene.sent() == ["+12125550161", "+12125550162"]


def we_must_stop_texting_a_state(scene: Scene) -> Story:
    """Louisiana; a customer in New York is texted meanwhile."""
    yield {}
    there = scene.business.due_text(phone="+15045550164", timezone="America/Chicago")
    elsewhere = scene.business.due_text(phone=PHONE)
    scene.live()
    yield {}
    assert (scene.status(there), scene.status(elsewhere)) == ("pending", "completed")
    assert scene.business.row(there)["held_since"] is not None
    yield {}
    scene.live()
    assert scene.status(there) == "completed"


OWN_ACCOUNT, OWN_SERVICE = "AC" + "5" * 32, "MG" + "5" * 32
"""Of a business's own."""


def somebody_opted_out_by_phone(scene: Scene) -> Story:
    """While a text waits for them."""
    row = scene.business.due_text(phone=PHONE)
    yield {}
    assert scene.status(row) == "cancelled"
    yield {}
    again = scene.business.due_text(phone=PHONE)
    scene.live()
    assert (scene.status(again), scene.sent()) == ("cancelled", [])


def she_wants_texts_again(scene: Scene) -> Story:
    """She had said stop by telephone, and a text was cancelled for it."""
    row = scene.business.due_text(phone=PHONE)
    scene.business.connection.execute(
        "select record_sms_consent(%s, 'opted_out', 'telephone', %s)", [PHONE, scene.business.id]
    )
    here = {"$CUSTOMER": str(scene.business.row(row)["customer_id"]), "$ROW": str(row)}
    yield here
    yield here
    scene.live()
    assert (scene.status(row), scene.sent()) == ("cancelled", [])
    yield here
    assert scene.status(row) == "pending"
    scene.live()
    yield here
    assert (scene.status(row), scene.sent()) == ("completed", [PHONE])


def move_a_business_to_its_own_sender(scene: Scene) -> Story:
    """Texts go out before, meanwhile and after."""
    open_account(scene.stack, OWN_ACCOUNT, "token", subaccount=True, senders=[OWN_SERVICE])
    first = scene.business.due_text(phone="+12125550161")
    scene.live()
    here = {"$BUSINESS": str(scene.business.id), "$ACCOUNT": OWN_ACCOUNT, "$SERVICE": OWN_SERVICE}
    here |= {"$CUSTOMER": str(scene.business.row(first)["customer_id"])}
    yield here
    second = scene.business.due_text(phone="+12125550162")
    scene.live()
    [attempt] = scene.business.attempts_of(second)
    assert (attempt["sent_account"], attempt["sent_by"]) == (OWN_ACCOUNT, OWN_SERVICE)
    yield here
    yield here
    third = scene.business.due_text(phone="+12125550163")
    scene.live()
    [attempt] = scene.business.attempts_of(third)
    assert attempt["sent_account"] == scene.stack.settings().twilio_account_sid
    assert scene.sent() == ["+12125550161", "+12125550162", "+12125550163"]


def the_account_of_a_business_was_suspended(scene: Scene) -> Story:
    """Its texts wait, and another business's go out."""
    open_account(scene.stack, OWN_ACCOUNT, "token", subaccount=True, senders=[OWN_SERVICE])
    other = Business(scene.business.connection, scene.business.now).open()
    scene.business.connection.execute(
        "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'Its own')",
        [scene.business.id, OWN_ACCOUNT, OWN_SERVICE],
    )
    row = scene.business.due_text(phone="+12125550161")
    here = {"$SERVICE": OWN_SERVICE, "$ROW": str(row)}
    yield here
    yield here
    other.due_text(phone="+12125550162")
    scene.live(minutes=5)
    assert (scene.status(row), scene.business.row(row)["why_code"]) == ("pending", "sender_paused")
    assert scene.sent() == ["+12125550162"]
    yield here
    yield here
    yield here
    scene.live()
    assert (scene.status(row), scene.business.row(row)["attempt_count"]) == ("completed", 1)
    assert scene.sent() == ["+12125550161", "+12125550162"]


def upgrade_without_stopping(scene: Scene) -> Story:
    """Texts come before and after."""
    scene.business.due_text(phone="+12125550161")
    yield {_DATABASE: scene.stack.database_url}
    scene.live()
    scene.business.due_text(phone="+12125550162")
    scene.live()
    yield {}
    assert scene.sent() == ["+12125550161", "+12125550162"]


def restore_from_a_backup(scene: Scene) -> Story:
    """One text went out after the backup was taken, one had no time to."""
    sent = scene.business.due_text(phone="+12125550161", due=timedelta(minutes=1))
    late = scene.business.due_text(phone="+12125550162", due=timedelta(minutes=30))
    back_up(scene.stack, scene.folder / "backup.sql")
    scene.live(minutes=5)
    assert scene.sent() == ["+12125550161"]
    scene.stack.move_clock(timedelta(minutes=40))
    restore(scene.stack, scene.folder / "backup.sql")
    assert scene.status(sent) == "pending"
    yield {}
    scene.live(minutes=25)
    yield {}
    assert (scene.status(sent), scene.status(late)) == ("completed", "completed")
    assert scene.sent() == ["+12125550161", "+12125550162"]


STORIES: dict[str, Callable[[Scene], Story]] = {
    story.__name__.replace("_", " ").capitalize(): story
    for story in (
        a_customer_says_it_never_came,
        it_came_late,
        it_came_twice,
        twilio_was_down,
        we_must_stop_texting_a_state,
        somebody_opted_out_by_phone,
        she_wants_texts_again,
        move_a_business_to_its_own_sender,
        the_account_of_a_business_was_suspended,
        upgrade_without_stopping,
        restore_from_a_backup,
    )
}
SECTIONS = [line.removeprefix("## ") for line in PLAYBOOKS.text.splitlines() if line.startswith("## ")]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_of_a_playbook_end_its_trouble(
    section: str,
    stack: Stack,
    business: Business,
    queue: SupabaseQueue,
    sender: TwilioSender,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Step by step, with what happens in between."""
    for name, value in (stack.environment() | {"COLUMNS": "250"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("smsretry.cli.running.now", stack.now)  # the doctor compares this machine's clock with others
    (tmp_path / "number.txt").write_text(f"{PHONE}\n")
    story = STORIES[section](Scene(stack, business, queue, sender, tmp_path))
    for block in PLAYBOOKS.blocks("sh", under=section):
        _run(block, next(story), tmp_path)
    assert next(story, "the end") == "the end"


def _run(block: Block, here: dict[str, str], folder: Path) -> None:
    printed: list[str] = []
    for program, command, *words in block.commands():
        assert program == "smsretry"
        given = ""
        if words[-2:-1] == ["<"]:
            *words, _, file = words
            given = (folder / file).read_text()
        done = CliRunner().invoke(app, [command, *(here.get(word, word) for word in words)], input=given)
        allowed = (0, 1) if command in _MAY_TELL_OF_TROUBLE else (0,)
        assert done.exit_code in allowed, f"{block.where}: {command} {words}: {done.output} {done.exception}"
        printed += done.output.splitlines()
    assert not block.missing_in(printed), "\n".join(printed)
