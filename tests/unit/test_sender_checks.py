"""Many senders are asked about at once, and the doctor has a line for each trouble."""

from smsretry.doctor.provider import sender_findings
from smsretry.retry.models import Finding, SenderId
from tests.support.builders import ACCOUNT, listed


def fine(_: SenderId) -> list[Finding]:
    """Nothing is wrong."""
    return [Finding(subject="account", ok=True)]


def test_a_question_that_breaks_is_a_finding_of_its_own_sender() -> None:
    """The others are told all the same. No word of the error is, which may quote a number."""

    def check(sender: SenderId) -> list[Finding]:
        if sender.sent_by == "MG2":
            raise ValueError("+12125550100")
        return fine(sender)

    findings = list(sender_findings([listed(number) for number in (1, 2, 3)], check))
    assert [(finding.subject, finding.ok) for finding in findings] == [
        (f"sender MG2 of account {ACCOUNT}", False),
        ("senders (2 of 3 in order)", True),
    ]
    assert "5550100" not in str(findings)


def test_a_sender_that_nobody_uses_any_more_is_not_asked_about() -> None:
    """Such as a default sender that was replaced: its owner may have given it up."""
    given_up = listed(1, businesses=0)

    def refuse(_: SenderId) -> list[Finding]:
        return [Finding(subject="account", ok=False, advice="is closed")]

    [_, last] = sender_findings([given_up, listed(2)], refuse)
    assert last.subject == "senders (1 of 2 in order)"
