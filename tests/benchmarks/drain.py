"""How fast a backlog drains, beside the ideal and the floor. By hand: `python -m tests.benchmarks.drain`.

Everything runs on this machine: the worker, Prefect's server, PostgreSQL, the endpoint and Twilio's stand-in. The floor
is what sends without any queue: as many threads and the Twilio SDK, and one thread after the other. What is compared
takes turns, so that a noisy minute strikes all of it.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from statistics import median

from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.settings import load_settings
from tests.benchmarks.rig import Done, Rig, rig

FLOW = "from flows.process_sms_retries import process_sms_retries as run; run(drain_seconds=0)"
CONTENDERS = {
    "threads + SDK, no queue": ["-m", "tests.benchmarks.drain", "--floor"],
    "smsretry process": ["-m", "smsretry", "process"],
    "flow, slices of 25": ["-c", FLOW],
    "flow, a task run each": ["-c", FLOW],
}
SETTINGS = {"flow, slices of 25": {"SMSRETRY_TASK_RUNS": "0"}, "flow, a task run each": {"SMSRETRY_TASK_RUNS": "2000"}}


def floor(texts: int, at_once: int) -> None:
    """Send without a queue."""
    settings = load_settings()
    with TwilioSender(settings) as sender, ThreadPoolExecutor(at_once) as pool:
        client = sender._client

        def send(number: int) -> None:
            client.messages.create(
                to=f"+1212{5550000 + number}", from_=settings.twilio_from_number, body="Thank you for your visit."
            )

        list(pool.map(send, range(texts)))


def one(at: Rig, name: str, texts: int, at_once: int) -> Done:
    """One contender, once."""
    at.fill(texts)
    command = CONTENDERS[name]
    if "--floor" in command:
        command = [*command, "--texts", str(texts), "--at-once", str(at_once)]
    done = at.run(command, SMSRETRY_CONCURRENCY=str(at_once), **SETTINGS.get(name, {}))
    assert done.sends == texts, f"{name} made {done.sends} sends of {texts}"
    return done


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--milliseconds", type=float, default=200, help="what one send takes at Twilio")
    parser.add_argument("--at-once", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-prefect", action="store_true")
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.floor:
        floor(given.texts, given.at_once)
        return
    ideal = given.texts * given.milliseconds / 1000 / given.at_once
    names = [name for name in CONTENDERS if not (given.without_prefect and name.startswith("flow"))]
    results: dict[str, list[Done]] = {name: [] for name in names}
    with rig(prefect=not given.without_prefect) as at:
        at.stack.twilio.seconds_each = given.milliseconds / 1000
        for _ in range(given.rounds):
            for name in names:
                results[name].append(one(at, name, given.texts, given.at_once))
    print(f"{given.texts} texts, {given.milliseconds:g} ms each, {given.at_once} at once; the ideal is {ideal:.1f} s")
    print(f"{'':28}{'first to last, s':>17}{'of ideal':>10}{'texts/s':>9}{'CPU ms/text':>13}{'process, s':>12}")
    for name, done in results.items():
        span, cpu = median(d.first_to_last for d in done), median(d.cpu_seconds for d in done)
        ratio = f"{span / ideal:.2f}" if ideal else "-"
        whole = median(d.seconds for d in done)
        print(f"{name:28}{span:17.2f}{ratio:>10}{given.texts / span:9.0f}{1000 * cpu / given.texts:13.2f}{whole:12.1f}")
    print(json.dumps({name: [round(d.first_to_last, 2) for d in done] for name, done in results.items()}))


if __name__ == "__main__":
    main()
