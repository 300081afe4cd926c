"""A worker that looks after deliveries, as the flow sync-delivery-status does, and dies where it is told to."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import twilio_report
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.retry.delivery import FAILURES, FINAL, AfterDelivery, OpenDelivery, Report, Word, after_delivery
from smsretry.sending import delivering
from smsretry.sending.delivering import sync_deliveries
from smsretry.sending.ports import Services
from smsretry.settings import Settings
from smsretry.vocabulary import Followed
from tests.proofs.faults.fate import Fate, report_event
from tests.proofs.faults.orders import Event, Order, Switch


class MortalDeliveries(SupabaseQueue):
    """The production adapter, with a place to die at."""

    def __init__(self, settings: Settings, fate: Fate, order: Order) -> None:
        super().__init__(settings)
        self._fate = fate
        self._only_once = order.stall_at is not None
        self.claimed: dict[str, OpenDelivery] = {}
        """By SID."""

    def claim_deliveries(self, limit: int, *, without: Collection[str] = ()) -> list[OpenDelivery]:
        if self._only_once and self.claimed:  # what it claims after it wakes is its own, and no late write
            return []
        messages = super().claim_deliveries(limit, without=without)
        self.claimed |= {message.sid: message for message in messages}
        return messages

    def follow(self, message: OpenDelivery, report: Report | None, decision: AfterDelivery) -> Followed:
        answer = super().follow(message, report, decision)
        self._fate.at_delivery("followed", message)
        return answer


class MortalReports(TwilioSender):
    """The production adapter, with places to die at: before and after Twilio was asked."""

    def __init__(self, settings: Settings, fate: Fate, records: MortalDeliveries, without: Switch | None) -> None:
        super().__init__(settings)
        self._fate, self._records, self._without = fate, records, without

    def what_became_of(self, sid: str, *, account: str | None) -> Word:
        message = self._records.claimed[sid]
        self._fate.at_delivery("taken", message)
        word = super().what_became_of(sid, account=None if self._without == "account" else account)
        self._fate.at_delivery("asked", message)
        if self._without == "patience" and isinstance(word, Report) and word.status not in FINAL | FAILURES:
            return twilio_report("undelivered", 30008)
        return word


def poll(settings: Settings, fate: Fate, order: Order) -> None:
    """One run of sync-delivery-status."""
    if order.without == "codes":
        vars(delivering).update(after_delivery=_whatever_the_code)
    with (
        MortalDeliveries(settings, fate, order) as records,
        MortalReports(settings, fate, records, order.without) as reports,
    ):
        services = Services(records, reports, settings.profile, 1 if order.one_by_one else 10)
        for one in sync_deliveries(services, limit=order.limit).followed:
            if one.came_to == "error":
                report_event(Event(worker=order.worker, kind="bug", detail=one.why[:300]))


def _whatever_the_code(message: OpenDelivery, word: Word, **more: Any) -> AfterDelivery:
    if isinstance(word, Report) and word.refusal:
        word = replace(word, refusal=replace(word.refusal, kind="transient"))
    return after_delivery(message, word, **more)
