"""Businesses whose own account or sender is in trouble at Twilio, slow or used up: theirs alone, until it is mended."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, Literal, TypeAlias

from starlette.types import Receive, Scope, Send

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.process.http import DropConnection
from smsretry.local.twilio.faults import (
    AcceptThenDrop,
    AcceptThenWait,
    DropUnaccepted,
    JsonError,
)
from smsretry.retry.profile import DEFAULT, MOST_TEXTS
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.proofs.town.street import WELL_BEHAVED, Life, Neighbor, Street
from tests.proofs.town.texts import Text, write
from tests.support.senders import OwnSender

_SILENCE_SECONDS = 7.0
"""Longer than the slow answers of another neighbor, which are answers all the same."""
_RESUME = "select change_sms_sender(%s, paused => false, because => 'It is settled', who => 'proof')"
_PAUSE = "select change_sms_sender(%s, paused => true, because => 'A complaint', who => 'proof')"
_REPORT = "select settle_sms_attempt(twilio_sid => %s, delivery_status => 'undelivered', error_code => 30034)"
Trouble: TypeAlias = Callable[[Street, OwnSender, list[Text]], Life]
"""What is wrong from the beginning, and after half the time no more."""


def _with_sender(
    owner: str, trouble: Trouble, *may_end: str, texts: int = 6, **sender: Any
) -> Neighbor:
    """A business with a sender of its own, which is in trouble."""

    def live(street: Street) -> Life:
        opened = street.senders.open(owner, **sender)
        dues = [1 + n * street.busy / texts for n in range(texts)]
        sender_texts = street.move_in(
            owner, dues, sender=opened, may_end=("completed", *may_end)
        )
        yield from trouble(street, opened, sender_texts)

    return live


def _suspended(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """Twilio suspends its account, and lifts that later. Then somebody resumes the sender, as the playbook says."""
    street.senders.account(sender).status = "suspended"
    yield from street.until(street.busy)
    street.senders.account(sender).status = "active"
    street.connection.execute(_RESUME, [sender.sent_by])


def _with_token(token: str | None) -> Trouble:
    """The runner has another token of its own account for a while, since that was rotated; or none yet."""

    def live(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
        street.senders.listed_tokens.pop(sender.account)
        street.senders.listed_tokens.update({sender.account: token} if token else {})
        yield from street.until(street.busy)
        street.senders.listed_tokens[sender.account] = street.senders.tokens[
            sender.account
        ]

    return live


def _unregistered(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """Twilio accepts its texts, and then says that no carrier takes them from this number: 30034."""
    street.senders.account(sender).refused_by_carriers[sender.sent_by] = 30034
    reported = set[str]()
    for text in texts:
        text.excused["retried for good"] = "Its sender was to blame, which is mended"
    while True:
        n = yield from street.tick()
        if n == street.busy:
            street.senders.account(sender).refused_by_carriers.clear()
        for entry in (
            entry
            for text in texts
            for entry in street.stack.twilio.ledger.entries(text.phone)
        ):
            if entry.error_code == 30034 and entry.sid not in reported:
                reported.add(entry.sid)
                street.connection.execute(_REPORT, [entry.sid])
                street.counts["messages from an unregistered number"] += 1
        with (
            SupabaseQueue(street.settings) as records,
            TwilioProvider(street.settings) as reports,
        ):
            sync_deliveries(Services(records, reports, DEFAULT), limit=20)


def _refused_at_once(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """Twilio refuses each request of its number with 30034, all day."""
    for text in texts:
        text.may_end = ("(held|pending): .*30034",)
    street.meets(JsonError(30034, http_status=400), texts)
    yield


def _day_is_used(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """Carriers take five segments a day of it, and there are twelve texts."""
    yield from street.until(street.busy)
    sent = sum(len(street.stack.twilio.ledger.entries(text.phone)) for text in texts)
    if sent > (sender.segments_per_day or 0):
        street.bugs.append(
            f"{sent} texts of a sender that has a cap of {sender.segments_per_day}"
        )


def _paused(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """Somebody pauses its sender, and resumes it later."""
    street.connection.execute(_PAUSE, [sender.sent_by])
    yield from street.until(street.busy)
    if any(street.stack.twilio.ledger.entries(text.phone) for text in texts):
        street.bugs.append("A text left from a sender that is paused")
    street.connection.execute(_RESUME, [sender.sent_by])


def _silent(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """Twilio answers nothing about its account: no send, no list, no question. Each request waits until it gives up."""
    street.twilio_seconds = _SILENCE_SECONDS - 1
    app = street.stack.twilio.app
    before = app.middleware_stack or app.build_middleware_stack()

    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        if sender.account in scope.get("path", ""):
            await asyncio.sleep(_SILENCE_SECONDS)
            await DropConnection()(scope, receive, send)
        else:
            await before(scope, receive, send)

    app.middleware_stack = silent
    try:
        yield from street.until(street.busy // 6)
    finally:
        app.middleware_stack = before


def _slow(street: Street, sender: OwnSender, texts: list[Text]) -> Life:
    """More texts than a sender of one segment a second can send."""
    yield


def slow_sender(seconds: float, texts: int = 60) -> Neighbor:
    """Twenty businesses of a sender whose sends Twilio answers late, beside 200 texts of two others.

    The runs are long, so time goes by in them.
    """

    def live(street: Street) -> None:
        street.concurrency, street.limit = 10, MOST_TEXTS
        street.next_at = lambda: max(street.now, street.stack.now())
        slow, *others = (street.senders.open("beside", n) for n in range(3))
        shops = [street.open(f"slow {n}", sender=slow) for n in range(20)]
        theirs = [
            street.text("slow sender", 1, business_id=shops[n % 20])
            for n in range(texts)
        ]
        shops = [street.open(f"beside {n}", sender=others[n % 2]) for n in range(40)]
        good = [
            street.text(WELL_BEHAVED, 1, business_id=shops[n % 40]) for n in range(200)
        ]
        write(street.connection, theirs + good)
        street.meets(AcceptThenWait(timedelta(seconds=seconds)), theirs)

    return live


# -- businesses that move ----------------------------------------------------------------------------------------------


def _moves(
    owner: str, moment: Literal["begin", "finish"], *, answers: bool
) -> Neighbor:
    """Businesses with a text each move once: to another account, the default sender, or one of their own.

    Args:
        answers: whether Twilio does. If not, half are accepted, and are only in the first sender's account.
    """

    def live(street: Street) -> None:
        for n in range(6):
            origin = street.senders.open(owner, n, "first", foreign=bool(n % 2))
            then = (
                street.senders.open(owner, n, "then", foreign=n % 3 == 2)
                if n % 3 != 1
                else None
            )
            business_id = street.open(f"{owner} {n}", sender=origin)
            text = street.text(owner, 1 + n * street.busy / 12, business_id=business_id)
            write(street.connection, [text])
            if not answers:
                street.stack.twilio.fail(
                    AcceptThenDrop() if n < 3 else DropUnaccepted(), to=text.phone
                )
            street.meanwhile(
                text, moment, partial(street.senders.move, business_id, then)
            )

    return live


moves_in_flight = _moves("moved in mid-flight", "begin", answers=True)
"""Just before a send begins: it goes out from the new sender."""
moves_in_doubt = _moves("moved in doubt", "finish", answers=False)
"""When a request has left and no answer came."""
day_is_used = _with_sender(
    "a day's cap", _day_is_used, "(pending|held): .+", texts=12, segments_per_day=5
)


def senders() -> list[Neighbor]:
    """A business or more of each kind."""
    waits = "(pending|held): "
    return [
        _with_sender("suspended account", _suspended),
        # One is tried ever less often, until somebody resumes the sender.
        _with_sender("wrong token", _with_token("0" * 32), f"{waits}Twilio 20003", foreign=True),
        _with_sender("no credentials", _with_token(None), f"{waits}.*(20404|credentials)", foreign=True),
        _with_sender("unregistered number", _unregistered, "held: .*30034", foreign=True),
        _with_sender("refused number", _refused_at_once, foreign=True),
        _with_sender("paused sender", _paused),
        _with_sender("flood at a slow sender", _slow, waits, texts=20, segments_per_second=1.0),
        _with_sender("silent account", _silent, "in doubt: ", waits, texts=2),
        day_is_used, moves_in_flight, moves_in_doubt,
    ]  # fmt: skip
