"""Links to the forms that do what a person can do about a text, filled in except for who and why."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from smsretry.desk.questions.explanation import ACTIONS, Explanation

FormAddress: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""The address of a form, by its deployment's name, with these values in it; None if it is not known."""

EXPLAIN: Final = "explain-sms"
REQUEUE: Final = "requeue-failed-sms"
CANCEL: Final = "cancel-sms-retries"
RESOLVE: Final = "resolve-sms-doubt"
RESUME: Final = "resume-sms-sender"
RUN: Final = "process-sms-retries"
"""The deployments that a page leads to."""


def no_forms(_name: str, _values: Mapping[str, Any]) -> None:
    """Knows no form's address."""


def action_links(explanation: Explanation, forms: FormAddress) -> dict[str, str]:
    """The address of the form for each action on a text. Actions whose form is not known are left out."""
    row = str(explanation.text.retry_id)
    links = dict[str, str]()
    for call in explanation.text.can:
        ask = {"retry_id": row} if call == "resolve_sms_doubt" else {"retry_ids": [row], "dry_run": False}
        if address := forms(call.replace("_", "-"), {"ask": ask}):
            links[ACTIONS[call]] = address
    sender = explanation.text.sender_name
    if sender and explanation.sender_lever and (address := forms(RESUME, {"ask": {"sender": sender}})):
        links[explanation.sender_lever] = address
    return links
