"""How rows are claimed: each is read by itself, and one that cannot be read is put aside while the others go on."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.adapters.supabase.columns import after_look
from smsretry.adapters.supabase.rows import Unreadable
from smsretry.errors import QueueError
from smsretry.retry.decision import Hold
from smsretry.retry.doubt import DOUBT_HELD_LOOK
from smsretry.retry.models import Claim, ItemResult

_FENCE: Final = {"id": "retry_id", "claim_no": "claim_no"}
"""Columns of a claim, and the parameters that name it."""


class SupabaseClaims(SupabaseCalls):
    """The calls that claim."""

    def claims(self, function: str, values: Mapping[str, object]) -> list[Claim]:
        """Call a function that claims rows, and return those that can be read.

        Raises:
            QueueMismatch: columns are missing. Code and database are of different versions then, which is no row's
                fault, so all claims are given back.
        """
        return self.claims_and_others(function, values)[0]

    def claims_and_others(self, function: str, values: Mapping[str, object]) -> tuple[list[Claim], list[ItemResult]]:
        """The same, with what came of the rows that cannot be read."""
        rows = self.each_row(Claim, function, values)
        if rows.foreign:
            for row in rows.given:
                self._give_back(row)
            raise self.mismatch(function, rows.foreign)
        return rows.read, [self._put_aside(unreadable) for unreadable in rows.unreadable]

    def _put_aside(self, unreadable: Unreadable) -> ItemResult:
        row, fence = unreadable.row["id"], _fence(unreadable.row)
        try:
            if unreadable.row["in_doubt_since"] is None:
                self.truth(
                    "end_sms_retry", fence | {"final_status": "failed", "error": unreadable.why, "why_code": "bad_row"}
                )
                return ItemResult(retry_id=row, fate="Failed", detail=unreadable.why, why_code="bad_row")
            # It may have gone out: nobody may call it failed but a person.
            why = f"In doubt. {unreadable.why}. Mend it, or say with `smsretry resolve` whether it went out"
            self.repeated("reconcile_sms_retry", fence | after_look(Hold(why, "bad_row", DOUBT_HELD_LOOK)))
            return ItemResult(retry_id=row, fate="Held", detail=why, why_code="bad_row")
        except QueueError:  # then recovery takes it back, and later on it is claimed alone
            why = f"{unreadable.why}. That could not be recorded yet"
            return ItemResult(retry_id=row, fate="GivenBack", detail=why, why_code="bad_row")

    def _give_back(self, row: Mapping[str, Any]) -> None:
        until = row.get("scheduled_for") or row.get("claimed_at")
        if until is None or not row.keys() >= _FENCE.keys():
            return  # recovery takes it back
        with suppress(QueueError):  # likewise
            kept = {column: row.get(column) for column in ("why", "why_code")}
            self.truth("defer_sms_retry", _fence(row) | {"until": until, **kept})


def _fence(row: Mapping[str, Any]) -> dict[str, object]:
    return {parameter: row[column] for column, parameter in _FENCE.items()}
