"""Twilio: one `create` call a text, in the account of its sender, and questions about it, in the account that it left.

The SDK is loaded by the first request, because most runs send nothing.
"""

from datetime import datetime, timedelta
from typing import Final, get_args
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import UUID

from smsretry.adapters.twilio.accounts import Accounts, NoCredentialsError
from smsretry.adapters.twilio.checks import UNLOADED, Checks
from smsretry.adapters.twilio.clients import Clients
from smsretry.adapters.twilio.errors import twilio_report
from smsretry.adapters.twilio.lists import read_list
from smsretry.retry.delivery import Denied, NotKept, Report, Word
from smsretry.retry.models import Finding, Look, SenderId, Text
from smsretry.retry.outcome import NotSent, Outcome, Refusal, Rejected
from smsretry.settings import Settings
from smsretry.vocabulary import DeliveryStatus

_NOT_FOUND: Final = 20404
"""Twilio's code for a resource that it does not have."""


class TwilioSender:
    """`ports.Provider` for Twilio. Synchronous: the SDK's async client drops its timeout and sends a POST again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._accounts = Accounts(settings)
        self._clients = Clients(settings, self._accounts)
        self._checks = Checks(settings, self._accounts, self._clients)
        self._readable = set[str]()
        self.default: Final = SenderId(settings.twilio_account_sid, settings.twilio_sender)
        """The sender of the environment."""
        self.audience: Final = settings.audience
        """Whom it texts."""

    def __enter__(self) -> "TwilioSender":
        return self

    def __exit__(self, *_: object) -> None:
        self._clients.close()

    def cannot_send_for(self, account: str) -> str | None:
        """Why no request can be made for this account here, and what to do. None: there are credentials for it."""
        try:
            self._accounts.login(account or self._accounts.main)
        except NoCredentialsError as error:
            return str(error)
        return None

    def send(self, text: Text) -> Outcome:
        """Make one request; whatever happens comes back as an outcome.

        To whom nothing may go from here, no request is made, whatever the caller forgot.
        """
        if not self.audience.includes(phone=text.to, business_id=text.business_id):
            return Rejected(Refusal("permanent", self.audience.refusal, level="recipient"))
        sender = _from(text.sender if text.sender.sent_by else self.default)
        extra: dict[str, object] = {"validity_period": _validity_period(text.valid_for)}
        if callback := self._settings.twilio_status_callback_url:
            extra["status_callback"] = _with_attempt(str(callback), text.attempt_id)
        try:
            messages, http = self._clients.of(text.sender.account).messages, self._clients.http
        except NoCredentialsError as error:
            return NotSent(str(error))
        except Exception as error:  # noqa: BLE001 - a broken installation costs no text: no request has left
            return NotSent(UNLOADED.format(type(error).__name__))
        return http.outcome(lambda: messages.create(to=text.to, body=text.body, **sender, **extra))

    def look_up(self, phone: str, *, sender: SenderId, since: datetime, at: datetime) -> Look | None:
        """Messages from that sender to this number. None: the list could not be had."""
        try:
            messages, http = self._clients.of(sender.account).messages, self._clients.http
            return read_list(messages, http, phone, sent_by=sender.sent_by, since=since, at=at)
        except Exception:  # noqa: BLE001 - whatever it was, it is no evidence that a message is absent
            return None

    def reported(self, status: DeliveryStatus, code: int | None) -> Report:
        """What a callback said of a message, with what its code means."""
        return twilio_report(status, code)

    def what_became_of(self, sid: str, *, account: str | None) -> Word:
        """How far a message of this account has come (`GET Messages/{sid}`)."""
        try:
            message = self._clients.of(account).messages(sid).fetch()
        except NoCredentialsError:
            return Denied()
        except Exception as error:  # noqa: BLE001 - any other error says nothing about the message
            status, code = getattr(error, "status", None), getattr(error, "code", None)
            if (status, code) == (404, _NOT_FOUND):
                return NotKept() if self._can_read(account) else Denied()
            return Denied() if status in (401, 403) else None
        if message.status not in get_args(DeliveryStatus):
            return None
        return twilio_report(message.status, message.error_code)

    def _can_read(self, account: str | None) -> bool:
        """Whether its messages are listed: with credentials of another account, each of them is not found.

        The account itself would not do: only a main key may read it, as API keys go.
        """
        sid = account or self._accounts.main
        if sid not in self._readable:
            try:
                self._clients.of(sid).messages.page(page_size=1)
            except Exception:  # noqa: BLE001 - whatever it was, it did not answer for this account
                return False
            self._readable.add(sid)
        return True

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the sender? Sends nothing."""
        return self._checks.environment()

    def clock(self) -> datetime | None:
        """Twilio's clock in its last answer to this thread. None: none came, or it had no `Date`."""
        answer = self._clients.http.answer()
        return answer.date if answer else None

    def check_sender(self, sender: SenderId) -> list[Finding]:
        """The same of a business's own sender, and is it registered? Two requests; at most four."""
        return self._checks.sender(sender)


def _from(sender: SenderId) -> dict[str, object]:
    """The parameters of a request that name what it goes out from."""
    name = "messaging_service_sid" if (sender.sent_by or "").startswith("MG") else "from_"
    return {name: sender.sent_by}


def _validity_period(valid_for: timedelta) -> int:
    """Seconds, as Twilio takes them: 1 to 36,000 (ten hours, its own default)."""
    return max(1, min(int(valid_for.total_seconds()), 36_000))


def _with_attempt(url: str, attempt_id: UUID) -> str:
    """The callback URL with the attempt's id: Twilio calls it even when its answer to us was lost."""
    parts = urlsplit(url)
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), ("attempt", str(attempt_id))])
    return urlunsplit(parts._replace(query=query))
