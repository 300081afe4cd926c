"""Do credentials work, is the account active, is the sender its own? `doctor` and `smsretry senders check` ask.

Nothing is sent. What Twilio knows of a messaging service, its numbers and its registration, it tells only to the
account's own credentials. Sources, all of https://www.twilio.com/docs: usage/api/account (type, status, balance),
iam/api-keys (which key may read what).
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from smsretry.adapters.answering import slow_finding
from smsretry.adapters.twilio.accounts import ACCOUNT, Accounts, NoCredentialsError
from smsretry.adapters.twilio.asking import Asking
from smsretry.adapters.twilio.clients import Clients
from smsretry.adapters.twilio.sender_pool import number_finding, service_findings
from smsretry.phone import phone_problem, spelling_problem
from smsretry.retry.models import Finding, SenderId
from smsretry.setting_values import SERVICE_SID
from smsretry.settings import Settings

UNLOADED: Final = "Twilio's SDK could not be loaded ({}): install smsretry anew"
_LOW: Final = 1
"""In the account's currency."""
_SERVICE: Final = re.compile(SERVICE_SID)
_NO_SENDER: Final = (
    "A sender is a messaging service's SID (MG and 32 digits from 0 to f), or a number such as +12025550123"
)
_NOT_OWNED: Final = (
    "the account does not own TWILIO_FROM_NUMBER: set one of its own numbers, or check TWILIO_ACCOUNT_SID"
)
_TRIAL: Final = (
    "is a trial: it texts only numbers that are verified in the Twilio console, and writes that it is a trial before "
    "each text. Upgrade it in the console"
)
_MEND_SETTINGS: Final = "check TWILIO_ACCOUNT_SID, its key or token, and the sender's SID or number"
_MEND_LISTED: Final = "check this account's SID, and its entry in TWILIO_ACCOUNTS or in TWILIO_ACCOUNTS_FILE"
_MEND_SUBACCOUNT: Final = (
    "TWILIO_AUTH_TOKEN reaches only subaccounts of TWILIO_ACCOUNT_SID: any other account needs an entry in "
    "TWILIO_ACCOUNTS"
)
_UNREAD: Final = "its numbers and registration are shown only to the account's own credentials"
"""Not an advice: it is so of each subaccount that its parent serves."""


class Checks:
    """Any thread may use it."""

    def __init__(self, settings: Settings, accounts: Accounts, clients: Clients) -> None:
        self._settings = settings
        self._accounts = accounts
        self._clients = clients
        self._ask = Asking(clients).ask

    def environment(self) -> list[Finding]:
        """Of the account and the sender of the environment, if one is set, and of the list of other accounts."""
        listed = list(self._accounts.findings())
        try:
            client, http = self._clients.of(None), self._clients.http
        except Exception as error:  # noqa: BLE001 - a broken installation, whatever is wrong with it
            return [*listed, Finding(subject="Twilio's SDK", ok=False, advice=UNLOADED.format(type(error).__name__))]
        found = list(self._of_environment(client))
        return [
            *listed,
            *found,
            *slow_finding("Twilio", http.fastest, f"look at the network between here and {http.host}"),
        ]

    def _of_environment(self, client: Any) -> Iterator[Finding]:
        accounts = list[Any]()
        credentials = self._active("Twilio credentials", client, self._accounts.main, _MEND_SETTINGS, accounts)
        yield credentials
        if not credentials.ok:
            return
        yield from self._kind(client, accounts)
        if sid := self._settings.twilio_messaging_service_sid:
            service = client.messaging.v1.services(sid)
            yield from service_findings(
                self._ask, service, "Twilio messaging service", sid, _MEND_SETTINGS, optional=True
            )
        elif number := self._settings.twilio_from_number:
            yield number_finding(self._ask, "Twilio number", client, number, _NOT_OWNED, _MEND_SETTINGS)

    def _kind(self, client: Any, accounts: Sequence[Any]) -> Iterator[Finding]:
        """Whether the account is a trial, and has money. Only its token and a main key may ask."""
        if not accounts:
            yield Finding(subject="Twilio account (a standard key may not ask whether it is a trial)", ok=True)
            return
        [account] = accounts
        yield Finding(subject="Twilio account", ok=True, advice=_TRIAL if account.type == "Trial" else None)
        try:
            left = client.api.v2010.accounts(account.sid).balance.fetch()
            amount = float(left.balance)
        except Exception:  # noqa: BLE001 - a subaccount has none, and whoever may not ask is not told
            return
        if amount <= 0:
            advice = (
                f"is {amount:.2f} {left.currency}: unless Twilio sends a bill, no text goes out before it is topped up"
            )
            yield Finding(subject="Twilio balance", ok=True, advice=advice)
        elif amount < _LOW:
            advice = f"is {amount:.2f} {left.currency}, which pays for few texts: top it up, unless Twilio sends a bill"
            yield Finding(subject="Twilio balance", ok=True, advice=advice)

    def sender(self, sender: SenderId) -> list[Finding]:
        """Of a business's own sender."""
        account, sent_by = sender.account or self._accounts.main, sender.sent_by or ""
        if problem := sender_problem(account, sent_by):
            return [Finding(subject="sender", ok=False, advice=problem)]
        try:
            client = self._clients.of(account)
        except NoCredentialsError as error:
            return [Finding(subject=f"account {account}", ok=False, advice=str(error))]
        except Exception as error:  # noqa: BLE001 - as above
            return [Finding(subject="Twilio's SDK", ok=False, advice=UNLOADED.format(type(error).__name__))]
        own = self._accounts.own(account) is not None
        mend = _MEND_SETTINGS if account == self._accounts.main else _MEND_LISTED if own else _MEND_SUBACCOUNT
        return list(self._steps(client, account, sent_by, own, mend))

    def _steps(self, client: Any, account: str, sent_by: str, own: bool, mend: str) -> Iterator[Finding]:
        if own and sent_by.startswith("MG"):  # these requests show that the account is active, too
            yield from service_findings(
                self._ask, client.messaging.v1.services(sent_by), f"messaging service {sent_by}", sent_by, mend
            )
            return
        accounts = list[Any]()
        active = self._active(f"account {account}", client, account, mend, accounts)
        trial = active.ok and any(one.type == "Trial" for one in accounts)
        yield active.model_copy(update={"advice": _TRIAL}) if trial else active
        if not active.ok:
            return
        if sent_by.startswith("MG"):
            yield Finding(subject=f"messaging service {sent_by} ({_UNREAD})", ok=True)
            return
        none = f"account {account} does not own it: check the number, or give the account that owns it"
        yield number_finding(self._ask, f"number {_masked(sent_by)}", client, sent_by, none, mend)

    def _active(self, subject: str, client: Any, account: str, mend: str, accounts: list[Any]) -> Finding:
        """Whether the credentials reach the account. It is added to `accounts`, if they may read it."""

        def state() -> object:
            if str(client.username).startswith("SK"):  # only a main key may read the account
                return client.messages.page(page_size=1)
            accounts.append(client.api.v2010.accounts(account).fetch())
            status = accounts[0].status
            return status == "active" or f"the account is {status}: see the Twilio console"

        return self._ask(subject, state, mend)


def sender_problem(account: str, sent_by: str) -> str | None:
    """What is wrong with a sender that a person typed, so far as it can be seen. Quotes neither."""
    if not ACCOUNT.fullmatch(account):
        return "An account's SID is AC and 32 digits from 0 to f, as the Twilio console shows it"
    if _SERVICE.fullmatch(sent_by) or (sent_by.startswith("+") and not phone_problem(sent_by)):
        return None
    return spelling_problem(sent_by) or _NO_SENDER


def _masked(number: str) -> str:
    return f"…{number[-4:]}"
