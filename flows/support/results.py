"""What a text, a slice of texts, a run and a form came to, kept where Prefect's API finds it: `state.result()`.

It is plain JSON without phone numbers or bodies, so whoever reads it needs Prefect and nothing of ours. Prefect's own
`persist_result` stays off, for three reasons: it would store a pickle, or the names of our classes; it knows
no retention; and it waits for a storage that is away. Here the outcome stands whatever becomes of its result.

A state that carries a stored `ResultRecord` is told to the API as it is: `prefect.states.return_value_to_state`.
"""

import re
import shutil
from collections.abc import Callable
from contextvars import copy_context
from datetime import datetime, timedelta
from functools import singledispatch
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final
from uuid import UUID, uuid4

from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem
from prefect.logging import get_run_logger
from prefect.results import ResultStore, get_result_store
from prefect.serializers import JSONSerializer

from smsretry.desk.pages.answers import Page
from smsretry.desk.pages.outcomes import ProcessedText, result_of
from smsretry.retry.models import Value
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import DeliverySummary

from .run_display import this_run

FOLDER: Final = "sms-results"
"""Within the storage: a folder a day, and a folder an hour for idle runs."""
KEPT: Final = timedelta(days=15)
"""A day longer than the server keeps the runs, with our settings."""
IDLE_KEPT: Final = timedelta(hours=2)
"""Prefect's idle runs are deleted after one."""
_DAY, _HOUR = "%Y-%m-%d", "%Y-%m-%dT%H"
_FOLDER: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2})?")
_MOST_SECONDS: Final = 5
"""How long a storage may take for one result. After that the run goes on without."""
_SLOW_SECONDS: Final = 1
"""A result that takes longer keeps its text's place from the next text. A run bears `_MOST_SECONDS` of it in all."""
_given_up: Final[set[UUID]] = set()
"""Runs whose storage failed, or is slow: they ask it no more."""
_waited: Final[dict[UUID, float]] = {}
"""How many seconds runs have waited for slow results."""
_lock: Final = Lock()


@singledispatch
def plain(what: Any) -> Any:
    """For JSON, what it does not know by itself."""
    return str(what)


@plain.register
def _(what: Value) -> Any:
    return what.model_dump(mode="json")


@plain.register
def _(what: ProcessedText) -> Any:
    return result_of(what)


@plain.register
def _(what: DeliverySummary | Queueing) -> Any:
    return {"counts": what.counts, "stopped_because": what.stopped_because}


@plain.register
def _(what: Page) -> Any:
    return {"name": what.name, "message": what.message, "lines": what.lines}


_JSON: Final = JSONSerializer(object_encoder=f"{__name__}.plain", object_decoder=None)


def with_result(state: State[Any], what: Any, *, idle: bool = False) -> State[Any]:
    """The state with a reference to `what`, which is stored. If that fails, without one; the log says so once a run.

    Args:
        idle: it is a run that did nothing; its result is kept about as long as the run itself.
    """
    record = _stored(what, f"{FOLDER}/{state.timestamp:{_HOUR if idle else _DAY}}/{uuid4()}.json")
    if task := TaskRunContext.get():  # not before it is stored, or Prefect would store it too; it tells the API by this
        task.persist_result = task.persist_result or record is not None
        state.data = record or what
        return state
    if record:  # of a run, at its end
        _sweep_results()
    state.data = record or what
    if state.is_failed():  # Prefect would look for an exception in it, find none, and log all of it with a traceback
        state.data = record and record.model_copy(update={"result": None})
    return state


def _stored(what: Any, place: str) -> Any:
    """The record of what is stored now; None if it is not."""
    run, stored = this_run().id, list[Any]()
    if run in _given_up:
        return None

    def store() -> None:
        try:
            stored.append(_store(get_result_store(), what, place))
        except Exception as error:  # noqa: BLE001 - whatever the storage is, the outcome stands
            stored.append(error)

    began = monotonic()
    _in_time(store)
    if _is_too_slow(run, monotonic() - began):
        _give_up(run, "each takes seconds")
    match stored:
        case [Exception() as error]:
            _give_up(run, type(error).__name__)
        case [record]:
            return record
        case _:
            _give_up(run, f"no answer for {_MOST_SECONDS} seconds")
    return None


def _sweep_results() -> None:
    """Delete the days and hours that are over, where the storage is a folder. Any other has rules of its own."""
    storage, began = get_result_store().result_storage, this_run().state
    if began and isinstance(storage, LocalFileSystem):
        folder = storage._resolve_path(FOLDER)
        _in_time(lambda: _sweep(folder, began.timestamp))


def _sweep(folder: Path, now: datetime) -> None:
    day, hour = f"{now - KEPT:{_DAY}}", f"{now - IDLE_KEPT:{_HOUR}}"
    for one in folder.iterdir() if folder.is_dir() else ():
        if _FOLDER.fullmatch(one.name) and one.name < (hour if "T" in one.name else day):
            shutil.rmtree(one, ignore_errors=True)  # another run may be at it


def _store(store: ResultStore, what: Any, place: str) -> Any:
    # A flow's own store would write what describes the result to another place, which is nowhere.
    plainly = store.model_copy(update={"serializer": _JSON, "metadata_storage": None, "cache_result_in_memory": False})
    record = plainly.create_result_record(what, key=place)
    plainly.persist_result_record(record)
    return record


def _in_time(work: Callable[[], None]) -> None:
    """Wait for it for some seconds. It is a thread that no process waits for: a network file system may hang."""
    thread = Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    thread.join(_MOST_SECONDS)


def _is_too_slow(run: UUID, seconds: float) -> bool:
    """Whether the run has waited long enough. One that has no answer at all is told otherwise."""
    if not _SLOW_SECONDS < seconds < _MOST_SECONDS:
        return False
    with _lock:
        _waited[run] = _waited.get(run, 0) + seconds
        return _waited[run] > _MOST_SECONDS


def _give_up(run: UUID, why: str) -> None:
    with _lock:
        if run in _given_up:
            return
        _given_up.add(run)
    get_run_logger().warning(
        "Results cannot be stored (%s), so this run goes on without. Nothing else depends on them: look at the disk, "
        "or at the block that PREFECT_DEFAULT_RESULT_STORAGE_BLOCK names",
        why,
    )
