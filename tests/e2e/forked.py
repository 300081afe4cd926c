"""Runs flows, each in a process of its own: `python -m tests.e2e.forked`, told what by lines of JSON.

The processes are forks of this one, which has loaded Prefect: that takes a second of CPU, and the tests run dozens of
flows. A fork gets its environment as a new process would, and reads its settings anew.
"""

import json
import os
import sys
from runpy import run_module

# What is imported is there before the fork.
import fastapi  # noqa: F401
import prefect.context
import twilio.rest.api.v2010  # noqa: F401
from prefect.logging.configuration import setup_logging
from prefect.settings import get_current_settings

import flows.process_scheduled_sends  # noqa: F401
import flows.process_sms_retries  # noqa: F401
import flows.sync_delivery_status  # noqa: F401


def send_no_heartbeats() -> None:
    """Spare each run's end the wait for the thread that sends them, which looks up once a second (`_send_heartbeats`).

    The first would come at the start, and the next one after three minutes.
    """
    get_current_settings().flows.heartbeat_frequency = None


def main() -> None:
    """Fork for each line of standard input, and answer with the exit code."""
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            _run(**order)
            break
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _run(module: str, environment: dict[str, str], output: str) -> None:
    """In the fork: as if it had just been started."""
    os.environ.clear()
    os.environ.update(environment)
    written = os.open(output, os.O_WRONLY)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(written, 1)
    os.dup2(written, 2)
    prefect.context.refresh_global_settings_context()
    send_no_heartbeats()
    setup_logging()
    sys.argv = [module]
    run_module(module, run_name="__main__")


if __name__ == "__main__":
    main()
