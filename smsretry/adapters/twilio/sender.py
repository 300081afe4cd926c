"""Twilio: one `create` call a text, and a look at the account for `smsretry doctor`."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from requests.exceptions import RequestException
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.rest import Client

from smsretry.adapters.twilio.answers import outcome_of_answer
from smsretry.adapters.twilio.errors import twilio_report
from smsretry.adapters.twilio.http import TwilioHttp, outcome_of_exception
from smsretry.adapters.twilio.lists import read_list
from smsretry.retry.delivery import NotKept, Report, Word
from smsretry.retry.models import Finding, Look, Text
from smsretry.retry.outcome import InDoubt, Outcome, Rejected
from smsretry.settings import Settings
from smsretry.vocabulary import DeliveryStatus

_NOT_FOUND: Final = 20404
"""Twilio's code for a resource that it does not have."""
_NOT_OWNED: Final = (
    "the account does not own TWILIO_FROM_NUMBER: set one of its own numbers, or check TWILIO_ACCOUNT_SID"
)


class TwilioSender:
    """`ports.Sender` for Twilio's Messages API. Synchronous: the SDK's async client drops its timeout and re-POSTs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._http = TwilioHttp(
            connect_seconds=settings.twilio_connect_timeout_seconds,
            read_seconds=settings.twilio_read_timeout_seconds,
            base_url=str(settings.twilio_base_url) if settings.twilio_base_url else None,
            connections=settings.concurrency,
        )
        if settings.twilio_api_key_sid and settings.twilio_api_key_secret:
            user, password = settings.twilio_api_key_sid, settings.twilio_api_key_secret.get_secret_value()
        else:
            token = settings.twilio_auth_token
            user, password = settings.twilio_account_sid, token.get_secret_value() if token else ""
        self._client = Client(user, password, settings.twilio_account_sid, http_client=self._http)
        self._building = threading.Lock()
        self._sender = (
            {"messaging_service_sid": settings.twilio_messaging_service_sid}
            if settings.twilio_messaging_service_sid
            else {"from_": settings.twilio_from_number}
        )

    @property
    def _messages(self) -> Any:
        """Built by the first who asks, one thread at a time: it imports most of the SDK, and most runs send nothing."""
        with self._building:
            return self._client.messages

    def __enter__(self) -> "TwilioSender":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def send(self, text: Text) -> Outcome:
        """Make one request; whatever happens comes back as an outcome."""
        extra: dict[str, object] = {"validity_period": _validity_period(text.valid_for)}
        if callback := self._settings.twilio_status_callback_url:
            extra["status_callback"] = _with_attempt(str(callback), text.attempt_id)
        try:
            self._messages.create(to=text.to, body=text.body, **self._sender, **extra)
        except Exception as error:  # noqa: BLE001 - the request may have left: an outcome, always
            if self._http.answer() is None:
                return outcome_of_exception(error)
        answer = self._http.answer()
        if answer is None:
            return InDoubt("Twilio's answer was lost")
        return outcome_of_answer(answer.http_status, answer.body, retry_after=answer.retry_after)

    @property
    def sent_by(self) -> str:
        """The messaging service, or the number of ours, that texts go out from now."""
        return self._settings.twilio_sender

    def look_up(self, phone: str, *, sent_by: str | None, since: datetime, at: datetime) -> Look | None:
        """Messages from that sender to this number. None: the list could not be had."""
        try:
            return read_list(self._messages, self._http, phone, sent_by=sent_by, since=since, at=at)
        except Exception:  # noqa: BLE001 - whatever it was, it is no evidence that a message is absent
            return None

    def reported(self, status: DeliveryStatus, code: int | None) -> Report:
        """What a callback said of a message, with what its code means."""
        return twilio_report(status, code)

    def what_became_of(self, sid: str) -> Word:
        """How far a message has come (`GET Messages/{sid}`)."""
        try:
            message = self._messages(sid).fetch()
        except TwilioRestException as error:
            return NotKept() if (error.status, error.code) == (404, _NOT_FOUND) else None
        except Exception:  # noqa: BLE001 - whatever it was, it says nothing about the message
            return None
        if message.status not in get_args(DeliveryStatus):
            return None
        return twilio_report(message.status, message.error_code)

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the sender? Sends nothing."""
        account = self._settings.twilio_account_sid
        findings = [self._ask("Twilio credentials", lambda: self._client.api.v2010.accounts(account).fetch().status)]
        if not findings[0].ok:
            return findings
        if service := self._settings.twilio_messaging_service_sid:
            return [*findings, self._ask("Twilio messaging service", self._client.messaging.v1.services(service).fetch)]
        number = self._settings.twilio_from_number
        found = self._ask(
            "Twilio number", lambda: self._client.incoming_phone_numbers.list(phone_number=number, limit=1) or None
        )
        return [*findings, found]

    def _ask(self, subject: str, question: Callable[[], object]) -> Finding:
        try:
            answer = question()
        except RequestException as error:
            return Finding(subject=subject, ok=False, advice=self._silence(error))
        except TwilioException:
            return Finding(subject=subject, ok=False, advice=self._refusal())
        if answer is None:
            return Finding(subject=subject, ok=False, advice=_NOT_OWNED)
        if isinstance(answer, str) and answer != "active":
            return Finding(subject=subject, ok=False, advice=f"the account is {answer}: see the Twilio console")
        return Finding(subject=subject, ok=True)

    def _silence(self, error: RequestException) -> str:
        host = urlsplit(error.request.url or "").netloc if error.request else "Twilio"
        return f"{host} does not answer ({type(error).__name__}): check that it can be reached from here"

    def _refusal(self) -> str:
        answer = self._http.answer()
        outcome = outcome_of_answer(answer.http_status, answer.body) if answer else None
        match outcome:
            case Rejected(refusal):
                reason = refusal.text
            case _:
                reason = f"HTTP {answer.http_status if answer else 'status unknown'}"
        return f"refused ({reason}): check TWILIO_ACCOUNT_SID, its key or token, and the sender's SID or number"


def _validity_period(valid_for: timedelta) -> int:
    """Seconds, as Twilio takes them: 1 to 36,000 (ten hours, its own default)."""
    return max(1, min(int(valid_for.total_seconds()), 36_000))


def _with_attempt(url: str, attempt_id: UUID) -> str:
    """The callback URL with the attempt's id: Twilio calls it even when its answer to us was lost."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("attempt", str(attempt_id))])
    return urlunsplit(parts._replace(query=query))
