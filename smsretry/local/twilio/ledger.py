"""What the Twilio stand-in accepted: the record by which a test counts real texts."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Self
from uuid import uuid4

TRIAL_PREFIX: Final = "Sent from your Twilio trial account - "
"""What Twilio puts before every body of a trial account, and stores."""
_ON_ITS_WAY: Final = ("sent", "partially_delivered", "delivered", "undelivered", "read")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted message."""

    sid: str
    account_sid: str
    """The account that sent it."""
    to: str = field(repr=False)
    sender: str | None = field(repr=False)
    """The `From` number. None when only a messaging service was named: Twilio picks a number later."""
    messaging_service_sid: str | None
    body: str = field(repr=False)
    """The body as it is stored, so with the prefix of a trial account."""
    status_callback: str | None
    validity_period: timedelta | None
    intent: str | None = None
    """What it is for, if whoever sent it said so."""
    accepted_at: datetime
    """The time on the stand-in's clock."""
    clock_ahead: timedelta = timedelta(0)
    """How far Twilio's own clock was ahead of that one: its `date_created` stays, whatever the clocks do later."""
    sent_at: datetime | None = None
    """Twilio's `date_sent`. None while the message waits in Twilio's own queue."""
    status: str | None = None
    """What became of it beyond that, in Twilio's word."""
    error_code: int | None = None
    updated_at: datetime | None = None
    """When `status` was last set."""
    arrived: bool = False
    """Whether the phone got it, whatever Twilio says."""

    @classmethod
    def of(
        cls, form: Mapping[str, str], *, to: str, is_trial: bool, **fields: Any
    ) -> Self:
        """The message that a `POST Messages` creates."""
        validity = form.get("ValidityPeriod")
        return cls(
            sid=f"SM{uuid4().hex}",
            to=to,
            sender=form.get("From") or None,
            messaging_service_sid=form.get("MessagingServiceSid") or None,
            body=TRIAL_PREFIX * is_trial + form["Body"],
            status_callback=form.get("StatusCallback") or None,
            intent=form.get("MessageIntent"),
            validity_period=timedelta(seconds=int(validity)) if validity else None,
            **fields,
        )

    @property
    def sent_by(self) -> str | None:
        """What it names: a messaging service or a number."""
        return self.messaging_service_sid or self.sender


class Ledger:
    """Every accepted message, oldest first. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}

    def entries(self, to: str | None = None) -> tuple[Entry, ...]:
        """All entries, or those to one number, in the order of acceptance."""
        with self._lock:
            return tuple(
                entry
                for entry in self._entries.values()
                if to is None or entry.to == to
            )

    def arrived(self) -> int:
        """How many messages are on a phone."""
        return sum(entry.arrived for entry in self.entries())

    def find(self, sid: str) -> Entry | None:
        """The entry of one SID."""
        with self._lock:
            return self._entries.get(sid)

    def clear(self) -> None:
        """Forget everything, as no real ledger can."""
        with self._lock:
            self._entries.clear()

    def put(self, entry: Entry) -> None:
        """Record a message as it is, such as one that somebody else sent."""
        with self._lock:
            self._entries[entry.sid] = entry

    def report(
        self,
        sid: str,
        status: str,
        error_code: int | None,
        *,
        at: datetime,
        arrived: bool,
        sender: str | None,
    ) -> None:
        """Twilio learns what became of a message; `sender` is who sent it, if it named no number itself.

        Raises KeyError for a SID that is not here.
        """
        with self._lock:
            entry = self._entries[sid]
            self._entries[sid] = replace(
                entry,
                sender=entry.sender or sender,
                status=status,
                error_code=error_code,
                updated_at=at,
                sent_at=entry.sent_at or (at if status in _ON_ITS_WAY else None),
                arrived=entry.arrived or arrived,
            )
