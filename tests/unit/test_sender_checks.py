"""Many senders are asked about at once, and the doctor has a line for each trouble."""

from uuid import UUID

from smsretry.desk.questions.senders import SenderRecord
from smsretry.doctor.provider import sender_findings
from smsretry.retry.models import Finding, SenderId
from tests.support.builders import ACCOUNT, NOON


def record(number: int, **values: object) -> SenderRecord:
    """A sender that is in order."""
    blank: dict[str, object] = dict.fromkeys(SenderRecord.model_fields)
    known = {
        "sender_id": UUID(int=number), "account": ACCOUNT, "sender": f"MG{number}", "sent_by": f"MG{number}",
        "day_ends_at": NOON, "businesses": 1, "due": 0, "waiting": 0, "held": 0,
        "used_by": (),
    }  # fmt: skip
    return SenderRecord.model_validate({**blank, **known, **values})


def fine(_: SenderId) -> list[Finding]:
    """Nothing is wrong."""
    return [Finding(subject="account", ok=True)]


def test_a_question_that_breaks_is_a_finding_of_its_own_sender() -> None:
    """The others are told all the same. No word of the error is, which may quote a number."""

    def check(sender: SenderId) -> list[Finding]:
        if sender.sent_by == "MG2":
            raise ValueError("+12125550100")
        return fine(sender)

    findings = list(sender_findings([record(number) for number in (1, 2, 3)], check))
    assert [(finding.subject, finding.ok) for finding in findings] == [
        (f"sender MG2 of account {ACCOUNT}", False),
        ("senders (2 of 3 in order)", True),
    ]
    assert "5550100" not in str(findings)
