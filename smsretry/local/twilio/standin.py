"""A Twilio that runs on loopback: the part of its API that a sender of texts meets, spoken to by Twilio's own SDK.

    standin = TwilioStandin(account_sid=…, auth_token=…, senders=frozenset({…}), messaging_services=frozenset())
    with LocalServer(standin.app) as server:
        client.api.base_url = client.messaging.base_url = server.url

What it accepted is in `standin.ledger`; `standin.fail(…)` makes it misbehave. It logs nothing. Where Twilio's
behavior is undocumented it takes the stricter reading, each time said beside the code.
"""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from smsretry.local.twilio import answers, resources
from smsretry.local.twilio.callbacks import Callback, inbound_message, status_callback
from smsretry.local.twilio.faults import Fault, FaultPlan, ListError
from smsretry.local.twilio.journey import Journey
from smsretry.local.twilio.ledger import Entry, Ledger
from smsretry.local.twilio.listing import page, select
from smsretry.local.twilio.rules import Refusal, Senders, check_request

_Endpoint = Callable[[Request], Awaitable[Response]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TwilioStandin:
    """One Twilio account. `clock` stamps what it accepts; delays are in real time whatever the clock says."""

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        senders: frozenset[str],
        messaging_services: frozenset[str],
        api_keys: Mapping[str, str] | None = None,
        trial: bool = False,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.ledger = Ledger()
        self.posts = 0
        """How many `POST Messages` arrived with valid credentials, whatever came of them."""
        self.fetches = 0
        """How many `GET Messages/{sid}` arrived with valid credentials."""
        self.lists = 0
        """How many `GET Messages` arrived with valid credentials; every page counts."""
        self.clock_ahead = timedelta(0)
        """By how much Twilio's own clock, which its answers tell, is ahead of `clock`, by which the ledger is kept."""
        self.seconds_each = 0.0
        """How long it takes to accept one message."""
        self.retell: Callable[[Sequence[Entry]], Sequence[Entry]] = tuple
        """What lists make of the messages, newest first: other bodies, or another order."""
        self.misprint: Callable[[dict[str, Any]], dict[str, Any]] = dict
        """What lists make of one message's JSON: a property that is missing, or that nobody can read."""
        self.journey: Journey | None = None
        """How messages fare as time goes by. None: as `report` says, and otherwise they wait in Twilio's queue."""
        self._account_sid = account_sid
        self._secrets = {account_sid: auth_token, **(api_keys or {})}
        self._senders = Senders(numbers=senders, services=messaging_services)
        self._trial = trial
        self._clock = clock
        self._since = clock()
        self._faults = FaultPlan()
        self.app = self._build_app()

    def fail(self, fault: Fault, *, to: str | None = None, times: int | None = 1) -> None:
        """The next `times` requests of the fault's kind, to that number or to any, get it; None: until `heal`.

        Kinds are `POST Messages.json`, `GET Messages.json` (where `to` is its `To` filter, and every page counts), and
        `GET Messages/{sid}.json`.
        Raises ValueError if `times` is below 1.
        """
        self._faults.add(fault, to=to, times=times)

    def heal(self) -> None:
        """No planned fault strikes any more. An answer that is already late stays late."""
        self._faults.clear()

    def send_queued(self) -> None:
        """Everything accepted so far becomes `sent`, now. Without this call no message leaves its first status."""
        numbers = sorted(self._senders.numbers)
        self.ledger.mark_sent(at=self._clock(), pool_sender=numbers[0] if numbers else None)

    def report(self, sid: str, status: str, error_code: int | None = None, *, arrived: bool | None = None) -> None:
        """A message becomes this, as a fetch then says. Its callback is the caller's to send, or not: `callbacks`.

        Args:
            arrived: whether the phone got it; left out, as the status says.
        """
        got = status in ("delivered", "read") if arrived is None else arrived
        self.ledger.report(sid, status, error_code, at=self._clock(), arrived=got)

    def callback(self, sid: str, status: str, error_code: int | None = None) -> Callback:
        """What Twilio posts to the message's StatusCallback when it becomes this, signed with the account's auth token.

        Raises KeyError for a SID that is not here, and ValueError if the message was sent without a StatusCallback.
        """
        entry = self.ledger.find(sid)
        if entry is None:
            raise KeyError(sid)
        return status_callback(
            entry, status, error_code, account_sid=self._account_sid, auth_token=self._secrets[self._account_sid]
        )

    def inbound(self, url: str, *, phone: str, body: str, to: str, opt_out_type: str | None = None) -> Callback:
        """What Twilio posts to a number's webhook when somebody texts it; OptOutType comes with Advanced Opt-Out."""
        return inbound_message(
            url, phone=phone, body=body, to=to, opt_out_type=opt_out_type,
            account_sid=self._account_sid, auth_token=self._secrets[self._account_sid],
        )  # fmt: skip

    def _build_app(self) -> Starlette:
        account = f"/{resources.API}/Accounts/{{account_sid}}"
        return Starlette(
            routes=[
                Route(f"{account}/Messages.json", self._guard(self._create_message), methods=["POST"]),
                Route(f"{account}/Messages.json", self._guard(self._list_messages), methods=["GET"]),
                Route(f"{account}/IncomingPhoneNumbers.json", self._guard(self._list_numbers), methods=["GET"]),
                Route(f"{account}.json", self._guard(self._fetch_account), methods=["GET"]),
                Route(f"{account}/Messages/{{sid}}.json", self._guard(self._fetch_message), methods=["GET"]),
                Route("/v1/Services/{sid}", self._guard(self._fetch_service), methods=["GET"]),
            ],
            exception_handlers={404: answers.not_found},
        )

    def _guard(self, endpoint: _Endpoint) -> _Endpoint:
        async def guarded(request: Request) -> Response:
            if not self._knows(request.headers.get("authorization", "")):
                return answers.unauthorized()
            if request.path_params.get("account_sid", self._account_sid) != self._account_sid:
                return answers.not_found(request)
            response = await endpoint(request)
            response.headers["Date"] = format_datetime(self._clock() + self.clock_ahead, usegmt=True)
            return response

        return guarded

    def _knows(self, authorization: str) -> bool:
        scheme, _, encoded = authorization.partition(" ")
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return False
        expected = self._secrets.get(name)
        known = expected is not None and secrets.compare_digest(expected.encode(), secret.encode())
        return scheme.lower() == "basic" and known

    async def _create_message(self, request: Request) -> Response:
        self.posts += 1
        checked = check_request(await _form(request), self._senders)
        if isinstance(checked, Refusal):
            return answers.error(checked.code, checked.http_status, checked.message)
        fault = self._faults.next_send(checked.to)
        if fault is not None and not fault.accepted:
            return await answers.faulty(fault, {})
        entry = self.ledger.accept(checked, at=self._clock(), trial=self._trial, clock_ahead=self.clock_ahead)
        created = resources.message(entry, self._account_sid)
        await asyncio.sleep(self.seconds_each)
        return JSONResponse(created, 201) if fault is None else await answers.faulty(fault, created)

    async def _list_messages(self, request: Request) -> Response:
        self.lists += 1
        fault, lag = self._faults.next_list(request.query_params.get("To"))
        if isinstance(fault, ListError):
            return answers.error(fault.code, fault.http_status, "The stand-in was told to fail this list")
        newest = self._clock() - lag
        visible = [entry for entry in self.ledger.entries() if entry.accepted_at <= newest]
        try:
            found = select(visible, request.query_params.multi_items())
        except ValueError:
            return answers.error(20001, 400, "Invalid date value")
        told = self.retell([self._dated(entry) for entry in found])
        printed = (self.misprint(resources.message(entry, self._account_sid)) for entry in told)
        return _paged(request, "messages", printed, endless=fault is not None)

    async def _fetch_message(self, request: Request) -> Response:
        self.fetches += 1
        entry = self.ledger.find(request.path_params["sid"])
        error = self._faults.next_fetch(entry.to if entry else None)
        if error is not None:
            return answers.error(error.code, error.http_status, "The stand-in was told to fail this fetch")
        if entry is None:
            return answers.not_found(request)
        return JSONResponse(resources.message(self._dated(entry), self._account_sid))

    def _dated(self, entry: Entry) -> Entry:
        """The entry as it now is, with Twilio's own time of it."""
        fared = self.journey(entry, self._clock()) if self.journey and entry.status in (None, "sent") else None
        if fared:
            arrived = fared[0] == "delivered"
            self.ledger.report(entry.sid, *fared, at=self._clock(), arrived=arrived)
            entry = self.ledger.find(entry.sid) or entry
        return replace(entry, accepted_at=entry.accepted_at + entry.clock_ahead)

    async def _list_numbers(self, request: Request) -> Response:
        wanted = request.query_params.get("PhoneNumber", "")  # matches a part of a number, as Twilio's does
        numbers = sorted(number for number in self._senders.numbers if wanted in number)
        records = (resources.incoming_phone_number(number, self._account_sid, since=self._since) for number in numbers)
        return _paged(request, "incoming_phone_numbers", records)

    async def _fetch_account(self, _request: Request) -> Response:
        return JSONResponse(resources.account(self._account_sid, trial=self._trial, since=self._since))

    async def _fetch_service(self, request: Request) -> Response:
        sid = request.path_params["sid"]
        if sid not in self._senders.services:
            return answers.not_found(request)
        return JSONResponse(resources.messaging_service(sid, self._account_sid, since=self._since))


def _paged(request: Request, key: str, records: Iterable[dict[str, Any]], *, endless: bool = False) -> Response:
    try:
        content = page(key, list(records), path=request.url.path, query=request.query_params.multi_items())
    except ValueError:
        return answers.error(20001, 400, "Invalid page or page size")
    if endless:
        content["next_page_uri"] = content["uri"]
    return JSONResponse(content)


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode(errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))
