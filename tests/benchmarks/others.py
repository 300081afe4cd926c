"""Other ways to send many texts, beside which `drain` measures ours: threads, Prefect, dramatiq, procrastinate.

Each sends with the Twilio SDK and its own kept connections, as ours does, and does nothing else: no quiet hours, no
consent, no record of what became of a text. The job queues get what they ask for: Redis without a disk, PostgreSQL from
the rig, one process with as many threads as texts are to be sent at once, and their jobs queued beforehand.
"""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import Any

from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.local.postgres.server import EmbeddedPostgres
from smsretry.local.process.http import free_port
from smsretry.settings import Settings, load
from tests.support.options import parser

Send = Callable[[int], None]
"""Sends the text of this number, one of its own."""
INSTALL = (
    "pip install 'dramatiq[redis]' procrastinate, and apt-get install redis-server"
)
_REDIS, _DATABASE = "BENCHMARK_REDIS_URL", "BENCHMARK_DATABASE_URL"


@contextmanager
def queues(postgres: EmbeddedPostgres) -> Iterator[dict[str, dict[str, str]]]:
    """The job queues that are installed here, each with its worker's environment. Says how to install the others."""
    environments: dict[str, dict[str, str]] = {}
    if find_spec("procrastinate"):
        postgres.create_database("procrastinate")
        environments["procrastinate"] = {_DATABASE: postgres.url("procrastinate")}
    with _redis() as url:
        if url and find_spec("dramatiq"):
            environments = {"dramatiq": {_REDIS: url}, **environments}
        if missing := sorted({"dramatiq", "procrastinate"} - {*environments}):
            print(f"Not compared: {' and '.join(missing)}. To install them: {INSTALL}")
        yield environments


@contextmanager
def _redis() -> Iterator[str | None]:
    """A Redis server of its own, if there is one on the PATH."""
    if not (program := shutil.which("redis-server")):
        yield None
        return
    with TemporaryDirectory(prefix="smsretry-redis-") as directory:
        port = free_port()
        options = [
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            directory,
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()
            server.wait()


@contextmanager
def sdk() -> Iterator[Send]:
    """The Twilio SDK alone."""
    settings = load(Settings)
    with TwilioProvider(settings) as sender:
        client = sender._http.client(None)

        def send(number: int) -> None:
            client.messages.create(
                to=f"+1212{5550000 + number}",
                from_=settings.twilio_from_number,
                body="Thank you for your visit.",
            )

        yield send


def threads(texts: int, at_once: int) -> None:
    """A pool of threads, and no queue; of one thread, one text after the other."""
    with sdk() as send, ThreadPoolExecutor(at_once) as pool:
        list(pool.map(send, range(texts)))


def prefect_tasks(texts: int, at_once: int) -> None:
    """A task run each in one flow run, and no queue."""
    from prefect import flow, task, unmapped
    from prefect.cache_policies import NO_CACHE
    from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=at_once)

    @task(cache_policy=NO_CACHE, persist_result=False)
    def send_one(number: int, send: Send) -> None:
        send(number)

    @flow(task_runner=runner)
    def send_all(send: Send) -> None:
        send_one.map(range(texts), unmapped(send)).wait()

    with sdk() as send:
        send_all(send)


def dramatiq(texts: int, at_once: int, *, only_queue: bool, after_kill: bool) -> None:
    """Queue the jobs, or do those that are queued. It does a killed worker's jobs again once that one is silent."""
    library = import_module("dramatiq")  # it may not be there
    at_once_again = (
        {"heartbeat_timeout": 5_000, "maintenance_chance": 1_000_000}
        if after_kill
        else {}
    )
    broker = import_module("dramatiq.brokers.redis").RedisBroker(
        url=os.environ[_REDIS], **at_once_again
    )
    with sdk() as send:
        actor = library.actor(send, broker=broker, actor_name="send", min_backoff=1_000)
        if only_queue:
            for number in range(texts):
                actor.send(number)
            return
        worker = library.Worker(broker, worker_threads=at_once)
        worker.start()
        broker.join(actor.queue_name)
        worker.stop()


def procrastinate(
    texts: int, at_once: int, *, only_queue: bool, after_kill: bool
) -> None:
    """Queue the jobs, or do those that are queued: first those of a killed worker, as its documents advise."""
    library = import_module("procrastinate")
    app = library.App(
        connector=library.PsycopgConnector(
            conninfo=os.environ[_DATABASE], min_size=4, max_size=20
        )
    )

    async def work() -> None:
        # Its threads are the loop's own, which are 6 on two cores.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(at_once))
        async with app.open_async():
            for job in (
                await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=5)
                if after_kill
                else ()
            ):
                await app.job_manager.retry_job(job)
            await app.run_worker_async(concurrency=at_once, wait=False)

    with sdk() as send:
        task = app.task(send, name="send", retry=5)
        if only_queue:
            with app.open():
                if not app.check_connection():
                    app.schema_manager.apply_schema()
                task.batch_defer(*({"number": number} for number in range(texts)))
        else:
            asyncio.run(work())


def main() -> None:
    """One worker's process: `drain` starts it."""
    options = parser(
        __doc__, which="threads", texts=0, at_once=1, only_queue=False, after_kill=False
    ).parse_args()
    no_queue = {"threads": threads, "prefect": prefect_tasks}
    if options.which in no_queue:
        no_queue[options.which](options.texts, options.at_once)
    else:
        queue = {"dramatiq": dramatiq, "procrastinate": procrastinate}[options.which]
        queue(
            options.texts,
            options.at_once,
            only_queue=options.only_queue,
            after_kill=options.after_kill,
        )


if __name__ == "__main__":
    main()
