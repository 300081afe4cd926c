"""What the provider says of senders: hundreds are asked about in seconds."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeAlias

from smsretry.desk.questions.senders import CheckedSender, SenderRecord
from smsretry.retry.models import Finding, SenderId

SenderCheck: TypeAlias = Callable[[SenderId], list[Finding]]
"""Can a sender send? Asks the provider, and sends nothing."""
_AT_ONCE: Final = 10
"""How many questions are under way."""


def check_senders(records: Sequence[SenderRecord], check: SenderCheck) -> list[CheckedSender]:
    """Each with what the provider says of it, in the same order. One whose address is not known is not asked about."""

    def ask(record: SenderRecord) -> CheckedSender:
        if not (record.account and record.sent_by):
            return CheckedSender(record=record, findings=())
        try:
            findings = check(SenderId(record.account, record.sent_by))
        except Exception as error:  # noqa: BLE001 - of somebody else's code; the others are checked all the same
            findings = [Finding(subject="check", ok=False, advice=f"could not be made ({type(error).__name__})")]
        return CheckedSender(record=record, findings=tuple(findings))

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, records))


def sender_findings(checked: Sequence[CheckedSender]) -> Iterator[Finding]:
    """For the doctor: a line for each trouble of the businesses' own senders, and one for all that are in order."""
    own = [one for one in checked if not one.record.told_at]
    for one in own:
        for finding in one.findings:
            if not finding.ok or finding.advice:
                title, about = one.record.title, finding.subject
                yield finding.model_copy(update={"subject": title if about in title else f"{title}: {about}"})
        if one.record.troubled:
            _, *lines = one.record.lines()
            yield Finding(subject=one.record.title, ok=True, advice="; ".join(line.strip() for line in lines))
    fine = sum(not one.troubled for one in own)
    if fine:
        yield Finding(subject=f"senders of the businesses ({fine} of {len(own)} in order)", ok=True)
