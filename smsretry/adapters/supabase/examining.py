"""What `smsretry doctor` asks of the database, part by part. Each answer is one value, which no max-rows cuts off."""

from collections.abc import Mapping
from typing import Any, Final, Literal

from smsretry.adapters.migrations.checksums import Checksum, findings
from smsretry.adapters.migrations.shapes import Part, misfits
from smsretry.adapters.supabase.advice import QUESTION
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.desk.questions.queue_status import StatusLine
from smsretry.retry.models import Finding

ROWS_OF_AN_ANSWER: Final = "rows of an answer"
_MORE_ROWS: Final = "set Max rows (Supabase: Project Settings, Data API; PostgREST: db-max-rows) to 1000"
_Part = Literal["objects", "shapes", "access", "reminders", "rehearsal", "status"]
_EXAMINE: Final = "examine_sms_retries"


class SupabaseExaminer(SupabaseCalls):
    """The doctor's questions."""

    def check_longest_answer(self) -> list[Finding]:
        """Whether an answer holds as many rows as one claim may take. Rows that are cut off wait out their lease."""
        answer = self.repeated("count_sms_answer", {}, QUESTION)
        if not isinstance(answer, list) or not answer:
            raise self.not_ours("count_sms_answer")
        most, wanted = len(answer), int(self.number("count_sms_answer", answer[0]))
        advice = (
            f"answers are cut off after {most} rows, and the rest of a larger claim waits to be recovered: "
            f"{_MORE_ROWS}, or process with a limit of at most {most}"
        )
        return [Finding(subject=ROWS_OF_AN_ANSWER, ok=most >= wanted, advice=None if most >= wanted else advice)]

    def check_objects(self) -> list[Finding]:
        """Whether everything that smsretry defines is as this version has it, and what restores it."""
        found = self.many(Checksum, _EXAMINE, self._examined("objects"))
        return list(findings({one.object: one.md5 for one in found}))

    def check_access(self) -> list[Finding]:
        """What the roles of a request may do, and row level security of the application's tables."""
        return self._findings("access")

    def check_reminders(self) -> list[Finding]:
        """What somebody may have meant, or may have stopped and forgotten."""
        return self._findings("reminders")

    def check_shapes(self) -> list[Finding]:
        """Whether the tables that the application and smsretry share are still as smsretry needs them."""
        parts = self.many(Part, _EXAMINE, self._examined("shapes"))
        found = [Finding(subject=misfit.where, ok=False, advice=misfit.what) for misfit in misfits(parts)]
        return found or [Finding(subject="shapes of the application's tables", ok=True)]

    def rehearse(self) -> list[Finding]:
        """Queue, claim, begin and finish sample texts in the database, and roll all of it back."""
        return self._findings("rehearsal")

    def whole_status(self) -> list[StatusLine]:
        """As `status`, however few rows an answer may have."""
        return self.told_in(StatusLine, _EXAMINE, self._examined("status"))

    def _findings(self, part: _Part) -> list[Finding]:
        return self.many(Finding, _EXAMINE, self._examined(part))

    def _examined(self, part: _Part) -> list[Mapping[str, Any]]:
        answer = self.once(_EXAMINE, {"part": part}, QUESTION)
        if not isinstance(answer, list):
            raise self.not_ours(_EXAMINE)
        return answer
