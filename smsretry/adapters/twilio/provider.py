"""Twilio: one `create` call a text, in the account of its sender, and questions about it, in the account that it left.

The SDK is loaded by the first request, because most runs send nothing.
"""

import threading
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from smsretry.adapters.twilio.accounts import Accounts, NoCredentialsError
from smsretry.adapters.twilio.checks import check_sender, explain_failure
from smsretry.adapters.twilio.errors import twilio_report
from smsretry.adapters.twilio.lists import read_list
from smsretry.retry.delivery import DeliveryReport, Silence
from smsretry.retry.models import Finding, Look, SenderId, Text
from smsretry.retry.outcome import NotSent, Outcome, Refusal, Rejected
from smsretry.retry.profile import NOT_LISTED
from smsretry.settings import Settings
from smsretry.vocabulary import DeliveryStatus, MessageClass

if TYPE_CHECKING:
    from smsretry.adapters.twilio.http import TwilioHttp

_UNLOADED: Final = "Twilio's SDK could not be loaded ({}): install smsretry anew"
_LIST: Final = "Twilio's list of messages"
_NO_ACCESS: Final = (
    "give the runner the account's auth token or a standard key, which may read it"
)


_INTENTS: Final[dict[MessageClass, str]] = {
    "marketing": "marketing",
    "transactional": "notifications",
}
"""What a message is for, in Twilio's words."""


class TwilioProvider:
    """`ports.Provider` for Twilio. Synchronous: the SDK's async client drops its timeout and sends a POST again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._accounts = Accounts(settings)
        self._loading = threading.Lock()
        self._loaded: TwilioHttp | None = None
        self._readable = set[str]()
        self.default: Final = settings.default_sender
        """The default sender."""
        self.audience: Final = settings.audience
        """The people it texts."""

    def __enter__(self) -> "TwilioProvider":
        return self

    def __exit__(self, *_: object) -> None:
        if self._loaded:
            self._loaded.adapter.close()

    @property
    def _http(self) -> "TwilioHttp":
        """The session. Raises whatever a broken installation does."""
        with self._loading:
            if self._loaded is None:
                from smsretry.adapters.twilio.http import TwilioHttp

                self._loaded = TwilioHttp(self._settings, self._accounts)
            return self._loaded

    def credentials_problem(self, account: str) -> str | None:
        """Why no request can be made for this account here, and what to do. None: there are credentials for it."""
        try:
            self._accounts.login(account or self._accounts.main)
        except NoCredentialsError as error:
            return str(error)
        return None

    def send(self, text: Text) -> Outcome:
        """Make one request; whatever happens comes back as an outcome.

        No request is made for a number that this installation does not text, whatever the caller forgot.
        """
        if not self.audience.includes(text.to):
            return Rejected(Refusal("refused", NOT_LISTED, level="recipient"))
        sent_by = text.sender.sent_by or ""
        sender_field = "messaging_service_sid" if sent_by.startswith("MG") else "from_"
        fields: dict[str, object] = {
            sender_field: sent_by,
            "validity_period": _validity_period(text.valid_for),
            "message_intent": _INTENTS[text.message_class],
        }
        if callback := self._settings.twilio_status_callback_url:
            fields["status_callback"] = _with_attempt(str(callback), text.attempt_id)
        try:
            messages = self._http.client(text.sender.account).messages
        except NoCredentialsError as error:
            return NotSent(str(error))
        except Exception as error:  # noqa: BLE001 - a broken installation costs no text: no request has left
            return NotSent(_UNLOADED.format(type(error).__name__))
        return self._http.outcome(
            lambda: messages.create(
                to=text.to,
                body=text.body,
                **fields,
            )
        )

    def look_up(
        self, phone: str, *, sender: SenderId, since: datetime, at: datetime
    ) -> Look:
        """Messages from that sender to this number, or why the list could not be read."""
        try:
            messages = self._http.client(sender.account).messages
            return read_list(
                messages, self._http, phone, sent_by=sender.sent_by, since=since, at=at
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, it is no evidence that a message is absent
            return Look(sightings=(), unread=self._failure(error))

    def _failure(self, error: Exception) -> str:
        """Why this thread's last request failed, and what to do."""
        if isinstance(error, NoCredentialsError):
            return str(error)
        if self._loaded is None:
            return _UNLOADED.format(type(error).__name__)
        return explain_failure(self._loaded, error, _NO_ACCESS).advice

    def read_report(self, status: DeliveryStatus, code: int | None) -> DeliveryReport:
        """What a callback said of a message, with what its code means."""
        return twilio_report(status, code)

    def fetch_report(self, sid: str, *, account: str | None) -> DeliveryReport:
        """How far a message of this account has come (`GET Messages/{sid}`)."""
        try:
            message = self._http.client(account).messages(sid).fetch()
        except NoCredentialsError:
            return DeliveryReport("denied")
        except Exception as error:  # noqa: BLE001 - any other error says nothing about the message
            return DeliveryReport(self._silence(error, account))
        if message.status not in get_args(DeliveryStatus):
            return DeliveryReport("unanswered")
        return twilio_report(
            message.status,
            message.error_code,
            sent_by=message.from_,
            at=message.date_updated,
        )

    def _silence(self, error: Exception, account: str | None) -> Silence:
        """The reason why a message could not be read."""
        status = getattr(error, "status", None)
        if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return "denied"
        # Twilio's code for a resource that it does not have.
        if (status, getattr(error, "code", None)) != (HTTPStatus.NOT_FOUND, 20404):
            return "unanswered"
        return "not kept" if self._can_read(account) else "denied"

    def _can_read(self, account: str | None) -> bool:
        """Whether the account lists its messages. To another account's credentials, Twilio answers that there is none.

        A question for the account itself would not do, because of all API keys only a main key may read it.
        """
        sid = account or self._accounts.main
        if sid not in self._readable:
            try:
                self._http.client(sid).messages.page(page_size=1)
            except Exception:  # noqa: BLE001 - whatever it was, it did not answer for this account
                return False
            self._readable.add(sid)
        return True

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the sender? Sends nothing."""
        findings = [*self._accounts.findings(), *self.check_sender(self.default)]
        if any(finding.ok for finding in findings):
            findings.append(self._check_list())
        return findings

    def _check_list(self) -> Finding:
        """Whether the list of messages can be read, by which texts in doubt are settled."""
        advice = None
        try:
            self._http.client(None).messages.page(page_size=1)
        except Exception as error:  # noqa: BLE001 - of the SDK or of urllib3: the answer says which
            advice = f"texts in doubt wait, because it cannot be read: {self._failure(error)}"
        return Finding(
            subject=_LIST,
            ok=advice is None,
            advice=advice,
        )

    def check_sender(self, sender: SenderId) -> list[Finding]:
        """Do the credentials work, does the account own this sender, and is it registered? Sends nothing."""
        try:
            http = self._http
        except Exception as error:  # noqa: BLE001 - a broken installation, whatever is wrong with it
            return [
                Finding(
                    subject="Twilio's SDK",
                    ok=False,
                    advice=_UNLOADED.format(type(error).__name__),
                )
            ]
        return list(check_sender(http, self._accounts, sender))

    def clock(self) -> datetime | None:
        """Twilio's clock in its last answer to this thread. None: none came, or it had no `Date`."""
        answer = self._loaded.answer() if self._loaded else None
        return answer.date if answer else None


def _validity_period(valid_for: timedelta) -> int:
    """Seconds, as Twilio takes them: 1 to 36,000 (ten hours, its own default)."""
    return max(1, min(int(valid_for.total_seconds()), 36_000))


def _with_attempt(url: str, attempt_id: UUID) -> str:
    """The callback URL with the attempt's id: Twilio calls it even when its answer to us was lost."""
    parts = urlsplit(url)
    query = urlencode(
        [*parse_qsl(parts.query, keep_blank_values=True), ("attempt", str(attempt_id))]
    )
    return urlunsplit(parts._replace(query=query))
