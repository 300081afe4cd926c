"""The automations on a real Prefect server: each alert arrives at a local receiver, and the other two act."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import httpx
import pytest
from prefect.events.schemas.events import Resource, ResourceSpecification

from flows.automations import PREFIX, read_definitions
from smsretry.adapters.prefect.definition import declared
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from tests.e2e.registry import SCHEDULED, Prefect, Registry
from tests.support.receiver import Receiver, receiving
from tests.support.records import Record
from tests.support.waiting import until


@pytest.fixture(scope="module")
def registry(running_stack: Stack, prefect: Prefect) -> Iterator[Registry]:
    """The shared Prefect server, with the deployments registered."""
    registry = Registry(prefect, running_stack)
    registry.all_well()
    yield registry
    registry.empty()
    registry.say("delete from automation")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Where the alerts arrive."""
    with receiving() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def block(registry: Registry, receiver: Receiver) -> str:
    """The notification block that leads there."""
    return str(receiver.block(registry.api_url))


def command(registry: Registry, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`python -m flows.automations`, against the server."""
    return subprocess.run(
        [sys.executable, "-m", "flows.automations", *arguments],
        cwd=ROOT,
        env={**os.environ, **registry.prefect.server.environment()},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def installed(registry: Registry) -> list[Record]:
    """The automations that the server has."""
    records: list[Record] = registry.prefect.post("automations/filter", {})
    return sorted(records, key=lambda one: str(one["name"]))


def remove_all(registry: Registry) -> None:
    """As on a server that has none yet."""
    for record in installed(registry):
        httpx.delete(
            f"{registry.api_url}/automations/{record['id']}", timeout=30
        ).raise_for_status()


def essence(automation: Record) -> Record:
    """What may be sent back."""
    return {
        key: automation[key]
        for key in ("name", "description", "enabled", "trigger", "actions")
    }


@pytest.mark.long
def test_installing_twice_is_installing_once(
    registry: Registry, receiver: Receiver, block: str
) -> None:
    """A block that is not there is named, and nothing is installed. What is there keeps its block; what somebody
    switched off stays off; what is no longer defined is removed.
    """
    remove_all(registry)
    wrong = command(registry, "slack-webhook/nobody")
    assert (wrong.returncode, installed(registry)) == (1, [])
    assert wrong.stderr.startswith(
        "There is no block slack-webhook/nobody. Make a notification block in the UI"
    )
    assert (
        "left out   smsretry: a run failed (it needs --notify)"
        in command(registry).stdout
    )
    assert command(registry, receiver.named).returncode == 0
    first = installed(registry)
    assert [record["name"] for record in first] == sorted(
        entry["name"] for entry in read_definitions()
    )
    registry.prefect.post(
        "automations/", {**essence(first[0]), "name": f"{PREFIX}of an older version"}
    )
    registry.say(
        "update automation set enabled = false where name = 'smsretry: texts are held'"
    )
    result = command(registry)
    assert "removed    smsretry: of an older version" in result.stdout
    assert (
        "updated    smsretry: texts are held (somebody switched it off)"
        in result.stdout
    )
    again = installed(registry)
    assert [one["id"] for one in again] == [one["id"] for one in first]
    assert {one["name"] for one in again if not one["enabled"]} == {
        "smsretry: texts are held"
    }
    assert {
        action["block_document_id"]
        for one in again
        for action in one["actions"]
        if "subject" in action
    } == {block}


def hurry(registry: Registry) -> None:
    """Ten seconds instead of minutes, which is the least that Prefect takes where something does not happen."""
    for record in installed(registry):
        if record["trigger"].get("posture") != "Proactive":
            continue  # what is told once in so long stays so, or it would be told twice on a slow machine
        trigger = {**record["trigger"], "within": min(record["trigger"]["within"], 10)}
        httpx.put(
            f"{registry.api_url}/automations/{record['id']}",
            json={**essence(record), "trigger": trigger},
            timeout=30,
        ).raise_for_status()


TROUBLES: Final[list[tuple[str, Record, str, str]]] = [
    # what the flow emits, and the alert: its subject, and how its text begins
    ("run-failed", {"run": "teal-crane", "state": "Failed", "message": "Refused"},
     "Texts: run teal-crane ended Failed", "Refused\nRun: "),
    ("sending-stopped", {"why": "The account is refused."},
     "Texts: sending has stopped", "The account is refused. Every text waits"),
    ("sender-stopped", {"sender": "the sender of Ann", "why": "The account is refused"},
     "Texts: the sender of Ann has stopped", "The account is refused"),
    ("held", {"texts": 3}, "Texts: 3 are held", ""),
    ("dead-letters", {"texts": 2, "why": "Twilio 21211"}, "Texts: 2 were given up", "Most of them: Twilio 21211. "),
    ("sender-blamed", {"texts": 9, "why": "Twilio 30007"}, "Texts: 9 did not arrive", ""),
    ("backlog", {"minutes": 12, "texts": 40},
     "Texts: 40 are overdue", "The oldest one has been due for 12 minutes."),
    ("words-unread", {"people": 2}, "Texts: 2 people wrote what may mean stop", "Nobody has read it"),
]  # fmt: skip
SILENCE = [
    "Texts: no run has completed for five minutes",
    "Texts: still no run has completed",
    "Texts: no run has queued scheduled sends for five minutes",
]


def emit(
    registry: Registry,
    event: str,
    resource: str,
    *related: dict[str, str],
    **payload: object,
) -> None:
    """An event, as the flow emits it."""
    message = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": resource},
        "related": related,
        "payload": payload,
    }
    httpx.post(
        f"{registry.api_url}/events", json=[message], timeout=30
    ).raise_for_status()


@pytest.mark.long
def test_each_trouble_alerts_and_nothing_else_does(
    registry: Registry, receiver: Receiver, block: str
) -> None:
    """Once, however often it happens or long it lasts; silence is told again. A run without a sign of life ends."""
    remove_all(registry)
    assert command(registry, receiver.named).returncode == 0
    hurry(registry)
    dead, asked_for = (
        registry.run(SCHEDULED, "RUNNING"),
        registry.run(SCHEDULED, "SCHEDULED", name="Late"),
    )
    deployment = {"id": "any", "role": "deployment", "name": SCHEDULED}
    of_schedule = {
        f"prefect.resource.{key}": value for key, value in deployment.items()
    }
    of_run = {
        "prefect.resource.id": f"prefect.flow-run.{asked_for}",
        "prefect.resource.role": "flow-run",
    }
    emit(
        registry, "prefect.flow-run.heartbeat", f"prefect.flow-run.{dead}", of_schedule
    )
    for schedule in (SCHEDULED, "process-scheduled-sends"):
        emit(registry, f"sms.queue.completed.{schedule}", "sms.queue")
    for event, payload, _, _ in [
        *TROUBLES,
        *(trouble for trouble in TROUBLES if trouble[0] == "backlog"),
    ]:
        emit(registry, f"sms.queue.{event}", "sms.queue", of_run, **payload)
    emit(registry, "sms.text.failed", "sms.text.1")

    for _, _, subject, begins in TROUBLES:
        assert receiver.wait_for(subject).body.startswith(begins)
    server = registry.prefect.server.url
    assert receiver.wait_for("were given up").body.endswith(
        f"\nRun: {server}/runs/flow-run/{asked_for}"
    )
    for subject in SILENCE:
        receiver.wait_for(subject)
    assert receiver.wait_for("still no run").body.endswith(f"\nRuns: {server}/runs")
    until(lambda: registry.prefect.get(f"flow_runs/{dead}")["state_name"] == "Crashed")
    assert registry.prefect.get(f"flow_runs/{dead}")["state"]["message"].startswith(
        "It gave no sign of life"
    )

    assert [
        alert for alert in receiver.alerts if f": {server}/" not in alert.body
    ] == []
    assert {alert.subject for alert in receiver.alerts} == {
        *SILENCE,
        *(shown for _, _, shown, _ in TROUBLES),
    }
    # Until Prefect has looked twice more whether something is missing: what repeats itself has done so by then.
    until(lambda: len(receiver.about("still no run has completed")) >= 3)
    for words in (
        "are overdue",
        "no run has completed for five minutes",
        "no run has queued scheduled sends",
    ):
        assert len(receiver.about(words)) == 1


def test_what_acts_on_runs_knows_every_deployment_that_has_a_schedule_and_its_twins() -> (
    None
):
    """A twin's dead runs had stayed Running for good, as had those of what looks after deliveries."""
    [trigger] = [
        record["trigger"]
        for record in read_definitions()
        if record["name"].endswith("a run without a sign of life ends")
    ]
    known = ResourceSpecification.model_validate(trigger["match_related"])
    for name in [entry.name for entry in declared() if entry.schedules]:
        for deployment in (name, f"{name}-2"):
            resource = {
                "prefect.resource.role": "deployment",
                "prefect.resource.name": deployment,
            }
            assert known.matches(
                Resource.model_validate(resource | {"prefect.resource.id": "x"})
            ), deployment
