"""Twilio, loaded by the first who needs it: most runs send nothing, and spare themselves the SDK."""

import threading
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from smsretry.adapters.twilio.errors import twilio_report
from smsretry.retry.delivery import Report, Word
from smsretry.retry.models import Finding, Look, Text
from smsretry.retry.outcome import NotSent, Outcome
from smsretry.settings import Settings
from smsretry.vocabulary import DeliveryStatus

if TYPE_CHECKING:
    from smsretry.adapters.twilio.sender import TwilioSender


_UNLOADED: Final = "Twilio's SDK could not be loaded ({}): install smsretry anew"


@dataclass(frozen=True, slots=True)
class _Broken:
    """Twilio's SDK cannot be loaded."""

    why: str


class TwilioOnDemand:
    """`ports.Provider`: a `TwilioSender`, made at the first request."""

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
        twilio = self._twilio()
        if isinstance(twilio, _Broken):  # no request has left
            return NotSent(_UNLOADED.format(twilio.why))
        return twilio.send(text)

    @property
    def sent_by(self) -> str:
        """The messaging service, or the number of ours, that texts go out from now."""
        return self._settings.twilio_sender

    def look_up(self, phone: str, *, sent_by: str | None, since: datetime, at: datetime) -> Look | None:
        """Messages from that sender to this number. None: the list could not be had."""
        twilio = self._twilio()
        return None if isinstance(twilio, _Broken) else twilio.look_up(phone, sent_by=sent_by, since=since, at=at)

    def what_became_of(self, sid: str) -> Word:
        """How far a message has come."""
        twilio = self._twilio()
        return None if isinstance(twilio, _Broken) else twilio.what_became_of(sid)

    def reported(self, status: DeliveryStatus, code: int | None) -> Report:
        """What a callback said of a message, with what its code means."""
        return twilio_report(status, code)

    def check(self) -> list[Finding]:
        """Do the credentials work, and does the account own the sender? Sends nothing."""
        twilio = self._twilio()
        if isinstance(twilio, _Broken):
            return [Finding(subject="Twilio's SDK", ok=False, advice=_UNLOADED.format(twilio.why))]
        return twilio.check()

    def _twilio(self) -> "TwilioSender | _Broken":
        with self._making:
            if self._made is None:
                try:
                    from smsretry.adapters.twilio.sender import TwilioSender

                    self._made = TwilioSender(self._settings)
                except Exception as error:  # noqa: BLE001 - a broken installation, or whatever: it costs no text
                    return _Broken(type(error).__name__)
            return self._made
