"""The port of deliveries, with a meter on it."""

from smsretry.adapters.telemetry.instruments import DeliveryCameTo, Instruments
from smsretry.ports import DeliveryRecords
from smsretry.retry.decision import GiveUp
from smsretry.retry.delivery import FINAL, AfterDelivery, OpenDelivery, Report, SendAgain, Unknown
from smsretry.words import Followed


class MeasuredDeliveries:
    """`ports.DeliveryRecords`. What looks settled; what is only looked after again is not counted."""

    def __init__(self, records: DeliveryRecords, instruments: Instruments) -> None:
        self._records, self._instruments = records, instruments

    def claim_deliveries(self, limit: int) -> list[OpenDelivery]:
        return self._records.claim_deliveries(limit)

    def follow(self, message: OpenDelivery, report: Report | None, decision: AfterDelivery) -> Followed:
        answer = self._records.follow(message, report, decision)
        came_to = _came_to(report, decision) if answer == "applied" else None
        if came_to:
            code = report.refusal.code if report and report.refusal and came_to != "delivered" else None
            self._instruments.followed(message, came_to, code)
        return answer


def _came_to(report: Report | None, decision: AfterDelivery) -> DeliveryCameTo | None:
    if report and report.status in FINAL:
        return "delivered"
    match decision:
        case SendAgain():
            return "retried"
        case GiveUp():
            return "undelivered"
        case Unknown():
            return "unknown"
        case _:
            return None
