"""The pictures of the front page: a run and the queue's page in Prefect's UI. By hand: `python -m tests.pictures`.

It starts `smsretry up` in an empty directory, waits for the first run that sends texts, and writes .github/run.png and
.github/queue.png. It needs Chromium.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.e2e.browser import Browser
from tests.support.records import Record

_INTO = Path(__file__).parents[1] / ".github"
_PORT = 4271


def main() -> None:
    """Take both."""
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        up = [
            sys.executable,
            "-m",
            "smsretry",
            "up",
            "--data-dir",
            f"{folder}/stack",
            "--port",
            str(_PORT),
        ]
        served = subprocess.Popen(up, stdout=log, stderr=log)
        ui = f"http://127.0.0.1:{_PORT}"
        try:
            while not (runs := _runs(ui)):
                time.sleep(1)
            page = _query(
                ui,
                "artifacts",
                artifacts={"key": {"any_": ["sms-queue-now"]}},
                sort="CREATED_DESC",
            )[0]["id"]
            pages = {
                "run": (f"runs/flow-run/{runs[0]['id']}", "sent", 900),
                "queue": (f"artifacts/artifact/{page}", "held", 1750),
            }
            with Browser() as browser:
                for name, (path, words, height) in pages.items():
                    browser.open(f"{ui}/v2/{path}", words)
                    time.sleep(9)  # until the graph is drawn, which has no words
                    picture = browser.picture(height)
                    (_INTO / f"{name}.png").write_bytes(picture)
        finally:
            served.send_signal(signal.SIGINT)
            served.wait(120)


def _runs(ui: str) -> list[Record]:
    """Those that sent texts, once they have ended."""
    criteria = {"tags": {"all_": ["texts"]}, "state": {"type": {"any_": ["COMPLETED"]}}}
    try:
        return [
            run
            for run in _query(ui, "flow_runs", flow_runs=criteria)
            if "sent" in run["name"]
        ]
    except httpx.TransportError:
        return []


def _query(ui: str, kind: str, **criteria: object) -> list[Record]:
    return list(
        httpx.post(f"{ui}/api/{kind}/filter", json=criteria).raise_for_status().json()
    )


if __name__ == "__main__":
    main()
