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
RUN: Final = "process-sms-retries"
"""The deployments that a page leads to."""


def no_forms(_name: str, _values: Mapping[str, Any]) -> None:
    """Knows no form's address."""


def action_links(explanation: Explanation, forms: FormAddress) -> dict[str, str]:
    """The address of the form for each action on a text. Actions whose form is not known are left out."""
    row = str(explanation.text.retry_id)
    one_text = {"retry_ids": [row], "dry_run": False}
    filled_in: dict[str, tuple[str, dict[str, Any]]] = {
        "requeue_failed_sms": (REQUEUE, one_text),
        "cancel_sms_retries": (CANCEL, one_text),
        "resolve_sms_doubt": (RESOLVE, {"retry_id": row}),
    }
    addresses = {ACTIONS[call]: forms(filled_in[call][0], {"ask": filled_in[call][1]}) for call in explanation.text.can}
    return {action: address for action, address in addresses.items() if address}
