"""What an account can look up in the Twilio stand-in besides messages: itself, its numbers, its messaging services."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smsretry.local.twilio import answers, resources
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.listing import page


class Lookups:
    """`request.state.account` is the account that is asked about."""

    def __init__(self, *, trial: bool, since: datetime) -> None:
        self._trial = trial
        self._since = since

    async def fetch_account(self, request: Request) -> Response:
        """`GET Accounts/{sid}.json`. The parent may read one that is suspended; a standard API key may read none."""
        if not request.state.login.is_token:
            return answers.unauthorized()
        account: Account = request.state.account
        return JSONResponse(resources.account(account, trial=self._trial or account.is_trial, since=self._since))

    async def fetch_balance(self, request: Request) -> Response:
        """`GET Accounts/{sid}/Balance.json`. A subaccount has none; its parent pays."""
        account: Account = request.state.account
        if not request.state.login.is_token or account.owner:
            return answers.unauthorized() if not account.owner else answers.not_found(request)
        return JSONResponse(resources.balance(account))

    async def list_numbers(self, request: Request) -> Response:
        """`GET IncomingPhoneNumbers.json`."""
        account: Account = request.state.account
        wanted = request.query_params.get("PhoneNumber", "")  # matches a part of a number, as Twilio's does
        numbers = sorted(number for number in account.numbers if wanted in number)
        records = (
            resources.incoming_phone_number(
                number, account.sid, texts=number not in account.voice_only, since=self._since
            )
            for number in numbers
        )
        return paged(request, "incoming_phone_numbers", records)

    async def fetch_service(self, request: Request) -> Response:
        """`GET v1/Services/{sid}`: of the account whose credentials these are, and of no other."""
        account, sid = request.state.account, request.path_params["sid"]
        if sid not in account.services:
            return answers.not_found(request)
        return JSONResponse(resources.messaging_service(sid, account.sid, since=self._since))

    async def list_service_numbers(self, request: Request) -> Response:
        """`GET v1/Services/{sid}/PhoneNumbers`."""
        account, sid = request.state.account, request.path_params["sid"]
        if sid not in account.services:
            return answers.not_found(request)
        records = [
            resources.service_number(
                number, sid, account.sid, texts=number not in account.voice_only, since=self._since
            )
            for number in sorted(account.services[sid])
        ]
        return JSONResponse(resources.page_of(request.url.path, "phone_numbers", records))

    async def list_other_senders(self, request: Request) -> Response:
        """`GET v1/Services/{sid}/ShortCodes` and `…/AlphaSenders`, of which there are none here."""
        account, sid = request.state.account, request.path_params["sid"]
        if sid not in account.services:
            return answers.not_found(request)
        if request.url.path.endswith("/AlphaSenders"):
            return JSONResponse(resources.page_of(request.url.path, "alpha_senders", []))
        codes = account.short_codes.get(sid, [])
        records = [resources.short_code(code, sid, account.sid, since=self._since) for code in codes]
        return JSONResponse(resources.page_of(request.url.path, "short_codes", records))

    async def list_campaigns(self, request: Request) -> Response:
        """`GET v1/Services/{sid}/Compliance/Usa2p`."""
        account, sid = request.state.account, request.path_params["sid"]
        if sid not in account.services:
            return answers.not_found(request)
        records = [
            resources.campaign(state, sid, account.sid, since=self._since) for state in account.campaigns.get(sid, [])
        ]
        return JSONResponse(resources.page_of(request.url.path, "compliance", records))


def paged(request: Request, key: str, records: Iterable[dict[str, Any]], *, endless: bool = False) -> Response:
    """One page of a list of 2010."""
    try:
        content = page(key, list(records), path=request.url.path, query=request.query_params.multi_items())
    except ValueError:
        return answers.error(20001, 400, "Invalid page or page size")
    if endless:
        content["next_page_uri"] = content["uri"]
    return JSONResponse(content)
