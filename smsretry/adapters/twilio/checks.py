"""Do credentials work, is the account active, is the sender its own? `doctor` and `smsretry senders check` ask.

Nothing is sent. A sender costs at most two requests. What Twilio knows of a messaging service, its numbers and its
registration, it tells only to the account's own credentials.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from smsretry.adapters.twilio.accounts import ACCOUNT, Accounts, NoCredentialsError
from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.adapters.twilio.clients import Clients
from smsretry.phone import phone_problem
from smsretry.retry.models import Finding, SenderId
from smsretry.retry.outcome import Rejected
from smsretry.settings import Settings

UNLOADED: Final = "Twilio's SDK could not be loaded ({}): install smsretry anew"
_SERVICE: Final = re.compile(r"MG[0-9a-fA-F]{32}")
_NOT_OWNED: Final = (
    "the account does not own TWILIO_FROM_NUMBER: set one of its own numbers, or check TWILIO_ACCOUNT_SID"
)
_MEND_SETTINGS: Final = "check TWILIO_ACCOUNT_SID, its key or token, and the sender's SID or number"
_MEND_LISTED: Final = "check this account's SID, and its entry in TWILIO_ACCOUNTS or in TWILIO_ACCOUNTS_FILE"
_MEND_SUBACCOUNT: Final = (
    "TWILIO_AUTH_TOKEN reaches only subaccounts of TWILIO_ACCOUNT_SID: any other account needs an entry in "
    "TWILIO_ACCOUNTS"
)
_UNREAD: Final = "its numbers and registration are shown only to the account's own credentials"
"""Not an advice: it is so of each subaccount that its parent serves."""
_NO_CAMPAIGN: Final = "no A2P campaign: right for toll-free numbers, short codes and outside the US, and only there"


class Checks:
    """Any thread may use it."""

    def __init__(self, settings: Settings, accounts: Accounts, clients: Clients) -> None:
        self._settings = settings
        self._accounts = accounts
        self._clients = clients

    def environment(self) -> list[Finding]:
        """Of the account and the sender of the environment, and of the list of other accounts."""
        listed = list(self._accounts.findings())
        try:
            client = self._clients.of(None)
        except Exception as error:  # noqa: BLE001 - a broken installation, whatever is wrong with it
            return [*listed, Finding(subject="Twilio's SDK", ok=False, advice=UNLOADED.format(type(error).__name__))]
        credentials = self._active("Twilio credentials", client, self._accounts.main, _MEND_SETTINGS)
        if not credentials.ok:
            return [*listed, credentials]
        if service := self._settings.twilio_messaging_service_sid:
            found = self._ask("Twilio messaging service", client.messaging.v1.services(service).fetch, _MEND_SETTINGS)
        else:
            number = self._settings.twilio_from_number
            owned = client.incoming_phone_numbers
            found = self._ask(
                "Twilio number", lambda: owned.list(phone_number=number, limit=1) or _NOT_OWNED, _MEND_SETTINGS
            )
        return [*listed, credentials, found]

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
            yield from self._service(client.messaging.v1.services(sent_by), sent_by, mend)
            return
        active = self._active(f"account {account}", client, account, mend)
        yield active
        if not active.ok:
            return
        if sent_by.startswith("MG"):
            yield Finding(subject=f"messaging service {sent_by} ({_UNREAD})", ok=True)
            return
        subject, owned = f"number {_masked(sent_by)}", client.incoming_phone_numbers
        none = f"account {account} does not own it: check the number, or give the account that owns it"

        def owns() -> object:  # Twilio also finds longer numbers, of which this is a part
            return any(one.phone_number == sent_by for one in owned.list(phone_number=sent_by, limit=20)) or none

        yield self._ask(subject, owns, mend)

    def _service(self, service: Any, sid: str, mend: str) -> Iterator[Finding]:
        none = "it has no numbers: add one to it in the Twilio console"
        numbers = self._ask(
            f"messaging service {sid}", lambda: service.phone_numbers.list(limit=1, page_size=1) or none, mend
        )
        yield numbers
        if numbers.ok:
            yield self._registration(service, sid, mend)

    def _registration(self, service: Any, sid: str, mend: str) -> Finding:
        subject, states = f"registration of {sid}", list[str]()

        def read() -> None:
            states.extend(str(one.campaign_status) for one in service.us_app_to_person.list(limit=20))

        found = self._ask(subject, read, mend)
        if not found.ok or "VERIFIED" in states:
            return found
        if not states:
            return Finding(subject=subject, ok=True, advice=_NO_CAMPAIGN)
        advice = f"its A2P campaign is {states[0]}, so carriers do not take its texts yet: see the Twilio console"
        return Finding(subject=subject, ok=False, advice=advice)

    def _active(self, subject: str, client: Any, account: str, mend: str) -> Finding:
        def state() -> object:
            if str(client.username).startswith("SK"):  # only a main key may read the account
                return client.messages.page(page_size=1)
            status = client.api.v2010.accounts(account).fetch().status
            return status == "active" or f"the account is {status}: see the Twilio console"

        return self._ask(subject, state, mend)

    def _ask(self, subject: str, question: Callable[[], object], mend: str) -> Finding:
        """A finding from the answer: a string is what is wrong."""
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001 - of the SDK or of `requests`: the bare answer says which
            return Finding(subject=subject, ok=False, advice=self._refusal(mend) or _silence(error))
        return (
            Finding(subject=subject, ok=False, advice=answer)
            if isinstance(answer, str)
            else Finding(subject=subject, ok=True)
        )

    def _refusal(self, mend: str) -> str | None:
        answer = self._clients.http.answer()
        if answer is None:
            return None
        match outcome_of_answer(answer.http_status, answer.body):
            case Rejected(refusal):
                reason = refusal.text
            case _:
                reason = f"HTTP {answer.http_status}"
        return f"refused ({reason}): {mend}"


def sender_problem(account: str, sent_by: str) -> str | None:
    """What is wrong with a sender that a person typed, so far as it can be seen. Quotes neither."""
    if not ACCOUNT.fullmatch(account):
        return "An account's SID is AC and 32 digits from 0 to f, as the Twilio console shows it"
    if _SERVICE.fullmatch(sent_by) or (sent_by.startswith("+") and not phone_problem(sent_by)):
        return None
    return "A sender is a messaging service's SID (MG and 32 digits from 0 to f), or a number such as +12025550123"


def _masked(number: str) -> str:
    return f"…{number[-4:]}"


def _silence(error: Exception) -> str:
    request = getattr(error, "request", None)
    host = urlsplit(request.url).netloc if request else "Twilio"
    return f"{host} does not answer ({type(error).__name__}): check that it can be reached from here"
