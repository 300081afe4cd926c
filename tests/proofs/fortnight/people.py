"""What a fortnight is about: businesses, customers, their texts, and who says stop."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from smsretry.local.twilio.faults import SendFault
from tests.proofs.oracles.law import Almanac, Person, Week

Route = Literal["table", "function", "function, everywhere", "twilio"]
"""How an opt-out comes: an update by the application, `record_sms_consent` for one business or for all, or as Twilio's
21610 to a send."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Business:
    """A sender of texts."""

    id: UUID
    zone: str | None
    sms_hours: str | None = None
    week: Week | None = None
    """`sms_hours`, once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """Somebody as the application stores them, and as the law sees them."""

    id: UUID
    business: Business
    phone: str | None
    zone: str | None
    who: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One text."""

    customer: Customer
    retry_id: UUID
    send_log_id: UUID
    body: str
    due_at: datetime
    expires_at: datetime
    transactional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOut:
    """Somebody says stop."""

    at: datetime
    customer: Customer
    route: Route


@dataclass(slots=True, kw_only=True)
class Town:
    """Everybody, and what will happen to them."""

    start: datetime
    days: int
    almanac: Almanac
    businesses: tuple[Business, ...]
    customers: list[Customer] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    opt_outs: list[OptOut] = field(default_factory=list)
    troubles: list[tuple[str, SendFault, int]] = field(default_factory=list)
    """To the next so many sends to a number Twilio answers so."""

    @property
    def end(self) -> datetime:
        """When the time is over."""
        return self.start + timedelta(days=self.days)

    def window(self, text: Text) -> bytes:
        """Which minutes are permitted to a text."""
        customer = text.customer
        return self.almanac.permitted(customer.who, customer.business.week, transactional=text.transactional)
