"""Do credentials work, is the account active, can the sender text? `doctor` asks.

Nothing is sent. What Twilio knows of a messaging service, its numbers and its registration, it tells only to the
account's own credentials. Sources, all of https://www.twilio.com/docs: usage/api/account (type, status),
iam/api-keys (which key may read what), phone-numbers/api/incomingphonenumber-resource (capabilities),
messaging/api/phonenumber-resource (the sender pool), messaging/api/usapptoperson-resource (campaigns).
"""

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias
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

_Verdict: TypeAlias = tuple[bool, str] | None
"""A finding: whether texts go out all the same, and what to do. None: nothing is wrong."""
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
_TOLL_FREE: Final = re.compile(r"\+1(800|833|844|855|866|877|888)")
"""Toll-free prefixes: texts of other US numbers need an A2P campaign."""
_UNHEARD: Final = (
    "nobody hears what is texted to it, so a STOP is known to Twilio alone: give it the address of a webhook "
    "(smsretry/webhooks/README.md)"
)
_UNREAD: Final = (
    "its numbers and registration are shown only to the account's own credentials"
)
"""Not an advice: it is so of each subaccount that its parent serves."""


def check_sender(
    http: "TwilioHttp", accounts: Accounts, sender: SenderId
) -> Iterator[Finding]:
    """Checks of a sender and of its account."""
    account, sid = sender.account or accounts.main, sender.sent_by or ""
    if problem := sender_problem(account, sid):
        yield Finding(subject="sender", ok=False, advice=problem)
        return
    of_account = f"account {account}"
    of_sender = f"{'messaging service' if sid.startswith('MG') else 'number'} {masked_sender(sid)}"
    try:
        client = http.client(account)
    except NoCredentialsError as error:
        yield Finding(subject=of_account, ok=False, advice=str(error))
        return
    is_main, has_login = (
        account == accounts.main,
        accounts.own_login(account) is not None,
    )
    mend = _MEND_LISTED if has_login else _MEND_SUBACCOUNT
    if is_main:
        mend = _MEND_MAIN
    active = _ask(http, of_account, lambda: _account(client, account), mend)
    yield active
    if not active.ok:
        return
    if not sid.startswith("MG"):
        yield _ask(http, of_sender, lambda: _number(client, sid), mend, optional=True)
    elif not has_login:
        yield Finding(subject=f"{of_sender} ({_UNREAD})", ok=True)
    else:
        yield _ask(
            http,
            of_sender,
            lambda: _service(client.messaging.v1.services(sid)),
            mend,
            optional=True,
        )


def _ask(
    http: "TwilioHttp",
    subject: str,
    question: Callable[[], _Verdict],
    mend: str,
    *,
    optional: bool = False,
) -> Finding:
    """A finding from the answer.

    Args:
        mend: what to do if Twilio refuses.
        optional: the credentials are known to work. A refusal then only says that they may not ask this, as it is with
            a standard or restricted key: https://www.twilio.com/docs/iam/api-keys
    """
    try:
        verdict = question()
    except Exception as error:  # noqa: BLE001 - of the SDK or of urllib3: the answer says which
        verdict = why_refused(http, error, mend, optional=optional)
    ok, advice = verdict or (True, None)
    return Finding(subject=subject, ok=ok, advice=advice)


def why_refused(
    http: "TwilioHttp", error: Exception, mend: str, *, optional: bool = False
) -> tuple[bool, str]:
    """What this thread's last request failed of, whether texts go out all the same, and what to do."""
    # for a list the SDK's exception has neither its status nor its code
    answer, host = http.answer(), urlsplit(http.address).netloc
    if answer is None or answer.http_status < 400:
        cause = cause_of(error, http.address)
        return (
            False,
            f"{host} does not answer as Twilio does ({cause}): check that it is reachable from here",
        )
    status, outcome = (
        answer.http_status,
        outcome_of_answer(answer.http_status, answer.body),
    )
    refusal = outcome.refusal if isinstance(outcome, Rejected) else None
    refused = refusal.reason if refusal else f"{host} answers HTTP {status}"
    if optional and status in (401, 403):
        return (
            True,
            f"could not be asked ({refused}): these credentials may send, and may not read this",
        )
    if status == 429 or status >= 500:
        return (
            False,
            f"Twilio could not answer ({refused}): see status.twilio.com, and ask again",
        )
    return (
        False,
        f"refused ({refused}): {_ADVICE.get((refusal and refusal.code) or 0, mend)}",
    )


def _account(client: Any, account: str) -> _Verdict:
    """Whether the credentials reach the account, and it is active."""
    if str(client.username).startswith("SK"):  # only a main key may read the account
        client.messages.page(page_size=1)
        return None
    fetched = client.api.v2010.accounts(account).fetch()
    if fetched.status != "active":
        return False, f"the account is {fetched.status}: see the Twilio console"
    return (True, _TRIAL) if fetched.type == "Trial" else None


def _number(client: Any, number: str) -> _Verdict:
    """Whether the account owns it, whether it can text, and who hears what is texted to it."""
    numbers = client.incoming_phone_numbers.list(phone_number=number, limit=20)
    owned = [
        owned_number for owned_number in numbers if owned_number.phone_number == number
    ]  # Twilio also finds longer ones, of which it is a part
    if not owned:
        return (
            False,
            "the account does not own it: check the number, or give the account that owns it",
        )
    if not (owned[0].capabilities or {}).get("sms", True):
        return (
            False,
            "cannot text, because it has no SMS capability: take another number of the account's",
        )
    webhook = owned[0].sms_url or owned[0].sms_application_sid
    return None if webhook else (True, _UNHEARD)


def _service(service: Any) -> _Verdict:
    """Whether a messaging service has what can text, whether carriers take its texts, and who hears the answers."""
    numbers = service.phone_numbers.list(limit=100, page_size=100)
    if not any(
        "SMS" in (number.capabilities or ["SMS"]) for number in numbers
    ) and not any(
        kind.list(limit=1, page_size=1)
        for kind in (service.short_codes, service.alpha_senders)
    ):
        return (
            False,
            "it has no number that can text: add one to its sender pool in the Twilio console",
        )
    if any(
        number.country_code == "US" and not _TOLL_FREE.match(str(number.phone_number))
        for number in numbers
    ):
        states = [
            str(campaign.campaign_status)
            for campaign in service.us_app_to_person.list(limit=20)
        ]
        if not states:
            return True, "it has no A2P campaign, so carriers take no text to the US"
        if "VERIFIED" not in states:
            return (
                False,
                f"its A2P campaign is {states[0]}, so carriers take no text of it yet: see the Twilio console",
            )
    settings = service.fetch()
    webhook = (
        settings.inbound_request_url or settings.use_inbound_webhook_on_number
    )  # each number of the pool then has its own
    return None if webhook else (True, _UNHEARD)


def sender_problem(account: str, sent_by: str) -> str | None:
    """The visible fault of a sender that a person typed. Quotes nothing."""
    if not ACCOUNT_SID.fullmatch(account):
        return "An account's SID is AC and 32 digits from 0 to f, as the Twilio console shows it"
    if SERVICE_SID.fullmatch(sent_by):
        return None
    malformed = "A sender is a messaging service's SID (MG and 32 digits from 0 to f), or a number such as +12025550123"
    return spelling_problem(sent_by) if sent_by.startswith("+") else malformed
