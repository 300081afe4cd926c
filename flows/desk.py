"""The desk in Prefect's UI: a question or an order is a form, its answer the run's name, message and artifact.

The command line and SQL give the same answers; their words are in `smsretry.desk`.
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.sorting import FlowRunSort

from smsretry.desk.actions.requests import (
    AfterRestore,
    Cancel,
    LookAgain,
    Preview,
    Prune,
    RecordConsent,
    Requeue,
    Resolve,
    WhichText,
)
from smsretry.desk.actions.senders import AddSender, PauseSender, RemoveSender, ResumeSender, WhichSenders
from smsretry.desk.actions.states import LiftState, StopState
from smsretry.desk.desk import Desk
from smsretry.desk.pages.answers import (
    Page,
    change_page,
    consent_page,
    explanation_page,
    preview_page,
    prune_page,
    resolve_page,
    sender_page,
    senders_page,
    state_page,
    status_page,
)
from smsretry.desk.pages.doctor_page import doctor_page
from smsretry.doctor import examine
from smsretry.instants import on_clock
from smsretry.wiring import desk, reading_desk

from .support.forms import form
from .support.results import with_result
from .support.run_display import form_addresses, show_answer, waiting

_DAY_AHEAD: Final = Preview()
_KEEP: Final = Prune()
_ALL: Final = WhichSenders()
_DESK_FLOW: dict[str, Any] = {"persist_result": False, "validate_parameters": False}


def _shown(page: Page, key: str) -> State[Page]:
    return with_result(show_answer(page, key=key), page)


def _answer(key: str, page: Callable[[Desk], Page]) -> State[Page]:
    with desk(patience=waiting()) as connected:
        return _shown(page(connected), key)


def _tell(key: str, page: Callable[[Desk], Page]) -> State[Page]:
    """The answer to a question. It needs neither Twilio's settings nor a key that can write."""
    with reading_desk() as connected:
        return _shown(page(connected), key)


@flow(name="explain-sms", **_DESK_FLOW)
@form
def explain_sms(ask: WhichText) -> State[Page]:
    """What happened to a text, why, what comes next, and what you can do.

    Args:
        ask: Which text: by any id, or by its last digits within a business.
    """
    return _tell("explain-sms", lambda desk: explanation_page(desk.find(ask), form_addresses()))


@flow(name="sms-status", **_DESK_FLOW)
@form
def sms_status() -> State[Page]:
    """What waits and until when, what is held, failed or stopped, and the last runs."""
    return _tell("sms-status", lambda desk: status_page(desk.status()))


@flow(name="preview-sms-retries", **_DESK_FLOW)
@form
def preview_sms_retries(ask: Preview = _DAY_AHEAD) -> State[Page]:
    """What goes out in the next hours, what does not, and why. Changes nothing.

    Args:
        ask: How far ahead, and whose texts.
    """
    return _tell("preview-sms-retries", lambda desk: preview_page(desk.preview(ask)))


@flow(name="requeue-failed-sms", **_DESK_FLOW)
@form
def requeue_failed_sms(ask: Requeue) -> State[Page]:
    """Put texts that failed back into the queue, due at once. Every check is made again. By default only a trial.

    Args:
        ask: Which texts, who orders it, and why.
    """
    return _answer("requeue-failed-sms", lambda desk: change_page(desk.order(ask), ask, form_addresses()))


@flow(name="cancel-sms-retries", **_DESK_FLOW)
@form
def cancel_sms_retries(ask: Cancel) -> State[Page]:
    """End texts that wait. What the customer may have already is left alone. By default only a trial.

    Args:
        ask: Which texts, who orders it, and why.
    """
    return _answer("cancel-sms-retries", lambda desk: change_page(desk.order(ask), ask, form_addresses()))


@flow(name="look-again-sms", **_DESK_FLOW)
@form
def look_again_sms(ask: LookAgain) -> State[Page]:
    """Have texts looked at now that wait for something which is fixed. By default only a trial.

    Args:
        ask: Which texts, who orders it, and why.
    """
    return _answer("look-again-sms", lambda desk: change_page(desk.order(ask), ask, form_addresses()))


@flow(name="record-sms-consent", **_DESK_FLOW)
@form
def record_sms_consent(ask: RecordConsent) -> State[Page]:
    """Record that a customer said yes or stop, by telephone or letter. A stop ends the texts that wait for them.

    Args:
        ask: Which customer, what they said and how, who records it, and why.
    """
    return _answer("record-sms-consent", lambda desk: consent_page(desk.record_consent(ask), ask, form_addresses()))


@flow(name="resolve-sms-doubt", **_DESK_FLOW)
@form
def resolve_sms_doubt(ask: Resolve) -> State[Page]:
    """Say what became of a text in doubt: it went out, or it is to be sent again.

    Args:
        ask: Which text, and what you found.
    """
    return _answer("resolve-sms-doubt", lambda desk: resolve_page(desk.resolve(ask), ask))


@flow(name="sms-after-restore", **_DESK_FLOW)
@form
def sms_after_restore(ask: AfterRestore) -> State[Page]:
    """After a restore, before any run: put in doubt what may have gone out since the backup. By default only a trial.

    Args:
        ask: When the backup was taken, who orders it, and why.
    """
    return _answer("sms-after-restore", lambda desk: change_page(desk.order(ask), ask, form_addresses()))


@flow(name="stop-sms-to-state", **_DESK_FLOW)
@form
def stop_sms_to_state(ask: StopState) -> State[Page]:
    """Let no marketing text go to a US state, from the next run on, until the stop is lifted.

    Args:
        ask: Which state, and the declared emergency.
    """
    return _answer("stop-sms-to-state", lambda desk: state_page(desk.order_state(ask)))


@flow(name="lift-sms-stop", **_DESK_FLOW)
@form
def lift_sms_stop(ask: LiftState) -> State[Page]:
    """Let marketing texts go to a US state again. Those that waited go out within 15 minutes, at a permitted hour.

    Args:
        ask: Which state.
    """
    return _answer("lift-sms-stop", lambda desk: state_page(desk.order_state(ask)))


@flow(name="sms-doctor", **_DESK_FLOW)
@form
def sms_doctor() -> State[Page]:
    """Is everything in place? Settings, database, queue, provider, Prefect. Changes and sends nothing."""
    findings = examine(now=_now, environment=os.environ)
    return _shown(doctor_page(list(findings)), "sms-doctor")


@flow(name="sms-senders", **_DESK_FLOW)
@form
def sms_senders(ask: WhichSenders = _ALL) -> State[Page]:
    """Who texts for whom, what waits for each sender, and which of them need somebody. Changes nothing.

    Args:
        ask: Whose senders, and whether the provider is asked about them.
    """
    answer = _answer if ask.check else _tell
    return answer("sms-senders", lambda desk: senders_page(desk.senders(ask)))


@flow(name="add-sms-sender", **_DESK_FLOW)
@form
def add_sms_sender(ask: AddSender) -> State[Page]:
    """Give a business a sender of its own, once the provider says that it can send.

    Args:
        ask: Whose, which sender, who orders it, and why.
    """
    return _answer("add-sms-sender", lambda desk: sender_page(desk.add_sender(ask), "added", ask))


@flow(name="pause-sms-sender", **_DESK_FLOW)
@form
def pause_sms_sender(ask: PauseSender) -> State[Page]:
    """Let a sender's texts wait, visibly, until it is resumed.

    Args:
        ask: Which sender, who orders it, and why.
    """
    return _answer("pause-sms-sender", lambda desk: sender_page(desk.order_sender(ask), "paused", ask))


@flow(name="resume-sms-sender", **_DESK_FLOW)
@form
def resume_sms_sender(ask: ResumeSender) -> State[Page]:
    """Let a sender send again, because what was wrong is mended. Its texts that waited are due at once.

    Args:
        ask: Which sender, who orders it, and why.
    """
    return _answer("resume-sms-sender", lambda desk: sender_page(desk.order_sender(ask), "resumed", ask))


@flow(name="remove-sms-sender", **_DESK_FLOW)
@form
def remove_sms_sender(ask: RemoveSender) -> State[Page]:
    """Let a business's texts go out from the sender of the environment again.

    Args:
        ask: Whose sender, who orders it, and why.
    """
    return _answer("remove-sms-sender", lambda desk: sender_page(desk.order_sender(ask), "removed", ask))


@flow(name="prune-sms-history", **_DESK_FLOW)
@form
def prune_sms_history(ask: Prune = _KEEP) -> State[Page]:
    """Delete what ended long ago: texts, their attempts, and the record of runs.

    Args:
        ask: How many days to keep.
    """
    return _answer("prune-sms-history", lambda desk: prune_page(desk.prune(ask), ask, prefect=_kept_by_prefect()))


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251 - compared with other clocks; no text is due, stale or expired by it


def _kept_by_prefect() -> str:
    """What Prefect's own database holds."""
    client = get_client(sync_client=True)
    oldest = client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_ASC, limit=1)
    began = next((run.expected_start_time for run in oldest), None)
    since = f", the oldest of {on_clock(began)}" if began else ""
    return f"{client.count_flow_runs()} flow runs{since}"
