"""Businesses whose own account or sender is in trouble at Twilio, slow or used up: theirs alone, until it is mended."""

import asyncio
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.process.http import DropConnection
from smsretry.local.twilio.faults import JsonError
from smsretry.retry.profile import DEFAULT
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from tests.proofs.neighbors.hostile import HostileSenders
from tests.proofs.neighbors.moved import MovesInDoubt, MovesInFlight
from tests.proofs.neighbors.senders import WithSender, account_of
from tests.proofs.neighbors.stoppers import StopAtOne
from tests.proofs.neighbors.street import Neighbor, Street

_SILENCE_SECONDS: Final = 4.0
"""Longer than the worker of the street waits for Twilio."""
_RESUME: Final = "select resume_sms_sender(%s, because => 'It is settled', who => 'proof')"
_REPORT: Final = "select settle_sms_attempt(twilio_sid => %s, delivery_status => 'undelivered', error_code => 30034)"


class Suspended(WithSender):
    """Twilio suspends its account, and lifts that later. Then somebody resumes the sender, as the playbook says."""

    name = "suspended account"

    def trouble(self, street: Street) -> None:
        account_of(street, self.sender).status = "suspended"

    def mend(self, street: Street) -> None:
        account = account_of(street, self.sender)
        if account.status == "suspended":
            account.status = "active"
            street.connection.execute(_RESUME, [self.sender.sent_by])


class WrongToken(WithSender):
    """Its own account's token was rotated, and the runner has the old one for a while."""

    name, foreign = "wrong token", True
    may_end = (
        "completed",
        "(pending|held): Twilio 20003",
    )  # one is tried ever less often, until somebody resumes the sender

    def trouble(self, street: Street) -> None:
        street.credentials[self.sender.account] = "0" * 32

    def mend(self, street: Street) -> None:
        street.credentials[self.sender.account] = account_of(street, self.sender).auth_token


class WithoutCredentials(WithSender):
    """Nobody has given the runner its own account's credentials yet."""

    name, foreign = "no credentials", True
    may_end = ("completed", "pending: Twilio 20404", "held: .*credentials")

    def trouble(self, street: Street) -> None:
        del street.credentials[self.sender.account]

    def mend(self, street: Street) -> None:
        street.credentials[self.sender.account] = account_of(street, self.sender).auth_token


class Unregistered(WithSender):
    """Twilio accepts its texts, and then says that no carrier takes them from this number: 30034."""

    name, foreign = "unregistered number", True
    may_end = ("completed", "held: .*30034")

    def trouble(self, street: Street) -> None:
        account_of(street, self.sender).refused_by_carriers[self.sender.sent_by] = 30034

    def mend(self, street: Street) -> None:
        account_of(street, self.sender).refused_by_carriers.clear()

    def minute(self, street: Street, n: int) -> None:
        super().minute(street, n)
        for text in self._mine:
            for entry in street.stack.twilio.ledger.entries(text.phone)[text.refused_by_carriers :]:
                if entry.error_code == 30034:
                    text.refused_by_carriers += 1
                    street.connection.execute(_REPORT, [entry.sid])
                    street.counts["messages from an unregistered number"] += 1
        with SupabaseQueue(street.settings) as records, TwilioSender(street.settings) as reports:
            sync_deliveries(Services(records, reports, DEFAULT), limit=20)


class RefusedAtOnce(WithSender):
    """Twilio refuses each request of its number with 30034, all day."""

    name, foreign = "refused number", True
    may_end = ("(held|pending): .*30034",)

    def trouble(self, street: Street) -> None:
        for text in self._mine:
            street.stack.twilio.fail(JsonError(30034, http_status=400), to=text.phone, times=None)


class SlowFlood(WithSender):
    """Hundreds of texts at once, older than anybody else's, for a sender of one segment a second."""

    name, texts, segments_per_second = "flood at a slow sender", 200, 1.0
    may_end = ("completed", "(pending|held): ")

    def due(self, street: Street, n: int) -> float:
        return -60 + n / 1000


class DayIsUsed(WithSender):
    """A sender that carriers take five segments a day of, and twelve texts."""

    name, texts, segments_per_day = "a day's cap", 12, 5
    may_end = ("completed", "(pending|held): .+")

    def mend(self, street: Street) -> None:
        sent = sum(len(street.stack.twilio.ledger.entries(text.phone)) for text in self._mine)
        if sent > (self.segments_per_day or 0):
            street.bugs.append(f"{self.name}: {sent} texts of a sender that has a cap of {self.segments_per_day}")


class Paused(WithSender):
    """Somebody pauses its sender, and resumes it later."""

    name = "paused sender"
    _pause: Final = "select pause_sms_sender(%s, because => 'A complaint', who => 'proof')"

    def trouble(self, street: Street) -> None:
        street.connection.execute(self._pause, [self.sender.sent_by])

    def mend(self, street: Street) -> None:
        if street.connection.execute(_IS_PAUSED, [self.sender.sent_by]).fetchone():
            if any(street.stack.twilio.ledger.entries(text.phone) for text in self._mine):
                street.bugs.append(f"{self.name}: a text left")
            street.connection.execute(_RESUME, [self.sender.sent_by])


_IS_PAUSED: Final = "select 1 from smsretry.senders where sent_by = %s and paused_at is not null"


class Silent(WithSender):
    """Twilio answers nothing about its account: no send, no list, no question. Each request waits until it gives up."""

    name = "silent account"
    twilio_seconds = _SILENCE_SECONDS - 1
    texts = 4
    may_end = ("completed", "in doubt: ", "pending: ", "held: ")

    def due(self, street: Street, n: int) -> float:
        return 1 + n

    def trouble(self, street: Street) -> None:
        app = street.stack.twilio.app
        self._before = app.middleware_stack or app.build_middleware_stack()
        app.middleware_stack = _silent(self._before, self.sender.account)
        self._app = app

    def minute(self, street: Street, n: int) -> None:
        if n == street.busy // 2:
            self.mend(street)

    def mend(self, street: Street) -> None:
        self._app.middleware_stack = self._before


def _silent(app: ASGIApp, account: str) -> ASGIApp:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        if account in scope.get("path", ""):
            await asyncio.sleep(_SILENCE_SECONDS)
            await DropConnection()(scope, receive, send)
        else:
            await app(scope, receive, send)

    return silent


def platform() -> list[Neighbor]:
    """A business or more of each kind."""
    return [
        Suspended(), WrongToken(), WithoutCredentials(), Unregistered(), RefusedAtOnce(), DayIsUsed(), Paused(),
        MovesInFlight(), MovesInDoubt(), StopAtOne(),
    ]  # fmt: skip


def slow_platform() -> list[Neighbor]:
    """Those that take a run longer."""
    return [SlowFlood(), HostileSenders(), Silent()]
