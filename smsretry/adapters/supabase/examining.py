"""What `smsretry doctor` asks of the database besides its state."""

from typing import Final

from smsretry.adapters.migrations.checksums import findings
from smsretry.adapters.supabase.advice import QUESTION
from smsretry.adapters.supabase.calls import SupabaseCalls
from smsretry.retry.models import Finding
from smsretry.vocabulary import SendTo

ROWS_OF_AN_ANSWER: Final = "rows of an answer"
_MORE_ROWS: Final = "set Max rows (Supabase: Project Settings, Data API; PostgREST: db-max-rows) to 1000"


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
        function = "examine_sms_retries"
        answer = self.once(function, {}, QUESTION)
        if not isinstance(answer, dict):
            raise self.not_ours(function)
        return list(findings(answer))

    def rehearse(self, send_to: SendTo) -> list[Finding]:
        """Rehearse a text in the database, roll all of it back, and compare such a worker with the database's mark."""
        return self.rows(Finding, "try_sms_retry_queue", {"send_to": send_to, "address": self.address}, QUESTION)
