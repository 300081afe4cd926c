"""The desk in Prefect's UI: each of its commands is a flow with a form, and its answer is the run's name and artifact.

The forms and their words are in `smsretry.desk.actions`; the command line and SQL give the same answers.
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
from smsretry.desk.actions.requests import EndDeactivated, Preview, Prune
from smsretry.desk.pages.markdown import markdown
from smsretry.desk.questions.answers import Answer, Done, Examination
from smsretry.doctor import examine
from smsretry.wiring import desk_for

from .support.forms import FORM, form, one_of
from .support.results import with_result
from .support.show import form_addresses, rename

_DESK_FLOW: Final[dict[str, Any]] = {
    "persist_result": False,
    "validate_parameters": False,
}
_WHAT_FOR: Final = "\n\nArgs:\n    ask: What is asked or ordered."


def _flow_of(name: str, default: Any = Parameter.empty) -> Flow[..., State[Any]]:
    """The flow of a desk command, with its forms for parameters, and their default where nothing is filled in."""
    forms, deployment = DESK_COMMANDS[name], f"sms-{name}"
    usual, *alternatives = forms.values()
    asks = bool(usual.model_fields)

    def answer_request(ask: Form | None = None) -> State[Any]:
        request = ask or usual()
        with desk_for(request) as connected:
            return _show_answer(connected.answer(request), deployment)

    kind = one_of(forms) if alternatives else usual
    parameter = Parameter(
        FORM, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default
    )
    answer_request.__name__ = answer_request.__qualname__ = deployment.replace("-", "_")
    answer_request.__doc__ = help_of(name) + (_WHAT_FOR if asks else "")
    answer_request.__signature__ = Signature([parameter] if asks else [])  # type: ignore[attr-defined]
    checked: Callable[..., State[Any]] = form(
        answer_request, forms if alternatives else None
    )
    return flow(name=deployment, **_DESK_FLOW)(checked)


def _show_answer(answer: Answer, key: str) -> State[Any]:
    """An answer: the run's name, message, log (what its page opens with), artifact and result."""
    headline, *lines = answer.lines()
    rename(answer.name)
    get_run_logger().info("\n".join((headline, *lines)))
    create_markdown_artifact(
        markdown(answer.tell(), form_addresses()), key=key, description=headline
    )
    result = {"name": answer.name, "message": headline, "lines": (headline, *lines)}
    # Whoever gave the order believes that it was carried out.
    if isinstance(answer, Done) and answer.fails and not answer.form.changes_nothing:
        return with_result(Failed(name="NothingChanged", message=headline), result)
    return with_result(Completed(message=headline), result)


sms_status = _flow_of("status")
sms_unread = _flow_of("unread")
sms_explain = _flow_of("explain")
sms_texts = _flow_of("texts")
sms_preview = _flow_of("preview", Preview())
sms_senders = _flow_of("senders", {"list": {}})
sms_consent = _flow_of("consent")
sms_stop = _flow_of("stop")
sms_prune = _flow_of("prune", Prune(dry_run=False))
sms_deactivated = _flow_of("deactivated", EndDeactivated(dry_run=False))


@flow(name="sms-doctor", **_DESK_FLOW)
@form
def sms_doctor() -> State[Any]:
    """Is everything in place? Settings, database, queue, provider, Prefect. Changes and sends nothing."""
    return _show_answer(
        Examination(findings=tuple(examine(now=_now, environment=os.environ))),
        "sms-doctor",
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - compared with other clocks; no text is due, stale or expired by it
