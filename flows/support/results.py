"""What a text, a slice of texts, a run and a form came to, kept where Prefect's API finds it: `state.result()`.

It is plain JSON without phone numbers or bodies, so whoever reads it needs Prefect and nothing of ours. Prefect's own
`persist_result` stays off: it deletes nothing, and waits for a storage that hangs. Here the outcome stands whatever
becomes of its result.

A state that carries a stored `ResultRecord` is told to the API as it is: `prefect.states.return_value_to_state`.
"""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.filesystems import LocalFileSystem
from prefect.logging.loggers import flow_run_logger
from prefect.results import get_result_store
from prefect.serializers import JSONSerializer

from .show import this_run

FOLDER: Final = "sms-results"
"""The folder within the storage. It holds a folder a day, and a file for all idle runs of a flow, which are alike."""
KEPT: Final = timedelta(days=15)
"""A day longer than the server keeps the runs, with our settings."""
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOST_SECONDS: Final = 5
"""How long a storage may take for one result. After that the run goes on without."""
_threads: Final = ThreadPoolExecutor(50)
"""Threads that store results. A network file system may hang, so no other thread waits for it long."""
_NOT_STORED: Final = (
    "Results cannot be stored (%s), so this run goes on without. Nothing else depends on them: look at the disk, or at "
    "the block that PREFECT_DEFAULT_RESULT_STORAGE_BLOCK names"
)
_failed_runs: Final[set[UUID]] = set()
"""Runs whose storage failed: they ask it no more."""


def with_result(state: State[Any], content: Any, *, idle: bool = False) -> State[Any]:
    """The state with a reference to its stored content. If storing fails, it has none, and the log says so once.

    Args:
        content: plain JSON, and nothing personal.
        idle: whether it is the result of a run that did nothing.
    """
    run = this_run()
    place = f"idle-{run.flow_id}" if idle else f"{state.timestamp:%Y-%m-%d}/{uuid4()}"
    record = None
    if run.id not in _failed_runs:
        try:
            writing = _threads.submit(
                copy_context().run,
                _store,
                content,
                f"{FOLDER}/{place}.json",
                state.timestamp,
            )
            record = writing.result(_MOST_SECONDS)
        except Exception as error:  # noqa: BLE001 - whatever the storage is, the outcome stands
            cause = type(error).__name__
            if isinstance(error, TimeoutError):
                cause = f"no answer for {_MOST_SECONDS} seconds"
            # Another text's thread may have said so.
            if run.id not in _failed_runs:
                _failed_runs.add(run.id)
                flow_run_logger(run).warning(_NOT_STORED, cause)
    state.data = record or content
    task = TaskRunContext.get()
    if task and record:
        # Prefect tells the API of the result by this. Before it is stored, Prefect would store it too.
        task.persist_result = True
    elif not task and state.is_failed():
        # Prefect would look for an exception in the content, and log all of it with a traceback.
        state.data = record and record.model_copy(update={"result": None})
    return state


def _store(content: Any, place: str, now: datetime) -> Any:
    # A flow's own store would write what describes the result to another place, which is nowhere.
    store = get_result_store().model_copy(
        update={
            "serializer": JSONSerializer(),
            "metadata_storage": None,
            "cache_result_in_memory": False,
        }
    )
    record = store.create_result_record(content, key=place)
    store.persist_result_record(record)
    if TaskRunContext.get() is None and isinstance(
        store.result_storage, LocalFileSystem
    ):
        _sweep(store.result_storage._resolve_path(FOLDER), now)
    return record


def _sweep(folder: Path, now: datetime) -> None:
    """Delete the folders of days that are over. A storage that is no folder has rules of its own."""
    for day in folder.iterdir():
        if _DAY.fullmatch(day.name) and day.name < f"{now - KEPT:%Y-%m-%d}":
            # Another run may be deleting it.
            shutil.rmtree(day, ignore_errors=True)
