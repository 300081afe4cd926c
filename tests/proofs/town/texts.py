"""The texts of a town, as their owners meant them, and how an application writes them."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from smsretry.local.stack import Stack
from tests.proofs.town.luck import new_id
from tests.proofs.town.report import Kind
from tests.support.records import Connection, Record

NEW_YORK = "America/New_York"


@dataclass(slots=True, kw_only=True)
class Text:
    """One text. What its owner may expect of it stands beside what is written."""

    owner: str
    number: int
    business_id: UUID
    customer_id: UUID
    send_log_id: UUID
    retry_id: UUID
    phone: str | None
    body: str | None
    due_at: datetime
    zone: str | None = NEW_YORK
    consent: str = "opted_in"
    consented_at: datetime | None = None
    expires_at: datetime | None = None
    queued: Record = field(default_factory=dict)
    """Columns of its row in the queue, beyond what every row has."""
    is_open: Callable[[datetime], bool] = lambda _: True
    """Whether the law lets it go out at that instant."""
    stopped_at: datetime | None = None
    """No send may begin after it."""
    may_be_stopped: bool = False
    """Whether somebody may have said stop: then it may be cancelled for that."""
    may_end: tuple[str, ...] = ()
    """Patterns of `status: reason`, each a true end or a true reason to wait. None: any that tells a reason."""
    other_numbers: set[str] = field(default_factory=set)
    """SIDs of messages of its words that the application sent, as texts of its own."""
    other_words: str | None = None
    """What its body was changed to before its send: it may go out with either."""
    decided: set[str] = field(default_factory=set)
    """What a person or the application did to it that excuses an end: see `judge.Story`."""

    excused: dict[Kind, str] = field(default_factory=dict)
    """What is no finding about it, each with the reason."""

    @property
    def name(self) -> str:
        """What to call it in a finding: no phone number."""
        return f"{self.owner} {self.number} ({self.retry_id})"


def new_text(
    seed: str, owner: str, number: int, due_at: datetime, **options: Any
) -> Text:
    """A text whose ids the seed, the owner and its number decide. Its business is the owner's."""
    defaults: Record = {
        "business_id": new_id(seed, "business", owner),
        "customer_id": new_id(seed, "customer", owner, number),
        "body": f"Text {number:05} of {owner}, run {seed}",
    }
    return Text(
        owner=owner,
        number=number,
        send_log_id=new_id(seed, "log", owner, number),
        retry_id=new_id(seed, "retry", owner, number),
        due_at=due_at,
        **defaults | options,
    )


def open_business(
    connection: Connection,
    business_id: UUID,
    zone: str | None = NEW_YORK,
    **columns: Any,
) -> None:
    """Write a business; its owner has its id."""
    _insert(
        connection,
        "businesses",
        {"id": business_id, "user_id": business_id, "name": "A", "timezone": zone}
        | columns,
    )


def write(connection: Connection, texts: Iterable[Text]) -> None:
    """Write customers, send logs and rows, as the application does."""
    with _at_once(connection):
        for text in texts:
            _write_people(connection, text, log=True)
            enqueue(connection, text)


def write_people(connection: Connection, texts: Iterable[Text]) -> None:
    """Write their customers and send logs, and no row in the queue yet."""
    with _at_once(connection):
        for text in texts:
            _write_people(connection, text, log=True)


def plan(connection: Connection, texts: Iterable[Text]) -> None:
    """Write them as scheduled sends, each with the id that its send log will have."""
    with _at_once(connection):
        for text in texts:
            _write_people(connection, text, log=False)
            ids = {
                "id": text.send_log_id,
                "business_id": text.business_id,
                "customer_id": text.customer_id,
            }
            when = {"scheduled_for": text.due_at, "not_after": text.expires_at}
            _insert(connection, "scheduled_sends", ids | {"body": text.body} | when)


def enqueue(connection: Connection, text: Text) -> None:
    """Write the row in the queue alone."""
    row: Record = {
        "id": text.retry_id,
        "business_id": text.business_id,
        "send_log_id": text.send_log_id,
        "customer_id": text.customer_id,
        "scheduled_for": text.due_at,
    }
    ends = {"expires_at": text.expires_at} if text.expires_at else {}
    _insert(connection, "sms_retry_queue", row | ends | text.queued)


def opt_out(stack: Stack, texts: Iterable[Text]) -> None:
    """The application writes that these customers want no more texts."""
    with stack.connect() as connection:
        connection.execute(
            "update customers set sms_consent_status = 'opted_out' where id = any(%s)",
            [[text.customer_id for text in texts]],
        )


def _at_once(connection: Connection) -> ExitStack:
    """One transaction, and no waiting for each statement's answer."""
    with ExitStack() as opening:
        opening.enter_context(connection.pipeline())
        opening.enter_context(connection.transaction())
        return opening.pop_all()


def _write_people(connection: Connection, text: Text, *, log: bool) -> None:
    customer = {
        "id": text.customer_id,
        "business_id": text.business_id,
        "phone": text.phone,
        "timezone": text.zone,
    }
    consent = {"sms_consent_status": text.consent, "sms_consent_at": text.consented_at}
    _insert(connection, "customers", customer | consent)
    if log:
        ids = {
            "id": text.send_log_id,
            "business_id": text.business_id,
            "customer_id": text.customer_id,
        }
        _insert(connection, "send_logs", ids | {"channel": "sms", "subject": text.body})


def _insert(connection: Connection, table: str, row: Record) -> None:
    once = "" if table == "sms_retry_queue" else " on conflict do nothing"
    names, places = ", ".join(row), ", ".join(["%s"] * len(row))
    connection.execute(
        f"insert into {table} ({names}) values ({places}){once}".encode(),
        [*row.values()],
    )
