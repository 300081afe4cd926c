"""The desk in Prefect's UI: a question or an order is a form, its answer the run's name, message and artifact.

The same answers are had from the command line and in SQL; `smsretry.desk` has the words of all three.
"""

from collections.abc import Callable
from typing import Any, Final

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import FlowRunSort

from flows.support.form_pages import form_pages
from flows.support.forms import form
from flows.support.run_display import answered
from smsretry.desk.actions.requests import Cancel, Preview, Prune, Requeue, Resolve, WhichText
from smsretry.desk.desk import Desk
from smsretry.desk.pages import answers as pages
from smsretry.wiring import desk

_DAY_AHEAD: Final = Preview()
_KEEP: Final = Prune()
_PLAIN: dict[str, Any] = {"persist_result": False, "validate_parameters": False}


def _answer(key: str, ask: Callable[[Desk], pages.Page]) -> State[None]:
    with desk() as at_desk:
        return answered(ask(at_desk), key=key)


@flow(name="explain-sms", **_PLAIN)
@form
def explain_sms(ask: WhichText) -> State[None]:
    """What happened to a text, why, what comes next, and what you can do.

    Args:
        ask: Which text: by customer, send log or row, or by its last digits within a business.
    """
    return _answer("explain-sms", lambda at: pages.explained(at.explain(ask), form_pages()))


@flow(name="sms-status", **_PLAIN)
@form
def sms_status() -> State[None]:
    """What waits and until when, what is held, failed or stopped, and the last runs."""
    return _answer("sms-status", lambda at: pages.standing(at.status()))


@flow(name="preview-sms-retries", **_PLAIN)
@form
def preview_sms_retries(ask: Preview = _DAY_AHEAD) -> State[None]:
    """What goes out in the next hours, what does not, and why. Changes nothing.

    Args:
        ask: How far ahead, and whose texts.
    """
    return _answer("preview-sms-retries", lambda at: pages.previewed(at.preview(ask)))


@flow(name="requeue-failed-sms", **_PLAIN)
@form
def requeue_failed_sms(ask: Requeue) -> State[None]:
    """Put texts that failed back into the queue, due at once. Every check is made again. Only tries, unless told to.

    Args:
        ask: Which texts, and who asks why.
    """
    return _answer("requeue-failed-sms", lambda at: pages.changed(at.requeue(ask), ask, form_pages()))


@flow(name="cancel-sms-retries", **_PLAIN)
@form
def cancel_sms_retries(ask: Cancel) -> State[None]:
    """End texts that wait. What may be with the customer already is left alone. Only tries, unless told to.

    Args:
        ask: Which texts, and who asks why.
    """
    return _answer("cancel-sms-retries", lambda at: pages.changed(at.cancel(ask), ask, form_pages()))


@flow(name="resolve-sms-doubt", **_PLAIN)
@form
def resolve_sms_doubt(ask: Resolve) -> State[None]:
    """Say what became of a text in doubt: it went out, or it is to be sent again.

    Args:
        ask: Which text, and what you found.
    """
    return _answer("resolve-sms-doubt", lambda at: pages.resolved(at.resolve(ask), ask))


@flow(name="prune-sms-history", **_PLAIN)
@form
def prune_sms_history(ask: Prune = _KEEP) -> State[None]:
    """Delete what ended long ago: texts, their attempts, and the record of runs.

    Args:
        ask: How many days to keep.
    """
    return _answer(
        "prune-sms-history",
        lambda at: pages.pruned(at.prune(ask), keep_days=ask.keep_days, prefect=_kept_by_prefect()),
    )


def _kept_by_prefect() -> list[str]:
    """What Prefect's own database holds: its settings delete it, and not this flow."""
    client = get_client(sync_client=True)
    oldest = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1)
    began = next((run.expected_start_time for run in oldest), None)
    since = f", the oldest of {began:%Y-%m-%d %H:%M} UTC" if began else ""
    return [f"{client.count_flow_runs()} flow runs{since}"]
