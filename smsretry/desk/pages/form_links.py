"""Links to the forms that do what a person can do about a text, filled in except for who and why."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from smsretry.desk.questions.explanation import Explanation

FormAddress: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""The address of a form, by its deployment's name, with these values in it; None if it is not known."""

EXPLAIN: Final = "explain-sms"
REQUEUE: Final = "requeue-failed-sms"
CANCEL: Final = "cancel-sms-retries"
LOOK_AGAIN: Final = "look-again-sms"
AFTER_RESTORE: Final = "sms-after-restore"
RUN: Final = "process-sms-retries"
"""The deployments that a page leads to."""


def no_forms(_name: str, _values: Mapping[str, Any]) -> None:
    """Knows no form's address."""


def action_links(explanation: Explanation, forms: FormAddress) -> dict[str, str]:
    """The address of the form for each action on a text. Actions whose form is not known are left out."""
    addresses = {lever.words: forms(lever.form, {"ask": lever.ask}) for lever in explanation.levers if lever.form}
    return {words: address for words, address in addresses.items() if address}
