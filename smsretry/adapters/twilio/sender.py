"""Twilio: one `create` call a text, and a look at the account for `smsretry doctor`.

The SDK is loaded by the first request, because most runs send nothing.
"""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.adapters.twilio.errors import twilio_report
from smsretry.adapters.twilio.lists import read_list
from smsretry.retry.delivery import NotKept, Report, Word
from smsretry.retry.models import Finding, Look, SenderId, Text
from smsretry.retry.outcome import NotSent, Outcome, Rejected
from smsretry.settings import Settings
from smsretry.vocabulary import DeliveryStatus

if TYPE_CHECKING:
    from smsretry.adapters.twilio.http import TwilioHttp

_NOT_FOUND: Final = 20404
"""Twilio's code for a resource that it does not have."""
_NOT_OWNED: Final = (
    "the account does not own TWILIO_FROM_NUMBER: set one of its own numbers, or check TWILIO_ACCOUNT_SID"
)
_UNLOADED: Final = "Twilio's SDK could not be loaded ({}): install smsretry anew"


class TwilioSender:
    """`ports.Provider` for Twilio. Synchronous: the SDK's async client drops its timeout and sends a POST again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loading = threading.Lock()
        self._loaded: Any = None
        self._accounts = dict[str, Any]()
        self.default: Final = SenderId(settings.twilio_account_sid, settings.twilio_sender)
        """The sender of the environment."""
        self._sender = _from(self.default)

    def __enter__(self) -> "TwilioSender":
        return self

    def __exit__(self, *_: object) -> None:
        if self._loaded:
            self._http.close()

    @property
    def _client(self) -> Any:
        """The SDK's client. Raises whatever a broken installation does."""
        with self._loading:
            if self._loaded is None:
                from smsretry.adapters.twilio.http import client

                self._loaded = client(self._settings)
            return self._loaded

    @property
    def _http(self) -> "TwilioHttp":
        http: TwilioHttp = self._client.http_client
        return http

    @property
    def _messages(self) -> Any:
        return self._client.messages

    def _messages_of(self, account: str | None) -> Any:
        """The messages of an account; None: of the environment's. Raises whatever a broken installation does."""
        client = self._client
        if account in (None, self.default.account):
            return self._messages
        with self._loading:
            if account not in self._accounts:
                self._accounts[account] = client.api.v2010.accounts(account).messages
            return self._accounts[account]

    def cannot_send_for(self, account: str) -> str | None:  # noqa: ARG002
        """Why no request can be made for this account here, and what to do. None: there are credentials for it."""
        return None

    def send(self, text: Text) -> Outcome:
        """Make one request; whatever happens comes back as an outcome."""
        sender = _from(text.sender) if text.sender.sent_by else self._sender
        extra: dict[str, object] = {"validity_period": _validity_period(text.valid_for)}
        if callback := self._settings.twilio_status_callback_url:
            extra["status_callback"] = _with_attempt(str(callback), text.attempt_id)
        try:
            messages, http = self._messages_of(text.sender.account), self._http
        except Exception as error:  # noqa: BLE001 - a broken installation costs no text: no request has left
            return NotSent(_UNLOADED.format(type(error).__name__))
        return http.outcome(lambda: messages.create(to=text.to, body=text.body, **sender, **extra))

    def look_up(self, phone: str, *, sender: SenderId, since: datetime, at: datetime) -> Look | None:
        """Messages from that sender to this number. None: the list could not be had."""
        try:
            return read_list(
                self._messages_of(sender.account), self._http, phone, sent_by=sender.sent_by, since=since, at=at
            )
        except Exception:  # noqa: BLE001 - whatever it was, it is no evidence that a message is absent
            return None

    def reported(self, status: DeliveryStatus, code: int | None) -> Report:
        """What a callback said of a message, with what its code means."""
        return twilio_report(status, code)

    def what_became_of(self, sid: str, *, account: str | None) -> Word:
        """How far a message has come (`GET Messages/{sid}`)."""
        try:
            message = self._messages_of(account)(sid).fetch()
        except Exception as error:  # noqa: BLE001 - any other error says nothing about the message
            not_kept = (getattr(error, "status", None), getattr(error, "code", None)) == (404, _NOT_FOUND)
            return NotKept() if not_kept else None
        if message.status not in get_args(DeliveryStatus):
            return None
        return twilio_report(message.status, message.error_code)

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the sender? Sends nothing."""
        try:
            client = self._client
        except Exception as error:  # noqa: BLE001 - a broken installation, whatever is wrong with it
            return [Finding(subject="Twilio's SDK", ok=False, advice=_UNLOADED.format(type(error).__name__))]
        account = client.api.v2010.accounts(self._settings.twilio_account_sid)
        credentials = self._ask("Twilio credentials", lambda: account.fetch().status)
        if not credentials.ok:
            return [credentials]
        if service := self._settings.twilio_messaging_service_sid:
            return [credentials, self._ask("Twilio messaging service", client.messaging.v1.services(service).fetch)]
        number = self._settings.twilio_from_number
        owned = client.incoming_phone_numbers
        return [credentials, self._ask("Twilio number", lambda: owned.list(phone_number=number, limit=1) or None)]

    def check_sender(self, sender: SenderId) -> list[Finding]:
        """Is its account active, and does it own the number or the messaging service? Sends nothing."""
        try:
            client = self._client
        except Exception as error:  # noqa: BLE001 - a broken installation, whatever is wrong with it
            return [Finding(subject="Twilio's SDK", ok=False, advice=_UNLOADED.format(type(error).__name__))]
        account = client.api.v2010.accounts(sender.account)
        active = self._ask("account", lambda: account.fetch().status)
        if not active.ok:
            return [active]
        if (sender.sent_by or "").startswith("MG"):
            return [active, self._ask("messaging service", client.messaging.v1.services(sender.sent_by).fetch)]
        owned = account.incoming_phone_numbers
        return [active, self._ask("number", lambda: owned.list(phone_number=sender.sent_by, limit=1) or None)]

    def _ask(self, subject: str, question: Callable[[], object]) -> Finding:
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001 - of the SDK or of `requests`: the bare answer says which
            advice = self._refusal() if self._http.answer() else _silence(error)
            return Finding(subject=subject, ok=False, advice=advice)
        if answer is None:
            return Finding(subject=subject, ok=False, advice=_NOT_OWNED)
        if isinstance(answer, str) and answer != "active":
            return Finding(subject=subject, ok=False, advice=f"the account is {answer}: see the Twilio console")
        return Finding(subject=subject, ok=True)

    def _refusal(self) -> str:
        answer = self._http.answer()
        outcome = outcome_of_answer(answer.http_status, answer.body) if answer else None
        match outcome:
            case Rejected(refusal):
                reason = refusal.text
            case _:
                reason = f"HTTP {answer.http_status if answer else 'status unknown'}"
        return f"refused ({reason}): check TWILIO_ACCOUNT_SID, its key or token, and the sender's SID or number"


def _from(sender: SenderId) -> dict[str, object]:
    """The parameters of a request that name what it goes out from."""
    name = "messaging_service_sid" if (sender.sent_by or "").startswith("MG") else "from_"
    return {name: sender.sent_by}


def _silence(error: Exception) -> str:
    request = getattr(error, "request", None)
    host = urlsplit(request.url).netloc if request else "Twilio"
    return f"{host} does not answer ({type(error).__name__}): check that it can be reached from here"


def _validity_period(valid_for: timedelta) -> int:
    """Seconds, as Twilio takes them: 1 to 36,000 (ten hours, its own default)."""
    return max(1, min(int(valid_for.total_seconds()), 36_000))


def _with_attempt(url: str, attempt_id: UUID) -> str:
    """The callback URL with the attempt's id: Twilio calls it even when its answer to us was lost."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("attempt", str(attempt_id))])
    return urlunsplit(parts._replace(query=query))
