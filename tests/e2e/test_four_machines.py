"""Four runs at once, each in a process of its own, as on four machines: one database hands each text to one of them."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenWait
from smsretry.ports import Services
from smsretry.run import Run, run_once
from smsretry.settings import Settings
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect

TEXTS = 300
AT_ONCE = 10
_DUE = """
with c as (
    insert into customers (business_id, phone, timezone, sms_consent_status)
    select %(business)s, '+1212' || (5550000 + n), 'America/New_York', 'opted_in' from generate_series(1, %(texts)s) n
    returning id, business_id
), l as (
    insert into send_logs (business_id, customer_id, channel, subject) select business_id, id, 'sms', 'Hello' from c
    returning id, business_id, customer_id
)
insert into sms_retry_queue (business_id, send_log_id, customer_id, scheduled_for)
select business_id, id, customer_id, smsretry.clock() - interval '1 minute' from l
"""


@pytest.fixture
def services(settings: Settings, queue: SupabaseQueue, sender: TwilioSender) -> Services:
    """Those of the runs that come afterwards, in this process."""
    return Services(queue, sender, settings.profile, concurrency=AT_ONCE)


def test_four_machines_send_each_text_once_though_one_dies_and_one_oversleeps(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect, services: Services
) -> None:
    """What the dead one and the sleeper held is recovered; the sleeper wakes while another run has its texts, and
    sends none of them. Each text is in Twilio's ledger once, and each run's numbers are the database's.
    """
    business.connection.execute(_DUE, {"business": business.id, "texts": TEXTS})
    stack.twilio.fail(AcceptThenWait(timedelta(seconds=0.2)), times=None)
    with machines(flow, prefect, 4) as running:
        until(lambda: len(begun := sends_by_run(business)) == 4 and min(begun.values()) >= AT_ONCE)
        dead, sleeper, *healthy = running
        os.kill(running[dead].pid, signal.SIGKILL)
        os.kill(running[sleeper].pid, signal.SIGSTOP)
        assert [running[run].wait(30) for run in healthy] == [0, 0]

        stack.move_clock(timedelta(minutes=11))
        sent_before = len(stack.twilio.ledger.entries())
        with ThreadPoolExecutor(1) as later:
            recovery = later.submit(run_once, Run(services), limit=TEXTS)
            until(lambda: len(stack.twilio.ledger.entries()) > sent_before)
            os.kill(running[sleeper].pid, signal.SIGCONT)
            _, recovered = recovery.result()
        assert running[sleeper].wait(30) == 0
    for minutes in (2, 6, 16):  # a send that was begun and never left is looked for three times
        stack.move_clock(timedelta(minutes=minutes))
        run_once(Run(services), limit=TEXTS)

    numbers = [entry.to for entry in stack.twilio.ledger.entries()]
    assert (len(numbers), len(set(numbers))) == (TEXTS, TEXTS)
    assert statuses(business) == {"completed": TEXTS}
    assert recovered.recovered > 0
    begun = sends_by_run(business)
    for run in healthy:
        told = prefect.get(f"flow_runs/{run}")["state"]["message"]
        assert told.startswith(f"recovered 0, claimed {begun[run]}: sent {begun[run]} in "), told
        assert [line["message"] for line in prefect.logs(run) if line["level"] >= logging.WARNING] == []
    assert " lost " in prefect.get(f"flow_runs/{sleeper}")["state"]["message"]


@contextmanager
def machines(flow: FlowProcess, prefect: Prefect, count: int) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """So many processes, by flow run, each started as a runner starts one. None outlives the block."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for _ in range(count):
            run = prefect.new_run("process-sms-retries", drain_seconds=0)
            environment = flow.environment(
                PREFECT__FLOW_RUN_ID=run,
                PREFECT__FLOW_ENTRYPOINT="flows/process_sms_retries.py:process_sms_retries",
                SMSRETRY_CONCURRENCY=str(AT_ONCE),
                SMSRETRY_TASK_RUNS="0",
            )
            running[run] = subprocess.Popen([sys.executable, "-m", "prefect.engine"], cwd=ROOT, env=environment)
        yield running
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def sends_by_run(business: Business) -> dict[str, int]:
    """How many sends each run has begun."""
    rows = business.connection.execute("select run_id, count(*) from sms_send_attempts group by 1").fetchall()
    return {str(row["run_id"]): row["count"] for row in rows}


def statuses(business: Business) -> dict[str, int]:
    """How many rows are in which status."""
    rows = business.connection.execute("select status, count(*) from sms_retry_queue group by 1").fetchall()
    return {row["status"]: row["count"] for row in rows}


def until(condition: Any, seconds: float = 60) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
