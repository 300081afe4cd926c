"""The checks of a sender: do the credentials work, is the account active, can the sender text?

Nothing is sent. Twilio shows a messaging service, its numbers and its registration only to the account's own
credentials. Sources, all of https://www.twilio.com/docs: usage/api/account (type, status),
iam/api-keys (which key may read what), phone-numbers/api/incomingphonenumber-resource (capabilities),
messaging/api/phonenumber-resource (the sender pool), messaging/api/usapptoperson-resource (campaigns).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from smsretry.adapters.answering import cause_of
from smsretry.adapters.twilio.accounts import Accounts, NoCredentialsError
from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.phone import spelling_problem
from smsretry.privacy import masked_sender
from smsretry.retry.models import Finding, SenderId
from smsretry.retry.outcome import Rejected
from smsretry.setting_values import ACCOUNT_SID, SERVICE_SID

if TYPE_CHECKING:
    from smsretry.adapters.twilio.http import TwilioHttp

_ADVICE: Final = {
    20008: "these are test credentials, with which no text goes out: set the live ones of the Twilio console",
    70051: "the key lacks a permission: give it those of Messages (read, create), or take a standard key",
}
"""Special advice for some codes. https://www.twilio.com/docs/api/errors/70051"""
_ACTIVE: Final = "and in the Twilio console whether the account is active"
_MEND_MAIN: Final = (
    f"check TWILIO_ACCOUNT_SID, its key or token, the sender's SID or number, {_ACTIVE}"
)
_MEND_LISTED: Final = (
    f"check this account's SID, its entry in TWILIO_ACCOUNTS, {_ACTIVE}"
)
_MEND_SUBACCOUNT: Final = (
    "TWILIO_AUTH_TOKEN reaches only subaccounts of TWILIO_ACCOUNT_SID: any other account needs an entry in "
    "TWILIO_ACCOUNTS"
)
_TRIAL: Final = (
    "is a trial: it texts only numbers that are verified in the Twilio console, and writes that it is a trial before "
    "each text. Upgrade it in the console"
)
_PAY: Final = "no text goes out before it is topped up in the Twilio console, unless Twilio bills it by invoice"
_TOLL_FREE: Final = re.compile(r"\+1(800|833|844|855|866|877|888)")
"""Toll-free prefixes: texts of other US numbers need an A2P campaign."""
_NO_WEBHOOK: Final = (
    "nobody hears what is texted to it, so a STOP is known to Twilio alone: give it the address of a webhook "
    "(smsretry/webhooks/README.md)"
)
_HIDDEN: Final = (
    "its numbers and registration are shown only to the account's own credentials"
)
"""A remark that needs nobody: it holds for each subaccount that its parent serves."""


class Trouble(NamedTuple):
    """Something wrong with an account or a sender."""

    advice: str
    can_send: bool = False
    """Whether texts go out all the same."""


def check_sender(
    http: "TwilioHttp", accounts: Accounts, sender: SenderId
) -> Iterator[Finding]:
    """Checks of a sender and of its account."""
    account = sender.account or accounts.main
    sent_by = sender.sent_by or ""
    if problem := sender_problem(account, sent_by):
        yield Finding(
            subject="sender",
            ok=False,
            advice=problem,
        )
        return
    is_service = sent_by.startswith("MG")
    kind = "messaging service" if is_service else "number"
    account_subject = f"account {account}"
    sender_subject = f"{kind} {masked_sender(sent_by)}"
    try:
        client = http.client(account)
    except NoCredentialsError as error:
        yield Finding(
            subject=account_subject,
            ok=False,
            advice=str(error),
        )
        return
    has_login = accounts.own_login(account) is not None
    advice = _MEND_LISTED if has_login else _MEND_SUBACCOUNT
    if account == accounts.main:
        advice = _MEND_MAIN

    def check(
        subject: str, look: Callable[[], Trouble | None], *, optional: bool
    ) -> Finding:
        try:
            trouble = look()
        except Exception as error:  # noqa: BLE001 - of the SDK or of urllib3: the answer says which
            trouble = explain_failure(http, error, advice, optional=optional)
        if trouble is None:
            return Finding(subject=subject, ok=True)
        return Finding(
            subject=subject,
            ok=trouble.can_send,
            advice=trouble.advice,
        )

    account_finding = check(
        account_subject, lambda: _account_trouble(client, account), optional=False
    )
    yield account_finding
    if not account_finding.ok:
        return
    if not is_service:
        yield check(
            sender_subject, lambda: _number_trouble(client, sent_by), optional=True
        )
    elif has_login:
        service = client.messaging.v1.services(sent_by)
        yield check(sender_subject, lambda: _service_trouble(service), optional=True)
    else:
        yield Finding(subject=f"{sender_subject} ({_HIDDEN})", ok=True)


def explain_failure(
    http: "TwilioHttp", error: Exception, advice: str, *, optional: bool = False
) -> Trouble:
    """The trouble for which this thread's last request failed.

    Args:
        advice: what to do if Twilio refuses, and its code says nothing special.
        optional: the credentials are known to work. A refusal then only says that they may not ask this, as it is with
            a standard or restricted key: https://www.twilio.com/docs/iam/api-keys
    """
    # The SDK's exception for a list has neither its status nor its code.
    answer = http.answer()
    host = urlsplit(http.address).netloc
    if answer is None or answer.http_status < HTTPStatus.BAD_REQUEST:
        cause = cause_of(error, http.address)
        return Trouble(
            f"{host} does not answer as Twilio does ({cause}): check that it is reachable from here"
        )
    status = answer.http_status
    reason = f"{host} answers HTTP {status}"
    outcome = outcome_of_answer(status, answer.body)
    if isinstance(outcome, Rejected):
        reason = outcome.refusal.why
        advice = _ADVICE.get(outcome.refusal.code or 0, advice)
    if optional and status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Trouble(
            f"could not be asked ({reason}): these credentials may send, and may not read this",
            can_send=True,
        )
    if (
        status == HTTPStatus.TOO_MANY_REQUESTS
        or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return Trouble(
            f"Twilio could not answer ({reason}): see status.twilio.com, and ask again"
        )
    return Trouble(f"refused ({reason}): {advice}")


def _account_trouble(client: Any, sid: str) -> Trouble | None:
    """Whether the credentials reach the account, and it is active."""
    if str(client.username).startswith("SK"):
        # Of all keys, only a main key may read the account.
        client.messages.page(page_size=1)
        return None
    account = client.api.v2010.accounts(sid).fetch()
    if account.status != "active":
        return Trouble(f"the account is {account.status}: see the Twilio console")
    if account.type == "Trial":
        return Trouble(_TRIAL, can_send=True)
    balance = None
    with suppress(Exception):  # a subaccount has none: its parent pays
        balance = client.api.v2010.accounts(sid).balance.fetch()
    if balance and float(balance.balance) <= 0:
        advice = f"its balance is {balance.balance} {balance.currency}: {_PAY}"
        return Trouble(advice, can_send=True)
    return None


def _number_trouble(client: Any, phone: str) -> Trouble | None:
    """Whether the account owns the number, whether it can text, and who hears what is texted to it."""
    # Twilio also finds longer numbers, of which this is a part.
    numbers = [
        number
        for number in client.incoming_phone_numbers.list(phone_number=phone, limit=20)
        if number.phone_number == phone
    ]
    if not numbers:
        return Trouble(
            "the account does not own it: check the number, or give the account that owns it"
        )
    number = numbers[0]
    if not (number.capabilities or {}).get("sms", True):
        return Trouble(
            "cannot text, because it has no SMS capability: take another number of the account's"
        )
    if number.sms_application_sid:
        return None
    return _webhook_trouble(number.sms_url)


def _service_trouble(service: Any) -> Trouble | None:
    """Whether a messaging service has what can text, whether carriers take its texts, and who hears the answers."""
    numbers = service.phone_numbers.list(limit=100, page_size=100)
    can_text = any("SMS" in (number.capabilities or ["SMS"]) for number in numbers)
    other_senders = (service.short_codes, service.alpha_senders)
    if not can_text and not any(
        senders.list(limit=1, page_size=1) for senders in other_senders
    ):
        return Trouble(
            "it has no number that can text: add one to its sender pool in the Twilio console"
        )
    if any(map(_needs_campaign, numbers)):
        states = [
            str(campaign.campaign_status)
            for campaign in service.us_app_to_person.list(limit=20)
        ]
        if not states:
            return Trouble(
                "it has no A2P campaign, so carriers take no text to the US",
                can_send=True,
            )
        if "VERIFIED" not in states:
            return Trouble(
                f"its A2P campaign is {states[0]}, so carriers take no text of it yet: see the Twilio console"
            )
    settings = service.fetch()
    # With use_inbound_webhook_on_number, each number of the pool has a webhook of its own.
    if settings.use_inbound_webhook_on_number:
        return None
    return _webhook_trouble(settings.inbound_request_url)


def _webhook_trouble(url: str | None) -> Trouble | None:
    """Whether somebody of ours hears what is texted to a sender. Twilio gives a new number its own demo's address."""
    if url and urlsplit(url).hostname != "demo.twilio.com":
        return None
    return Trouble(_NO_WEBHOOK, can_send=True)


def _needs_campaign(number: Any) -> bool:
    is_toll_free = _TOLL_FREE.match(str(number.phone_number))
    return number.country_code == "US" and not is_toll_free


def sender_problem(account: str, sent_by: str) -> str | None:
    """The visible fault of a sender that a person typed. It quotes nothing. None: no fault is visible."""
    if not ACCOUNT_SID.fullmatch(account):
        return "An account's SID is AC and 32 digits from 0 to f, as the Twilio console shows it"
    if SERVICE_SID.fullmatch(sent_by):
        return None
    if sent_by.startswith("+"):
        return spelling_problem(sent_by)
    return "A sender is a messaging service's SID (MG and 32 digits from 0 to f), or a number such as +12025550123"
