"""From what a person can do about a text to the form that does it, filled in but for who asks and why."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from smsretry.desk.pages.markdown import link, linked
from smsretry.desk.questions.explanation import LEVERS, Story

Forms: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""Where a form is, by its deployment's name, with these values in it; None: nobody knows."""

EXPLAIN: Final = "explain-sms"
REQUEUE: Final = "requeue-failed-sms"
CANCEL: Final = "cancel-sms-retries"
RESOLVE: Final = "resolve-sms-doubt"
RUN: Final = "process-sms-retries"
"""The deployments that a page leads to."""


def no_forms(_name: str, _values: Mapping[str, Any]) -> None:
    """Where no form can be reached."""


def levers(story: Story, forms: Forms) -> list[str]:
    """What a person can do about a text, as markdown; what a form does leads to the form."""
    row = str(story.text.retry_id)
    one_text = {"retry_ids": [row], "dry_run": False}
    filled_in: dict[str, tuple[str, dict[str, Any]]] = {
        "requeue_failed_sms": (REQUEUE, one_text),
        "cancel_sms_retries": (CANCEL, one_text),
        "resolve_sms_doubt": (RESOLVE, {"retry_id": row}),
    }
    forms_of = {LEVERS[call]: filled_in[call] for call in story.text.can}

    def lever(line: str) -> str:
        if line not in forms_of:
            return linked(line)
        form, ask = forms_of[line]
        return link(line, forms(form, {"ask": ask}))

    return [lever(line) for line in story.can_do]
