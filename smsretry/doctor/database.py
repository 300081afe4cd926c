"""The database, part by part: a part that cannot be examined hides no other."""

from collections.abc import Iterator
from itertools import chain

from smsretry.adapters.supabase.examining import ROWS_OF_AN_ANSWER, SupabaseExaminer
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.doctor.queue import queue_findings
from smsretry.errors import QueueError, QueueMismatch
from smsretry.retry.models import Finding


def database_findings(database: SupabaseExaminer) -> Iterator[Finding]:
    """What decides about the other lines comes first: the connection, and whether answers are cut off.

    Trouble that several parts meet alike is told once.
    """
    told = set[str]()
    try:
        first = database.check_longest_answer()
    except QueueMismatch as error:
        first = [Finding(subject=ROWS_OF_AN_ANSWER, ok=False, advice=str(error))]
    except QueueError as error:
        yield Finding(subject="Supabase", ok=False, advice=str(error))
        return
    yield from chain([Finding(subject="Supabase connection and key", ok=True)], first)
    for subject, ask in (
        ("functions and tables", database.check_objects),
        ("access", database.check_access),
        ("reminders", database.check_reminders),
        ("shapes of the application's tables", database.check_shapes),
        ("rehearsal of queue, claim, begin and finish", database.rehearse),
        ("state of the queue", lambda: queue_findings(QueueStatus.of(database.whole_status()))),
    ):
        try:
            yield from ask()
        except QueueError as error:
            if str(error) not in told:
                yield Finding(subject=subject, ok=False, advice=str(error))
            told.add(str(error))
