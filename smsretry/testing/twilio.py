"""Twilio's side in a test: what it was sent, what goes wrong there, and what it tells the application."""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeAlias, get_args
from urllib.parse import parse_qs, urlsplit

import httpx
import psycopg

from smsretry.errors import InputError, LocalStackError
from smsretry.local.stack import SENDER, Stack
from smsretry.local.twilio.callbacks import Callback
from smsretry.local.twilio.faults import Fault
from smsretry.local.twilio.ledger import Entry
from smsretry.vocabulary import DeliveryStatus

Teller: TypeAlias = Literal["nobody", "webhook", "database"]
"""Who tells the database what became of a message.

nobody: a run that looks after deliveries finds out. webhook: Twilio posts a signed callback to the message's
StatusCallback. database: what the documented webhook writes, without a webhook.
"""
_WEBHOOK_SECONDS: Final = 15.0  # as long as Twilio waits for a webhook


class Twilio:
    """The account that texts go out from. `standin` is all of it, with more accounts and more that can go wrong."""

    def __init__(self, stack: Stack, connect: Callable[[], psycopg.Connection[dict[str, Any]]]) -> None:
        self.standin: Final = stack.twilio
        self.number: Final = SENDER
        """The number that texts go out from."""
        self._connect = connect

    @property
    def sent(self) -> tuple[Entry, ...]:
        """Every message that Twilio accepted, oldest first: `to`, `sender`, `body`, `sid`, `status` and more."""
        return self.standin.ledger.entries()

    def sent_to(self, phone: str) -> tuple[Entry, ...]:
        """Those to one number."""
        return self.standin.ledger.entries(phone)

    def fail(self, fault: Fault, *, to: str | None = None, times: int | None = 1) -> None:
        """The next `times` requests that `fault` is about, to that number or to any, get it; None: until `heal`.

        `smsretry.testing.faults` has them all. Raises ValueError if `times` is below 1.
        """
        self.standin.fail(fault, to=to, times=times)

    def heal(self) -> None:
        """No planned fault strikes any more."""
        self.standin.heal()

    def report(
        self, message: Entry, status: DeliveryStatus, error_code: int | None = None, *, tell: Teller = "nobody"
    ) -> httpx.Response | None:
        """A message becomes `delivered`, `undelivered` with Twilio's code, and so on.

        Returns:
            With "webhook" the webhook's answer; else nothing.

        Raises:
            InputError: Twilio has no such status; or the message has no StatusCallback: set the stack's option
                TWILIO_STATUS_CALLBACK_URL before the run.
            LocalStackError: the webhook cannot be reached.
        """
        if status not in get_args(DeliveryStatus):
            raise InputError(f"Twilio has no status {status!r}: it is one of {', '.join(get_args(DeliveryStatus))}")
        self.standin.report(message.sid, status, error_code)
        if tell == "webhook":
            try:
                callback = self.standin.callback(message.sid, status, error_code)
            except ValueError:
                raise InputError(
                    "The message was sent without a StatusCallback: before the run, set "
                    'sms_stack.options["TWILIO_STATUS_CALLBACK_URL"] to your webhook\'s URL'
                ) from None
            return _post(callback)
        if tell == "database":
            attempt = parse_qs(urlsplit(message.status_callback or "").query).get("attempt", [None])[0]
            self._connect().execute(
                """select settle_sms_attempt(
                       attempt_id => %s, twilio_sid => %s, delivery_status => %s, error_code => %s,
                       account_sid => %s)""",
                [attempt, message.sid, status, error_code, message.account_sid],
            )
        return None

    def receive(
        self, phone: str, body: str, *, to: str = SENDER, webhook: str | None = None, opt_out_type: str | None = None
    ) -> httpx.Response | None:
        """Somebody texts one of our numbers, STOP for example.

        Args:
            phone: whose text it is.
            to: the number that it is sent to.
            webhook: your webhook's URL, to which Twilio posts it, signed; it must be the URL that the webhook checks
                the signature against. None: it goes straight into the database, as the documented webhook writes it.
            opt_out_type: STOP, START or HELP, which Twilio adds with Advanced Opt-Out.

        Returns:
            The webhook's answer; None without one.

        Raises:
            LocalStackError: the webhook cannot be reached.
        """
        text = self.standin.inbound(webhook or "", phone=phone, body=body, to=to, opt_out_type=opt_out_type)
        if webhook is not None:
            return _post(text)
        values = ("From", "MessageSid", "OptOutType", "Body", "To", "MessagingServiceSid", "AccountSid")
        self._connect().execute(
            """select record_inbound_sms(phone => %s, twilio_sid => %s, opt_out_type => %s, body => %s, to_number => %s,
                                         messaging_service_sid => %s, account_sid => %s)""",
            [text.form.get(name) for name in values],
        )
        return None


def _post(callback: Callback) -> httpx.Response:
    try:
        return httpx.post(
            callback.url, content=callback.body, headers=callback.headers, timeout=_WEBHOOK_SECONDS, trust_env=False
        )
    except httpx.HTTPError as error:
        trouble = f"{type(error).__name__}"
    shown = urlsplit(callback.url)
    raise LocalStackError(
        f"The webhook {shown.scheme}://{shown.netloc}{shown.path} did not answer ({trouble}): start the application "
        "under test first, and give the URL at which it listens"
    )
