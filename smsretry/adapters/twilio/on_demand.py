"""Twilio, loaded by the first who needs it: most runs send nothing, and spare themselves the SDK."""

import threading
from datetime import datetime
from typing import TYPE_CHECKING

from smsretry.retry.delivery import Report
from smsretry.retry.lost import Word
from smsretry.retry.models import Look, Text
from smsretry.retry.outcome import NotSent, Outcome
from smsretry.settings import Settings

if TYPE_CHECKING:
    from smsretry.adapters.twilio.sender import TwilioSender


class TwilioOnDemand:
    """`ports.Sender` and `ports.DeliveryReports`: a `TwilioSender`, made at the first request."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._making = threading.Lock()
        self._made: TwilioSender | None = None

    def __enter__(self) -> "TwilioOnDemand":
        return self

    def __exit__(self, *_: object) -> None:
        if self._made:
            self._made.close()

    def send(self, text: Text) -> Outcome:
        """Make one request; whatever happens comes back as an outcome."""
        try:
            twilio = self._twilio()
        except Exception as error:  # noqa: BLE001 - a broken installation, or whatever: no request has left
            return NotSent(f"Twilio's SDK could not be loaded ({type(error).__name__}): install smsretry anew")
        return twilio.send(text)

    @property
    def sent_by(self) -> str:
        """The messaging service, or the number of ours, that texts go out from now."""
        return self._settings.twilio_sender

    def look_up(self, phone: str, *, sent_by: str | None, since: datetime, at: datetime) -> Look | None:
        """Messages from that sender to this number. None: the list could not be had."""
        return self._twilio().look_up(phone, sent_by=sent_by, since=since, at=at)

    def report_of(self, sid: str) -> Report | None:
        """How far a message has come. None: it could not be had."""
        return self._twilio().report_of(sid)

    def what_became_of(self, sid: str) -> Word:
        """The same, telling a message that Twilio does not have from one that it could not be asked about."""
        try:
            twilio = self._twilio()
        except Exception:  # noqa: BLE001 - as in `send`: it costs no text
            return None
        return twilio.what_became_of(sid)

    def _twilio(self) -> "TwilioSender":
        with self._making:
            if self._made is None:
                from smsretry.adapters.twilio.sender import TwilioSender

                self._made = TwilioSender(self._settings)
            return self._made
