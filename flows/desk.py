"""The desk in Prefect's UI: each of its commands is a flow, and the run shows the answer as its name and artifact.

Most commands have a form. The forms and their words are in `smsretry.desk.actions`. The command line and SQL give the
same answers.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from inspect import Parameter, Signature
from typing import Any, Final

from prefect import Flow, flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from smsretry.desk.actions.commands import DESK_COMMANDS, help_of
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Preview, Prune, Report
from smsretry.desk.pages.markdown import markdown
from smsretry.desk.questions.answers import Answer, Done, Examination
from smsretry.doctor import examine
from smsretry.wiring import desk_for

from .support.forms import FORM, check_parameters, form_union
from .support.results import with_result
from .support.show import form_addresses, rename

_OPTIONS: Final[dict[str, Any]] = {
    "persist_result": False,
    "validate_parameters": False,
}
_FORM_HELP: Final = "\n\nArgs:\n    ask: What is asked or ordered."


def _desk_flow(command: str, default: Any = Parameter.empty) -> Flow[..., State[Any]]:
    """The flow of a desk command.

    Args:
        default: the form's content where nothing is filled in.
    """
    forms = DESK_COMMANDS[command]
    deployment = f"sms-{command}"
    first_form, *alternatives = forms.values()

    def answer_request(ask: Form | None = None) -> State[Any]:
        request = ask or first_form()
        with desk_for(request) as connected:
            return _show_answer(connected.answer(request), deployment)

    answer_request.__name__ = answer_request.__qualname__ = deployment.replace("-", "_")
    answer_request.__doc__ = help_of(command)
    parameters = list[Parameter]()
    if first_form.model_fields:
        answer_request.__doc__ += _FORM_HELP
        parameter = Parameter(
            FORM,
            Parameter.POSITIONAL_OR_KEYWORD,
            annotation=form_union(forms) if alternatives else first_form,
            default=default,
        )
        parameters.append(parameter)
    answer_request.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    checked: Callable[..., State[Any]] = check_parameters(
        answer_request, forms if alternatives else None
    )
    return flow(name=deployment, **_OPTIONS)(checked)


def _show_answer(answer: Answer, key: str) -> State[Any]:
    """Show an answer as the run's name, message, log (with which its page opens), artifact and result."""
    headline, *lines = answer.lines()
    rename(answer.name)
    get_run_logger().info("\n".join((headline, *lines)))
    create_markdown_artifact(
        markdown(answer.tell(), form_addresses()), key=key, description=headline
    )
    result = {"name": answer.name, "message": headline, "lines": (headline, *lines)}
    # The run is red, because whoever gave the order believes that it was carried out.
    if isinstance(answer, Done) and answer.fails and not answer.form.changes_nothing:
        return with_result(Failed(name="NothingChanged", message=headline), result)
    return with_result(Completed(message=headline), result)


sms_status = _desk_flow("status")
sms_unread = _desk_flow("unread")
sms_explain = _desk_flow("explain")
sms_texts = _desk_flow("texts")
sms_preview = _desk_flow("preview", Preview())
sms_report = _desk_flow("report", Report())
sms_senders = _desk_flow("senders", {"list": {}})
sms_consent = _desk_flow("consent")
sms_stop = _desk_flow("stop")
sms_prune = _desk_flow("prune", Prune(dry_run=False))


@flow(name="sms-doctor", **_OPTIONS)
@check_parameters
def sms_doctor() -> State[Any]:
    """Is everything in place? Settings, database, queue, provider, Prefect. Changes and sends nothing."""
    return _show_answer(
        Examination(findings=tuple(examine(now=_now, environment=os.environ))),
        "sms-doctor",
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - compared with other clocks; no text is due, stale or expired by it
