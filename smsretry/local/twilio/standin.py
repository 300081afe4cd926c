"""A Twilio that runs on loopback: the part of its API that a sender of texts meets, spoken to by Twilio's own SDK.

    standin = TwilioStandin(account_sid=…, auth_token=…, senders=frozenset({…}), messaging_services=frozenset())
    standin.accounts.add(Account(sid=…, auth_token=…, numbers={…}, owner=standin.accounts.main))
    with LocalServer(standin.app) as server:
        client.api.base_url = client.messaging.base_url = server.url

What it accepted is in `standin.ledger`; `standin.fail(…)` makes it misbehave. It logs nothing. Where Twilio's
behavior is undocumented it takes the stricter reading, each time said beside the code.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from smsretry.local.twilio import answers, resources
from smsretry.local.twilio.accounts import Account, Directory
from smsretry.local.twilio.callbacks import Callback, inbound_message, status_callback
from smsretry.local.twilio.faults import Fault, FaultPlan, ListError
from smsretry.local.twilio.journey import Journey
from smsretry.local.twilio.ledger import Entry, Ledger
from smsretry.local.twilio.listing import select
from smsretry.local.twilio.lookups import Lookups, paged
from smsretry.local.twilio.rules import Refusal, Senders, check_request

_Endpoint = Callable[[Request], Awaitable[Response]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class TwilioStandin:
    """A Twilio account, and beside it those of `accounts`. `clock` stamps what it accepts; delays are in real time."""

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
        self._behave()
        main = Account(sid=account_sid, auth_token=auth_token, numbers=set(senders), api_keys=dict(api_keys or {}))
        main.services = dict.fromkeys(messaging_services, main.numbers)
        self.accounts: Final = Directory(main)
        """Its accounts. The first is the one that it was made with."""
        self._trial = trial
        self._clock = clock
        self._lookups = Lookups(trial=trial, since=clock())
        self._faults = FaultPlan()
        self.app = self._build_app()

    def _behave(self) -> None:
        """As it is when nobody has told it anything."""
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

    def start_over(self) -> None:
        """As new: an empty ledger, the first account alone, and nothing goes wrong. Counters begin at 0."""
        self.heal()
        self.ledger.clear()
        self.accounts.forget_others()
        self._behave()

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
        self.ledger.mark_sent(at=self._clock(), pool_sender=self._pool_sender)

    def _pool_sender(self, entry: Entry) -> str | None:
        account = self._account_of(entry)
        numbers = account.services.get(entry.messaging_service_sid or "") or account.numbers
        return min(numbers, default=None)

    def _account_of(self, entry: Entry) -> Account:
        return self.accounts.find(entry.account_sid) or self.accounts.main

    def report(self, sid: str, status: str, error_code: int | None = None, *, arrived: bool | None = None) -> None:
        """A message becomes this, as a fetch then says. Its callback is the caller's to send, or not: `callbacks`.

        Args:
            arrived: whether the phone got it; left out, as the status says.
        """
        got = status in ("delivered", "read") if arrived is None else arrived
        self.ledger.report(sid, status, error_code, at=self._clock(), arrived=got)

    def callback(self, sid: str, status: str, error_code: int | None = None) -> Callback:
        """What Twilio posts to the message's StatusCallback when it becomes this, signed with its account's auth token.

        Raises KeyError for a SID that is not here, and ValueError if the message was sent without a StatusCallback.
        """
        entry = self.ledger.find(sid)
        if entry is None:
            raise KeyError(sid)
        account = self._account_of(entry)
        return status_callback(entry, status, error_code, account_sid=account.sid, auth_token=account.auth_token)

    def inbound(self, url: str, *, phone: str, body: str, to: str, opt_out_type: str | None = None) -> Callback:
        """What Twilio posts to a number's webhook when somebody texts it; OptOutType comes with Advanced Opt-Out.

        It names the account that owns the number, and the messaging service that the number belongs to, if one does.
        """
        account = self.accounts.owner_of(to) or self.accounts.main
        service = next((sid for sid, numbers in sorted(account.services.items()) if to in numbers), None)
        return inbound_message(
            url, phone=phone, body=body, to=to, opt_out_type=opt_out_type, messaging_service_sid=service,
            account_sid=account.sid, auth_token=account.auth_token,
        )  # fmt: skip

    def _build_app(self) -> Starlette:
        account, service = f"/{resources.API}/Accounts/{{account_sid}}", "/v1/Services/{sid}"
        return Starlette(
            routes=[
                Route(f"{account}/Messages.json", self._guard(self._create_message), methods=["POST"]),
                Route(f"{account}/Messages.json", self._guard(self._list_messages), methods=["GET"]),
                Route(f"{account}/IncomingPhoneNumbers.json", self._guard(self._lookups.list_numbers), methods=["GET"]),
                Route(f"{account}/Balance.json", self._guard(self._lookups.fetch_balance), methods=["GET"]),
                Route(f"{account}.json", self._guard(self._lookups.fetch_account), methods=["GET"]),
                Route(f"{account}/Messages/{{sid}}.json", self._guard(self._fetch_message), methods=["GET"]),
                Route("/v1/Services/{sid}", self._guard(self._lookups.fetch_service), methods=["GET"]),
                Route(f"{service}/PhoneNumbers", self._guard(self._lookups.list_service_numbers), methods=["GET"]),
                Route(f"{service}/ShortCodes", self._guard(self._lookups.list_other_senders), methods=["GET"]),
                Route(f"{service}/AlphaSenders", self._guard(self._lookups.list_other_senders), methods=["GET"]),
                Route(f"{service}/Compliance/Usa2p", self._guard(self._lookups.list_campaigns), methods=["GET"]),
            ],
            exception_handlers={404: answers.not_found},
        )

    def _guard(self, endpoint: _Endpoint) -> _Endpoint:
        async def guarded(request: Request) -> Response:
            login = self.accounts.speaker(request.headers.get("authorization", ""))
            if login is None or not login.account.is_active:
                return answers.unauthorized()
            sid = request.path_params.get("account_sid", login.account.sid)
            account = self.accounts.find(sid)
            if account is None or not login.reaches(account):
                return answers.not_found(request)
            request.state.account, request.state.login = account, login
            response = await endpoint(request)
            response.headers["Date"] = format_datetime(self._clock() + self.clock_ahead, usegmt=True)
            return response

        return guarded

    async def _create_message(self, request: Request) -> Response:
        self.posts += 1
        account: Account = request.state.account
        if not account.is_active:
            return answers.error(20005, 403, "Account not active")
        senders = Senders(
            numbers=account.numbers,
            services=account.services,
            others=lambda number: self.accounts.owner_of(number) is not None,
        )
        checked = check_request(await _form(request), senders)
        if isinstance(checked, Refusal):
            return answers.error(checked.code, checked.http_status, checked.message)
        fault = self._faults.next_send(checked.to)
        if fault is not None and not fault.accepted:
            return await answers.faulty(fault, {})
        entry = self.ledger.accept(
            checked, account_sid=account.sid, at=self._clock(), trial=self._trial, clock_ahead=self.clock_ahead
        )
        created = resources.message(entry, account.sid)
        if code := self.accounts.verdict(account, checked, self._clock()):
            self.report(entry.sid, "undelivered", code)
        await asyncio.sleep(self.seconds_each)
        return JSONResponse(created, 201) if fault is None else await answers.faulty(fault, created)

    async def _list_messages(self, request: Request) -> Response:
        self.lists += 1
        fault, lag = self._faults.next_list(request.query_params.get("To"))
        if isinstance(fault, ListError):
            return answers.error(fault.code, fault.http_status, "The stand-in was told to fail this list")
        newest = self._clock() - lag
        account: Account = request.state.account
        visible = [
            entry
            for entry in self.ledger.entries()
            if entry.accepted_at <= newest and self._account_of(entry) is account
        ]
        try:
            found = select(visible, request.query_params.multi_items())
        except ValueError:
            return answers.error(20001, 400, "Invalid date value")
        told = self.retell([self._dated(entry) for entry in found])
        printed = (self.misprint(resources.message(entry, account.sid)) for entry in told)
        return paged(request, "messages", printed, endless=fault is not None)

    async def _fetch_message(self, request: Request) -> Response:
        self.fetches += 1
        entry = self.ledger.find(request.path_params["sid"])
        error = self._faults.next_fetch(entry.to if entry else None)
        if error is not None:
            return answers.error(error.code, error.http_status, "The stand-in was told to fail this fetch")
        account: Account = request.state.account
        if entry is None or self._account_of(entry) is not account:
            return answers.not_found(request)
        return JSONResponse(resources.message(self._dated(entry), account.sid))

    def _dated(self, entry: Entry) -> Entry:
        """The entry as it now is, with Twilio's own time of it."""
        fared = self.journey(entry, self._clock()) if self.journey and entry.status in (None, "sent") else None
        if fared:
            arrived = fared[0] == "delivered"
            self.ledger.report(entry.sid, *fared, at=self._clock(), arrived=arrived)
            entry = self.ledger.find(entry.sid) or entry
        return replace(entry, accepted_at=entry.accepted_at + entry.clock_ahead)


async def _form(request: Request) -> dict[str, str]:
    body = (await request.body()).decode(errors="replace")
    return dict(parse_qsl(body, keep_blank_values=True))
