"""The calls about accepted texts: which deliveries are open, and what follows from a report."""

from collections.abc import Collection
from typing import cast, get_args

from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.columns import after_delivery
from smsretry.retry.delivery import AfterDelivery, OpenDelivery, Report
from smsretry.vocabulary import Followed


class SupabaseDeliveries(SupabaseCalls):
    """`ports.DeliveryRecords` over HTTP."""

    def claim_deliveries(self, limit: int, *, without: Collection[str] = ()) -> list[OpenDelivery]:
        values = {"limit_count": self.rows_of_an_answer(limit), "without": sorted(without)}
        function = "claim_sms_deliveries"
        return self.readable(OpenDelivery, function, self.once(function, values))

    def follow(self, message: OpenDelivery, report: Report | None, decision: AfterDelivery) -> Followed:
        fence = {"attempt_id": message.attempt_id, "looks": message.looks}
        answer = self.repeated("finish_sms_delivery", fence | after_delivery(report, decision))
        if answer not in get_args(Followed):
            raise self.not_ours("finish_sms_delivery")
        return cast(Followed, answer)
