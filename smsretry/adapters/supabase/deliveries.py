"""The calls about accepted texts: which deliveries are open, and what follows from a report."""

from collections.abc import Collection
from typing import assert_never, cast, get_args

from smsretry.adapters.supabase.calls import SupabaseCalls, interval
from smsretry.retry.decision import GiveUp, LookAgain
from smsretry.retry.delivery import (
    FAILURES,
    FIRST_LOOK,
    GIVEN_UP_LOOK,
    AfterDelivery,
    Close,
    OpenDelivery,
    Report,
    SendAgain,
    Unknown,
    look_before,
)
from smsretry.vocabulary import Followed


class SupabaseDeliveries(SupabaseCalls):
    """`ports.DeliveryRecords` over HTTP."""

    def claim_deliveries(self, limit: int, *, without: Collection[str] = ()) -> list[OpenDelivery]:
        values = {
            "limit_count": self.rows_of_an_answer(limit),
            "first_look": interval(FIRST_LOOK),
            "without": sorted(without),
        }
        function = "claim_sms_deliveries"
        return self.readable(OpenDelivery, function, self.once(function, values))

    def follow(self, message: OpenDelivery, report: Report | None, decision: AfterDelivery) -> Followed:
        fence = {"attempt_id": message.attempt_id, "looks": message.looks}
        answer = self.repeated("finish_sms_delivery", fence | _reported(report) | _decided(decision))
        if answer not in get_args(Followed):
            raise self.not_ours("finish_sms_delivery")
        return cast(Followed, answer)

    def slow_down(self, sender: str, seconds: float) -> None:
        self.repeated("slow_sms_sender", {"sender": sender, "seconds": seconds})


def _reported(report: Report | None) -> dict[str, object]:
    if report is None:
        return {}
    code = report.refusal.code if report.refusal else None
    return {"delivery_status": report.status, "error_code": code if report.status in FAILURES else None}


def _decided(decision: AfterDelivery) -> dict[str, object]:
    match decision:
        case LookAgain(after):
            return {"decision": "look_again", "look_in": interval(after)}
        case Close():
            return {"decision": "close"}
        case Unknown():
            return {"decision": "unknown"}
        case SendAgain(delay, why, why_code, counted, held):
            look_in = interval(look_before(delay))
            values = {"retry_in": interval(delay), "look_in": look_in, "error": why, "why_code": why_code}
            return {"decision": "send_again", "counted": counted, "held": held, **values}
        case GiveUp(why, code, _, opted_out, phone_status):
            number: dict[str, object] = {"opted_out": opted_out, "phone_status": phone_status}
            values = {"look_in": interval(GIVEN_UP_LOOK), "error": why, "why_code": code}
            return {"decision": "give_up", **number, **values}
        case _:
            assert_never(decision)
