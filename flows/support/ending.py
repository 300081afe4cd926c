"""A run's process ends soon after its work, also when the Prefect server is gone.

At its end Prefect tries to send each event and state that the server did not take, one by one, about 7 seconds each:
with a few hundred texts that is hours. Each request that shows something of the run is tried for a minute, too. The
texts are safe by then, because the database knows what became of them.
"""

import os
import threading
from collections.abc import Callable
from functools import wraps
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")

GRACE_SECONDS: Final = 60
"""How long Prefect may go on reporting to its server. It takes a few seconds where the server answers."""
_OWN_PROCESS: Final = "PREFECT__FLOW_RUN_ID"
"""Set by a runner or a worker in the process that it starts for one run."""


def ends_soon(flow: Callable[_P, _R]) -> Callable[_P, _R]:
    """Let the process of a run end at most a minute after the flow's function; or sooner, see `end_soon`."""

    @wraps(flow)
    def bounded(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return flow(*args, **kwargs)
        finally:
            end_soon()

    return bounded


def end_soon() -> None:
    """The work is done: let the process that was started for this run end at most a minute from now.

    What is left is to report to Prefect. A process that somebody else owns, such as a test's, is left alone. The exit
    code is 1, so that a runner that reaches the server calls a run crashed that has no final state yet.
    """
    if os.environ.get(_OWN_PROCESS):
        deadline = threading.Timer(GRACE_SECONDS, os._exit, [1])
        deadline.daemon = True
        deadline.start()
