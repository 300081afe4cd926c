"""Businesses whose own account or sender is in trouble at Twilio, slow or used up: theirs alone, until it is mended."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeAlias
from uuid import UUID

from starlette.types import Receive, Scope, Send

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.process.http import DropConnection
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, JsonError
from smsretry.retry.models import Claim
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.proofs.neighbors.street import Life, Neighbor, Street
from tests.proofs.neighbors.tenants import stop_at_one
from tests.proofs.town.texts import Text, open_business, write
from tests.support.platform import OwnSender

_SILENCE_SECONDS: Final = 4.0
_RESUME: Final = "select resume_sms_sender(%s, because => 'It is settled', who => 'proof')"
_PAUSE: Final = "select pause_sms_sender(%s, because => 'A complaint', who => 'proof')"
_REPORT: Final = "select settle_sms_attempt(twilio_sid => %s, delivery_status => 'undelivered', error_code => 30034)"
Trouble: TypeAlias = Callable[[Street, OwnSender, list[Text]], Life]
"""What is wrong from the beginning, and after half the time no more."""


def _with_sender(owner: str, trouble: Trouble, *may_end: str, texts: int = 6, **sender: Any) -> Neighbor:
    """A business with a sender of its own, which is in trouble."""

    def live(street: Street) -> Life:
        own = street.senders.open(owner, **sender)
        dues = [1 + n * street.busy / texts for n in range(texts)]
        mine = street.move_in(owner, dues, sender=own, may_end=("completed", *may_end))
        yield from trouble(street, own, mine)

    return live


def _suspended(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Twilio suspends its account, and lifts that later. Then somebody resumes the sender, as the playbook says."""
    street.senders.account(own).status = "suspended"
    yield from street.until(street.busy)
    street.senders.account(own).status = "active"
    street.connection.execute(_RESUME, [own.sent_by])


def _wrong_token(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Its own account's token was rotated, and the runner has the old one for a while."""
    street.senders.known[own.account] = "0" * 32
    yield from street.until(street.busy)
    street.senders.known[own.account] = street.senders.tokens[own.account]


def _no_credentials(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Nobody has given the runner its own account's credentials yet."""
    del street.senders.known[own.account]
    yield from street.until(street.busy)
    street.senders.known[own.account] = street.senders.tokens[own.account]


def _unregistered(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Twilio accepts its texts, and then says that no carrier takes them from this number: 30034."""
    street.senders.account(own).refused_by_carriers[own.sent_by] = 30034
    told = set[str]()
    while True:
        n = yield from street.tick()
        if n == street.busy:
            street.senders.account(own).refused_by_carriers.clear()
        for entry in (entry for text in mine for entry in street.stack.twilio.ledger.entries(text.phone)):
            if entry.error_code == 30034 and entry.sid not in told:
                told.add(entry.sid)
                street.connection.execute(_REPORT, [entry.sid])
                street.counts["messages from an unregistered number"] += 1
        with SupabaseQueue(street.settings) as records, TwilioSender(street.settings) as reports:
            sync_deliveries(Services(records, reports, DEFAULT), limit=20)


def _refused_at_once(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Twilio refuses each request of its number with 30034, all day."""
    for text in mine:
        text.may_end = ("(held|pending): .*30034",)
        street.stack.twilio.fail(JsonError(30034, http_status=400), to=text.phone, times=None)
    yield


def _day_is_used(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Carriers take five segments a day of it, and there are twelve texts."""
    yield from street.until(street.busy)
    sent = sum(len(street.stack.twilio.ledger.entries(text.phone)) for text in mine)
    if sent > (own.segments_per_day or 0):
        street.bugs.append(f"{sent} texts of a sender that has a cap of {own.segments_per_day}")


def _paused(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Somebody pauses its sender, and resumes it later."""
    street.connection.execute(_PAUSE, [own.sent_by])
    yield from street.until(street.busy)
    if any(street.stack.twilio.ledger.entries(text.phone) for text in mine):
        street.bugs.append("A text left from a sender that is paused")
    street.connection.execute(_RESUME, [own.sent_by])


def _silent(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Twilio answers nothing about its account: no send, no list, no question. Each request waits until it gives up."""
    street.twilio_seconds = _SILENCE_SECONDS - 1
    app = street.stack.twilio.app
    before = app.middleware_stack or app.build_middleware_stack()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        if own.account in scope.get("path", ""):
            await asyncio.sleep(_SILENCE_SECONDS)
            await DropConnection()(scope, receive, send)
        else:
            await before(scope, receive, send)

    app.middleware_stack = silent
    try:
        yield from street.until(street.busy // 2)
    finally:
        app.middleware_stack = before


def _slow(street: Street, own: OwnSender, mine: list[Text]) -> Life:
    """Hundreds of texts, for a sender of one segment a second."""
    yield


# -- businesses that move ----------------------------------------------------------------------------------------------


def _moves(owner: str, moment: str, prepare: Callable[[Street, Text, int], None]) -> Neighbor:
    """Businesses with a text each move once: to another account, the environment's sender, or one of their own."""

    def live(street: Street) -> None:
        left: dict[UUID, tuple[Text, OwnSender | None]] = {}
        for n in range(6):
            first = street.senders.open(owner, n, "first", foreign=bool(n % 2))
            then = street.senders.open(owner, n, "then", foreign=n % 3 == 2) if n % 3 != 1 else None
            business_id = street.open(f"{owner} {n}", sender=first)
            text = street.text(owner, 1 + n * street.busy / 12, business_id=business_id)
            write(street.connection, [text])
            prepare(street, text, n)
            left[text.retry_id] = text, then

        def between(claim: Claim, which: str) -> None:
            if which == moment and claim.id in left:
                text, sender = left.pop(claim.id)
                street.senders.move(text.business_id, sender)
                street.counts[owner] += 1

        street.between.append(between)

    return live


def _no_answer(street: Street, text: Text, n: int) -> None:
    """Half are accepted, and are only in the first sender's account."""
    street.stack.twilio.fail(AcceptThenDrop() if n < 3 else DropUnaccepted(), to=text.phone)


moves_in_flight: Final = _moves("moved in mid-flight", "begin", lambda street, text, n: None)
"""Just before a send begins: it goes out from the new sender."""
moves_in_doubt: Final = _moves("moved in doubt", "finish", _no_answer)
"""When a request has left and no answer came."""
day_is_used: Final = _with_sender("a day's cap", _day_is_used, "(pending|held): .+", texts=12, segments_per_day=5)


# -- rows of senders as nobody should write them -----------------------------------------------------------------------

_ODD: Final[tuple[dict[str, Any], ...]] = (
    {"segments_per_second": 0.01, "segments_per_day": 2_147_483_647},
    {"segments_per_second": 1000.0},
    {"segments_per_day": 1},
    {"account": "A" * 64},
    {"account": "00000000"},
    {"sent_by": "00000000"},
    {"sent_by": "+1234567"},
    {"sent_by": "MG" + "z" * 62},
    {"paused_because": "💥%s{0}\\u0000'\"; drop table senders; --" * 9},
)
_WRITE: Final = """
    with sender as (
        insert into smsretry.senders
            (account, sent_by, segments_per_second, segments_per_day, paused_because, paused_at)
        values (%(account)s, %(sent_by)s, %(segments_per_second)s, %(segments_per_day)s, %(paused_because)s,
                case when %(paused_because)s::text is not null then smsretry.clock() end)
        returning id)
    insert into smsretry.business_senders (business_id, message_class, sender_id)
    select %(business)s, message_class, id from sender, unnest(array['any', 'marketing', 'transactional']) message_class
"""
_MANY: Final = """
    with made as (
        insert into smsretry.senders (account, sent_by)
        select 'AC' || md5('account' || n % 100), 'MG' || md5('sender' || n) from generate_series(1, 3000) n
        returning id, sent_by),
    shops as (
        insert into businesses (id, user_id, name, timezone)
        select md5(m.sent_by)::uuid, gen_random_uuid(), 'Business', 'America/New_York' from made m
        returning id)
    insert into smsretry.business_senders (business_id, sender_id)
    select md5(m.sent_by)::uuid, m.id from made m, (select count(*) from shops) once
"""


def odd_senders(street: Street) -> None:
    """Each odd row is a business's own sender; and three thousand businesses have one each, and nothing to send."""
    for n, odd in enumerate(_ODD):
        own, owner = street.senders.open("odd", n, foreign=bool(n % 2)), f"odd sender {n}"
        known = dict.fromkeys(("segments_per_second", "segments_per_day", "paused_because"))
        row = {**known, "account": own.account, "sent_by": own.sent_by, "business": street.business(owner), **odd}
        open_business(street.connection, street.business(owner))
        street.connection.execute(_WRITE, row)
        street.senders.note(street.business(owner), (str(row["account"]), str(row["sent_by"])))
        texts = [
            street.text(
                "odd senders",
                m * street.busy / 3,
                business_id=street.business(owner),
                may_end=("completed", "(pending|held): "),
            )
            for m in range(3)
        ]
        write(street.connection, texts)
    street.connection.execute(_MANY)


def platform() -> list[Neighbor]:
    """A business or more of each kind."""
    return [
        _with_sender("suspended account", _suspended),
        # One is tried ever less often, until somebody resumes the sender.
        _with_sender("wrong token", _wrong_token, "(pending|held): Twilio 20003", foreign=True),
        _with_sender("no credentials", _no_credentials, "(pending|held): .*(20404|credentials)", foreign=True),
        _with_sender("unregistered number", _unregistered, "held: .*30034", foreign=True),
        _with_sender("refused number", _refused_at_once, foreign=True),
        _with_sender("paused sender", _paused),
        day_is_used, moves_in_flight, moves_in_doubt, stop_at_one,
    ]  # fmt: skip


def slow_platform() -> list[Neighbor]:
    """Those that take a run longer."""
    ends = "(pending|held): "
    return [
        _with_sender("flood at a slow sender", _slow, ends, texts=200, segments_per_second=1.0),
        _with_sender("silent account", _silent, "in doubt: ", ends, texts=4),
        odd_senders,
    ]
