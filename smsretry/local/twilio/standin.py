"""A Twilio that runs on loopback: the part of its API that a sender of texts meets, spoken to by Twilio's own SDK.

    standin = TwilioStandin(account_sid=…, auth_token=…, senders={…})
    standin.accounts.add(Account(sid=…, auth_token=…, numbers={…}, owner=standin.accounts.main))
    with LocalServer(standin.app) as server:
        client.api.base_url = client.messaging.base_url = server.url

What it accepted is in `standin.ledger`; `standin.fail(…)` makes it misbehave. It logs nothing. Where Twilio's
behavior is undocumented it takes the stricter reading, each time said beside the code.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, get_args
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from smsretry.local.twilio import resources
from smsretry.local.twilio.accounts import Account, Accounts, Login
from smsretry.local.twilio.callbacks import Callback, inbound_form, status_form
from smsretry.local.twilio.faults import (
    EndlessList,
    Fault,
    FaultPlan,
    FetchError,
    ListError,
    ListLag,
    SendFault,
    error,
)
from smsretry.local.twilio.journey import Journey
from smsretry.local.twilio.ledger import Entry, Ledger
from smsretry.local.twilio.rules import e164, refusal
from smsretry.retry.delivery import FINAL
from smsretry.vocabulary import DeliveryStatus

_Endpoint = Callable[[Request, Login, Account], Awaitable[Response]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TwilioStandin:
    """A Twilio account, and beside it those of `accounts`. `clock` stamps what it accepts; delays are in real time."""

    def __init__(
        self,
        *,
        account_sid: str,
        auth_token: str,
        senders: Collection[str],
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.ledger = Ledger()
        self.accounts: Final = Accounts(
            Account(sid=account_sid, auth_token=auth_token, numbers=set(senders))
        )
        """Its accounts. The first is the one that it was made with."""
        self._clock = clock
        self._faults = FaultPlan()
        self._behave()
        self.app = self._build_app()

    def _behave(self) -> None:
        """Behave as a new stand-in does."""
        self.posts = 0
        """How many `POST Messages` arrived with valid credentials, whatever came of them."""
        self.posts_under_way = self.most_posts_at_once = 0
        """Messages that are being accepted, and the most that ever were at once."""
        self.fetches = 0
        """How many `GET Messages/{sid}` arrived with valid credentials."""
        self.lists = 0
        """How many `GET Messages` arrived with valid credentials; every page counts."""
        self.clock_ahead = timedelta(0)
        """How far Twilio's own clock, which its answers show, is ahead of `clock`, by which the ledger is kept."""
        self.seconds_each = 0.0
        """How long it takes to accept one message."""
        self.retell: Callable[[Sequence[Entry]], Sequence[Entry]] = tuple
        """What lists make of the messages, newest first: other bodies, or another order."""
        self.misprint: Callable[[dict[str, Any]], dict[str, Any]] = dict
        """What lists make of one message's JSON: a property that is missing, or that nobody can read."""
        self.journey: Journey | None = None
        """How messages fare as time goes by. None: as `report` says, and otherwise they wait in Twilio's queue."""

    def start_over(self) -> None:
        """Empty the ledger, forget all accounts but the first, and let nothing go wrong. Counters begin at 0."""
        self.heal()
        self.ledger.clear()
        self.accounts.forget_others()
        self._behave()

    def fail(
        self, fault: Fault, *, to: str | None = None, times: int | None = 1
    ) -> None:
        """The next `times` requests of the fault's kind, to that number or to any, get it; None: until `heal`.

        Kinds are `POST Messages.json`, `GET Messages.json` (where `to` is its `To` filter, and every page counts), and
        `GET Messages/{sid}.json`.
        """
        self._faults.add(fault, to=to, times=math.inf if times is None else times)

    def heal(self) -> None:
        """No planned fault strikes any more. An answer that is already late stays late."""
        self._faults.clear()

    def report(
        self,
        sid: str,
        status: str,
        error_code: int | None = None,
        *,
        arrived: bool | None = None,
    ) -> None:
        """A message becomes this, as a fetch then says. Its callback is the caller's to send, or not: `callback`.

        Args:
            arrived: whether the phone got it; left out, as the status says.

        Raises:
            ValueError: Twilio has no such status. KeyError: there is no such message.
        """
        if status not in get_args(DeliveryStatus):
            raise ValueError(
                f"Twilio has no status {status!r}: it is one of {', '.join(get_args(DeliveryStatus))}"
            )
        got = status in FINAL if arrived is None else arrived
        entry = self._entry(sid)
        account = self.accounts.of(entry)
        pool = (
            account.services.get(entry.messaging_service_sid or "") or account.numbers
        )
        sender = None if status in ("accepted", "queued") else min(pool, default=None)
        self.ledger.report(
            sid, status, error_code, at=self._clock(), arrived=got, sender=sender
        )

    def callback(
        self,
        sid: str,
        status: str,
        error_code: int | None = None,
        *,
        url: str | None = None,
    ) -> Callback:
        """What Twilio posts to the message's StatusCallback when it becomes this, signed by its account.

        Raises KeyError for a SID that is not here, and ValueError if there is no StatusCallback and no `url` instead.
        """
        entry = self._entry(sid)
        address = entry.status_callback or url
        if address is None:
            raise ValueError(
                "The message has no StatusCallback: set TWILIO_STATUS_CALLBACK_URL"
            )
        account = self.accounts.of(entry)
        form = status_form(entry, status, error_code)
        return account.sign(address, form)

    def inbound(
        self,
        url: str,
        *,
        phone: str,
        body: str,
        to: str,
        opt_out_type: str | None = None,
    ) -> Callback:
        """What Twilio posts to a number's webhook when somebody texts it; OptOutType comes with Advanced Opt-Out.

        It names the account that owns the number, and the messaging service that the number belongs to, if one does.
        """
        account = self.accounts.owner_of(to) or self.accounts.main
        service = next(
            (sid for sid, numbers in sorted(account.services.items()) if to in numbers),
            None,
        )
        form = inbound_form(
            phone=phone,
            body=body,
            to=to,
            opt_out_type=opt_out_type,
            messaging_service_sid=service,
        )
        return account.sign(url, form)

    def _entry(self, sid: str) -> Entry:
        if entry := self.ledger.find(sid):
            return entry
        raise KeyError(sid)

    def _build_app(self) -> Starlette:
        account, service = (
            f"/{resources.API}/Accounts/{{account_sid}}",
            "/v1/Services/{sid}",
        )
        gets: list[tuple[str, _Endpoint]] = [
            (f"{account}/Messages.json", self._list_messages),
            (f"{account}/Messages/{{sid}}.json", self._fetch_message),
            (f"{account}/IncomingPhoneNumbers.json", _numbers),
            (f"{account}/Balance.json", _balance),
            (f"{account}.json", _account),
            (service, _service),
            (f"{service}/{{kind}}", _service),
            (f"{service}/Compliance/{{kind}}", _service),
        ]
        return Starlette(
            routes=[
                Route(
                    f"{account}/Messages.json",
                    self._guard(self._create_message),
                    methods=["POST"],
                ),
                *(
                    Route(path, self._guard(endpoint), methods=["GET"])
                    for path, endpoint in gets
                ),
            ],
            exception_handlers={404: _not_found},
        )

    def _guard(self, endpoint: _Endpoint) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            login = self.accounts.speaker(request.headers.get("authorization", ""))
            if login is None or not login.account.is_active:
                return _unauthorized()
            account = self.accounts.find(
                request.path_params.get("account_sid", login.account.sid)
            )
            if account is None or not login.reaches(account):
                return _not_found(request)
            response = await endpoint(request, login, account)
            response.headers["Date"] = format_datetime(
                self._clock() + self.clock_ahead, usegmt=True
            )
            return response

        return guarded

    async def _create_message(
        self, request: Request, _login: Login, account: Account
    ) -> Response:
        self.posts += 1
        if not account.is_active:
            return error(20005, 403, "Account not active")
        form = dict(
            parse_qsl(
                (await request.body()).decode(errors="replace"), keep_blank_values=True
            )
        )
        if refused := refusal(form, account, self.accounts):
            return error(refused[0], 400, refused[1])
        to = e164(form["To"]) or ""
        fault: SendFault | None = self._faults.next(to, *get_args(SendFault))
        if fault is not None and not fault.accepted:
            return await fault.answer({})
        entry = Entry.of(
            form, to=to, is_trial=account.is_trial, account_sid=account.sid, accepted_at=self._clock(),
            clock_ahead=self.clock_ahead,
        )  # fmt: skip
        self.ledger.put(entry)
        created = resources.message(entry, account.sid)
        if code := self.accounts.verdict(entry):
            self.report(entry.sid, "undelivered", code)
        self.posts_under_way += 1
        self.most_posts_at_once = max(self.most_posts_at_once, self.posts_under_way)
        try:
            await asyncio.sleep(self.seconds_each)
            return await fault.answer(created) if fault else JSONResponse(created, 201)
        finally:
            self.posts_under_way -= 1

    async def _list_messages(
        self, request: Request, _login: Login, account: Account
    ) -> Response:
        self.lists += 1
        to = request.query_params.get("To")
        lag, failing = self._faults.next(to, ListLag), self._faults.next(to, ListError)
        if failing:
            return error(failing.code, failing.http_status)
        newest = self._clock() - (lag.lag if lag else timedelta(0))
        visible = [
            entry
            for entry in self.ledger.entries()
            if entry.accepted_at <= newest and self.accounts.of(entry) is account
        ]
        try:
            entries = resources.select(visible, request.query_params.multi_items())
        except ValueError:
            return error(20001, 400, "Invalid date value")
        listed = self.retell([self._dated(entry) for entry in entries])
        printed = [
            self.misprint(resources.message(entry, account.sid)) for entry in listed
        ]
        return _paged(
            request,
            "messages",
            printed,
            endless=self._faults.next(to, EndlessList) is not None,
        )

    async def _fetch_message(
        self, request: Request, _login: Login, account: Account
    ) -> Response:
        self.fetches += 1
        entry = self.ledger.find(request.path_params["sid"])
        if failing := self._faults.next(entry.to if entry else None, FetchError):
            return error(failing.code, failing.http_status)
        if entry is None or self.accounts.of(entry) is not account:
            return _not_found(request)
        return JSONResponse(resources.message(self._dated(entry), account.sid))

    def _dated(self, entry: Entry) -> Entry:
        """The entry as it now is, with Twilio's own time of it."""
        fared = (
            self.journey(entry, self._clock())
            if self.journey and entry.status in (None, "sent")
            else None
        )
        if fared:
            self.report(entry.sid, *fared)
            entry = self._entry(entry.sid)
        return replace(entry, accepted_at=entry.accepted_at + entry.clock_ahead)


async def _account(_request: Request, login: Login, account: Account) -> Response:
    """The parent may read one that is suspended; a standard API key may read none."""
    return (
        JSONResponse(resources.account(account)) if login.is_token else _unauthorized()
    )


async def _balance(request: Request, login: Login, account: Account) -> Response:
    """A subaccount has none; its parent pays."""
    if account.owner:
        return _not_found(request)
    body = {"account_sid": account.sid, "balance": account.balance, "currency": "USD"}
    return JSONResponse(body) if login.is_token else _unauthorized()


async def _numbers(request: Request, _login: Login, account: Account) -> Response:
    """A part of a number is enough, as at Twilio."""
    containing = request.query_params.get("PhoneNumber", "")
    return _paged(
        request, "incoming_phone_numbers", resources.numbers(account, containing)
    )


async def _service(request: Request, _login: Login, account: Account) -> Response:
    """A messaging service and its lists: of the account whose credentials these are, and of no other."""
    sid, kind = request.path_params["sid"], request.path_params.get("kind")
    if sid not in account.services:
        return _not_found(request)
    record = (
        resources.of_service(kind, sid, account)
        if kind
        else resources.service(sid, account)
    )
    return JSONResponse(record) if record else _not_found(request)


def _paged(
    request: Request,
    key: str,
    records: Sequence[dict[str, Any]],
    *,
    endless: bool = False,
) -> Response:
    query = request.query_params.multi_items()
    try:
        return JSONResponse(
            resources.page(
                key, records, path=request.url.path, query=query, endless=endless
            )
        )
    except ValueError:
        return error(20001, 400, "Invalid page or page size")


def _unauthorized() -> Response:
    return error(
        20003, 401, "Authenticate", {"WWW-Authenticate": 'Basic realm="Twilio API"'}
    )


def _not_found(request: Request, _raised: Exception | None = None) -> Response:
    """No such resource, or another account's."""
    return error(20404, 404, f"The requested resource {request.url.path} was not found")
