"""Four runs at once, each in a process of its own, as on four machines: one database hands each text to one of them."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
from starlette.types import Receive, Scope, Send

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from smsretry.retry.models import Text
from smsretry.retry.outcome import Outcome
from smsretry.sending.ports import Services
from smsretry.sending.run import Run, run_once
from smsretry.settings import Settings
from tests.conftest import Business
from tests.e2e.conftest import FlowProcess, Prefect
from tests.support.waiting import until

TEXTS = 240
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
_HOLD_CLAIMS = """
alter function public.claim_sms_texts set statement_timeout = '120s';
select pg_advisory_lock(4)
"""
_CHOSEN = "    if v_oldest.are_all and v_found.due <= cardinality(ids)"
"""Where a claim has chosen its rows, and waits before it takes them."""
_LET_GO = "alter function public.claim_sms_texts set statement_timeout = '8s'"


class HeldSender(TwilioSender):
    """The production adapter. A send that is begun waits before its request, until it may go on."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.begun, self.may_go_on = threading.Event(), threading.Event()

    def send(self, text: Text) -> Outcome:
        self.begun.set()
        assert self.may_go_on.wait(300)
        return super().send(text)


@pytest.mark.long
def test_four_machines_send_each_text_once_though_one_dies_and_one_oversleeps(
    stack: Stack, business: Business, flow: FlowProcess, prefect: Prefect, settings: Settings
) -> None:
    """What the dead one and the sleeper held is recovered; the sleeper wakes while another run has its texts, and
    sends none of them. Each text is in Twilio's ledger once, and each run's numbers are the database's.
    """
    business.connection.execute(_DUE, {"business": business.id, "texts": TEXTS})
    with all_claim_at_once(stack, 4) as wait_for_all, machines(flow, prefect, 4) as running:
        with nothing_sent(stack):
            wait_for_all()
            until(lambda: len(in_order(business)) == len(running))
            sleeper, dead, *_ = in_order(business)  # the run that recovers begins with the sleeper's texts
            os.kill(running[dead].pid, signal.SIGKILL)
            os.kill(running[sleeper].pid, signal.SIGSTOP)
        healthy = running.keys() - {sleeper, dead}
        assert [running[run].wait(120) for run in healthy] == [0, 0]

        stack.move_clock(timedelta(minutes=11))
        with recovering(settings) as recovery:
            os.kill(running[sleeper].pid, signal.SIGCONT)
            assert running[sleeper].wait(120) == 0
    assert recovery.recovered
    for minutes in (2, 6, 16, 1):  # a send that was begun and never left is looked for three times, and made then
        stack.move_clock(timedelta(minutes=minutes))
        with recovering(settings):
            pass

    numbers = [entry.to for entry in stack.twilio.ledger.entries()]
    assert (len(numbers), len(set(numbers))) == (TEXTS, TEXTS)
    assert statuses(business) == {"completed": TEXTS}
    begun = sends_by_run(business)
    for run in healthy:
        told = prefect.get(f"flow_runs/{run}")["state"]["message"]
        assert told.startswith(f"recovered 0, claimed {begun[run]}: sent {begun[run]} in "), told
        assert [line["message"] for line in prefect.logs(run) if line["level"] >= logging.WARNING] == []
    assert " lost " in prefect.get(f"flow_runs/{sleeper}")["state"]["message"]


@contextmanager
def nothing_sent(stack: Stack) -> Iterator[None]:
    """Meanwhile no request to Twilio gets there: nobody is done before somebody else has begun."""
    app, over = stack.twilio.app, threading.Event()
    before = app.middleware_stack or app.build_middleware_stack()

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        while not over.is_set():
            await asyncio.sleep(0.05)
        await before(scope, receive, send)

    app.middleware_stack = held
    try:
        yield
    finally:
        app.middleware_stack = before
        over.set()


@contextmanager
def recovering(settings: Settings) -> Iterator[Run]:
    """A run of this process, which holds what it claimed until the block ends, and then sends it."""
    sender = HeldSender(settings)
    with SupabaseQueue(settings) as queue, sender, ThreadPoolExecutor(1) as thread:
        run = Run(Services(queue, sender, settings.profile, concurrency=AT_ONCE))
        done = thread.submit(run_once, run, limit=TEXTS)
        try:
            until(lambda: sender.begun.is_set() or done.done())
            yield run
        finally:
            sender.may_go_on.set()
            done.result()


@contextmanager
def all_claim_at_once(stack: Stack, count: int) -> Iterator[Callable[[], None]]:
    """Hold each run's first claim, its rows chosen, until so many have come as far. What is yielded waits for that."""
    with stack.connect() as gate, stack.connect() as observer:
        was = gate.execute("select pg_get_functiondef('smsretry.texts_in_turn'::regproc) as sql").fetchone()
        assert was
        assert _CHOSEN in was["sql"]
        held = was["sql"].replace(_CHOSEN, f"    perform pg_advisory_xact_lock_shared(4);\n{_CHOSEN}")
        gate.execute(held.encode())
        gate.execute(_HOLD_CLAIMS.encode())

        def wait() -> None:
            waiting = b"select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
            until(lambda: len(observer.execute(waiting).fetchall()) == count)
            gate.execute("select pg_advisory_unlock(4)")

        try:
            yield wait
        finally:
            gate.execute("select pg_advisory_unlock_all()")
            gate.execute(_LET_GO)
            gate.execute(was["sql"].encode())


@contextmanager
def machines(flow: FlowProcess, prefect: Prefect, count: int) -> Iterator[dict[str, "subprocess.Popen[bytes]"]]:
    """So many processes, by flow run, each started as a runner starts one. None outlives the block."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for _ in range(count):
            run = prefect.new_run("process-sms-retries", drain_seconds=0)
            environment = flow.environment(
                PREFECT__FLOW_RUN_ID=run,
                PREFECT__FLOW_ENTRYPOINT="smsretry_flows.process_sms_retries.process_sms_retries",
                SMSRETRY_CONCURRENCY=str(AT_ONCE),
                SMSRETRY_TASK_RUNS="0",
                SUPABASE_TIMEOUT_SECONDS="60",
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


def in_order(business: Business) -> list[str]:
    """The runs that have begun to send, the one whose texts a claim takes first before the others."""
    rows = business.connection.execute(
        "select a.run_id from sms_send_attempts a join sms_retry_queue q on q.id = a.retry_id order by q.scheduled_for"
    ).fetchall()
    return list(dict.fromkeys(str(row["run_id"]) for row in rows))


def statuses(business: Business) -> dict[str, int]:
    """How many rows are in which status."""
    rows = business.connection.execute("select status, count(*) from sms_retry_queue group by 1").fetchall()
    return {row["status"]: row["count"] for row in rows}
