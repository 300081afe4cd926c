"""The desk in Prefect's UI: each door is a flow with a form, its answer the run's name, message and artifact.

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

from smsretry.desk.actions.doors import DOORS, help_of
from smsretry.desk.actions.form import Form
from smsretry.desk.actions.requests import Preview, Prune
from smsretry.desk.pages.markdown import markdown
from smsretry.desk.questions.answers import Answer, Done, Examined
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
    """The flow of a door, with its forms for parameters, and what they are where nothing is filled in."""
    forms, deployment = DOORS[name], f"sms-{name}"
    usual, *others = forms.values()
    asks = bool(usual.model_fields)

    def at_door(ask: Form | None = None) -> State[Any]:
        asked = ask or usual()
        with desk_for(asked) as connected:
            return _shown(connected.answer(asked), deployment)

    kind = one_of(forms) if others else usual
    parameter = Parameter(
        FORM, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind, default=default
    )
    at_door.__name__ = at_door.__qualname__ = deployment.replace("-", "_")
    at_door.__doc__ = help_of(name) + (_WHAT_FOR if asks else "")
    at_door.__signature__ = Signature([parameter] if asks else [])  # type: ignore[attr-defined]
    checked: Callable[..., State[Any]] = form(at_door, forms if others else None)
    return flow(name=deployment, **_DESK_FLOW)(checked)


def _shown(answer: Answer, key: str) -> State[Any]:
    """An answer: the run's name, message, log (what its page opens with), artifact and result."""
    headline, *lines = answer.lines()
    rename(answer.name)
    get_run_logger().info("\n".join((headline, *lines)))
    create_markdown_artifact(
        markdown(answer.tell(), form_addresses()), key=key, description=headline
    )
    told = {"name": answer.name, "message": headline, "lines": (headline, *lines)}
    # Whoever gave the order believes that it was carried out.
    if isinstance(answer, Done) and answer.fails and not answer.asked.is_question:
        return with_result(Failed(name="NothingChanged", message=headline), told)
    return with_result(Completed(message=headline), told)


sms_status = _flow_of("status")
sms_unread = _flow_of("unread")
sms_explain = _flow_of("explain")
sms_texts = _flow_of("texts")
sms_preview = _flow_of("preview", Preview())
sms_senders = _flow_of("senders", {"list": {}})
sms_consent = _flow_of("consent")
sms_stop = _flow_of("stop")
sms_prune = _flow_of("prune", Prune(dry_run=False))


@flow(name="sms-doctor", **_DESK_FLOW)
@form
def sms_doctor() -> State[Any]:
    """Is everything in place? Settings, database, queue, provider, Prefect. Changes and sends nothing."""
    return _shown(
        Examined(findings=tuple(examine(now=_now, environment=os.environ))),
        "sms-doctor",
    )


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - compared with other clocks; no text is due, stale or expired by it
