"""What an account can look up in the Twilio stand-in besides messages: itself, its numbers, its messaging services.

`request.state.account` is the account that is asked about.
"""

from collections.abc import Iterable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from smsretry.local.twilio import answers, resources
from smsretry.local.twilio.accounts import Account
from smsretry.local.twilio.listing import page

_KEYS: Final = {
    "PhoneNumbers": "phone_numbers",
    "ShortCodes": "short_codes",
    "AlphaSenders": "alpha_senders",
    "Usa2p": "compliance",
}
"""What a list of a messaging service is called, by the last word of its path."""


async def account(request: Request) -> Response:
    """`GET Accounts/{sid}.json`. The parent may read one that is suspended; a standard API key may read none."""
    if not request.state.login.is_token:
        return answers.unauthorized()
    return JSONResponse(resources.account(request.state.account))


async def balance(request: Request) -> Response:
    """`GET Accounts/{sid}/Balance.json`. A subaccount has none; its parent pays."""
    account: Account = request.state.account
    if account.owner:
        return answers.not_found(request)
    return JSONResponse(resources.balance(account)) if request.state.login.is_token else answers.unauthorized()


async def numbers(request: Request) -> Response:
    """`GET IncomingPhoneNumbers.json`."""
    account: Account = request.state.account
    wanted = request.query_params.get("PhoneNumber", "")  # matches a part of a number, as Twilio's does
    found = sorted(number for number in account.numbers if wanted in number)
    return paged(request, "incoming_phone_numbers", (resources.phone_number(number, account) for number in found))


async def service(request: Request) -> Response:
    """`GET v1/Services/{sid}` and its lists: of the account whose credentials these are, and of no other."""
    account, sid = request.state.account, request.path_params["sid"]
    if sid not in account.services:
        return answers.not_found(request)
    kind = request.url.path.rpartition("/")[2]
    if kind not in _KEYS:
        return JSONResponse(resources.service(sid, account))
    return JSONResponse(resources.only_page(request.url.path, _KEYS[kind], resources.senders(kind, sid, account)))


def paged(request: Request, key: str, records: Iterable[dict[str, Any]], *, endless: bool = False) -> Response:
    """One page of a list of 2010."""
    try:
        content = page(key, list(records), path=request.url.path, query=request.query_params.multi_items())
    except ValueError:
        return answers.error(20001, 400, "Invalid page or page size")
    if endless:
        content["next_page_uri"] = content["uri"]
    return JSONResponse(content)
