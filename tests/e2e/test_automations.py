"""The automations on a real Prefect server: each alert arrives at a local receiver, and the other two act."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.events.schemas.events import Resource, ResourceSpecification

from flows.automations import PREFIX, defined
from smsretry.adapters.prefect.definition import declared
from smsretry.local.demo.run import ROOT
from smsretry.local.stack import Stack
from tests.e2e.conftest import Prefect
from tests.e2e.registry import SCHEDULED, Registry
from tests.support.receiver import Receiver, receiving
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


def installed(registry: Registry) -> list[dict[str, Any]]:
    """The automations that the server has."""
    found: list[dict[str, Any]] = registry.prefect.post("automations/filter", {})
    return sorted(found, key=lambda one: str(one["name"]))


def remove_all(registry: Registry) -> None:
    """As on a server that has none yet."""
    for one in installed(registry):
        httpx.delete(f"{registry.api_url}/automations/{one['id']}", timeout=30).raise_for_status()


def essence(automation: dict[str, Any]) -> dict[str, Any]:
    """What may be sent back."""
    return {key: automation[key] for key in ("name", "description", "enabled", "trigger", "actions")}


@pytest.mark.long
def test_a_block_that_is_not_there_is_named(registry: Registry) -> None:
    """And nothing is installed."""
    remove_all(registry)
    result = command(registry, "--notify", "slack-webhook/nobody")
    assert result.returncode == 1
    assert result.stderr.startswith("There is no block slack-webhook/nobody. Make a notification block in the UI")
    assert installed(registry) == []


@pytest.mark.long
def test_installing_twice_is_installing_once(registry: Registry, block: str) -> None:
    """What is there keeps its block; what somebody switched off stays off; what is no longer defined is removed."""
    remove_all(registry)
    assert "left out   smsretry: a run failed (it needs --notify)" in command(registry).stdout
    assert command(registry, "--notify", block).returncode == 0
    first = installed(registry)
    assert [one["name"] for one in first] == sorted(entry["name"] for entry in defined())
    registry.prefect.post("automations/", {**essence(first[0]), "name": f"{PREFIX}of an older version"})
    registry.say("update automation set enabled = false where name = 'smsretry: texts are held'")
    result = command(registry)
    assert "removed    smsretry: of an older version" in result.stdout
    assert "updated    smsretry: texts are held (somebody switched it off)" in result.stdout
    again = installed(registry)
    assert [one["id"] for one in again] == [one["id"] for one in first]
    assert {one["name"] for one in again if not one["enabled"]} == {"smsretry: texts are held"}
    assert {action["block_document_id"] for one in again for action in one["actions"] if "subject" in action} == {block}


def hurry(registry: Registry) -> None:
    """Ten seconds instead of minutes, which is the least that Prefect takes where something does not happen."""
    for one in installed(registry):
        if one["trigger"].get("posture") != "Proactive":
            continue  # what is told once in so long stays so, or it would be told twice on a slow machine
        trigger = {**one["trigger"], "within": min(one["trigger"]["within"], 10)}
        httpx.put(
            f"{registry.api_url}/automations/{one['id']}", json={**essence(one), "trigger": trigger}, timeout=30
        ).raise_for_status()


CUSTOMER = "5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"


def of_run(run: str) -> dict[str, str]:
    """What makes an event one of this run."""
    return {"prefect.resource.id": f"prefect.flow-run.{run}", "prefect.resource.role": "flow-run"}


def emit(registry: Registry, event: str, resource: str, *related: dict[str, str], **payload: object) -> None:
    """An event, as the flow emits it."""
    message = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": resource},
        "related": related,
        "payload": payload,
    }
    httpx.post(f"{registry.api_url}/events", json=[message], timeout=30).raise_for_status()


def becomes(registry: Registry, run: str, state: str, seconds: float = 120) -> dict[str, Any]:
    """The run, once it is in this state."""
    deadline = time.monotonic() + seconds
    while (found := registry.prefect.get(f"flow_runs/{run}"))["state_name"] != state:
        assert time.monotonic() < deadline, found["state"]
        time.sleep(0.2)
    return dict(found)


BLAMED = "Texts: 9 did not arrive (Twilio 30007)"
DROPPED = "Texts: fewer arrive than usual"


@pytest.mark.long
def test_each_trouble_is_told_and_nothing_else_is(registry: Registry, receiver: Receiver, block: str) -> None:
    """A failed run, no run, an open circuit, a backlog, held texts, dead letters; the dead run ends."""
    remove_all(registry)
    assert command(registry, "--notify", block).returncode == 0
    hurry(registry)
    dead = registry.run(SCHEDULED, "RUNNING")
    deployment = {
        "prefect.resource.id": "any",
        "prefect.resource.role": "deployment",
        "prefect.resource.name": SCHEDULED,
    }
    emit(registry, "prefect.flow-run.heartbeat", f"prefect.flow-run.{dead}", deployment)
    asked_for = registry.run(SCHEDULED, "SCHEDULED", name="Late")
    message = "Stopped sending: the account is refused"
    emit(registry, "sms.queue.completed.process-sms-retries", "sms.queue")
    emit(registry, "sms.queue.completed.process-scheduled-sends", "sms.queue")
    ours = of_run(asked_for)
    emit(registry, "sms.queue.run-failed", "sms.queue", ours, run="teal-crane", state="Failed", message=message)
    emit(registry, "sms.queue.circuit-opened", "sms.queue", why="The account is refused.")
    emit(registry, "sms.queue.circuit-closed", "sms.queue")
    emit(registry, "sms.queue.sender-stopped", "sms.queue", sender="MG1", why="The account is refused")
    emit(registry, "sms.queue.held", "sms.queue", texts=3)
    emit(registry, "sms.queue.dead-letters", "sms.queue", ours, texts=2, codes="21211, 30003", customers=CUSTOMER)
    emit(registry, "sms.queue.sender-blamed", "sms.queue", texts=9, codes="30007")
    emit(registry, "sms.queue.delivery-dropped", "sms.queue", why="Of the last hour's texts 50% arrived")
    emit(registry, "sms.text.failed", "sms.text.1")
    for _ in range(3):
        emit(registry, "sms.queue.backlog", "sms.queue", minutes=12, texts=40)

    page = f"{registry.prefect.server.url}/runs/flow-run/{asked_for}"
    assert receiver.wait_for("Texts: run teal-crane ended Failed").body == f"{message}\nRun: {page}"
    assert receiver.wait_for("Texts: 40 are overdue").body.startswith("The oldest one has been due for 12 minutes.")
    assert receiver.wait_for("Texts: 2 were given up").body.endswith(
        f" Codes: 21211, 30003. Customers: {CUSTOMER}.\nRun: {page}"
    )
    assert receiver.wait_for("Texts: sending has stopped").body.startswith("The account is refused. Every text waits")
    assert receiver.wait_for("Texts: the sender MG1 has stopped").body.startswith("The account is refused")
    for words in ("Texts: sending has stopped", "Texts: 3 are held", "Texts: 2 were given up", BLAMED, DROPPED):
        receiver.wait_for(words)
    receiver.wait_for("Texts: no run has completed for five minutes")
    silence = receiver.wait_for("Texts: still no run has completed")
    assert silence.body.endswith(f"\nRuns: {registry.prefect.server.url}/runs")
    receiver.wait_for("Texts: no run has queued scheduled sends for five minutes")
    assert becomes(registry, dead, "Crashed")["state"]["message"].startswith("It gave no sign of life")

    for alert in receiver.alerts:
        assert f": {registry.prefect.server.url}/" in alert.body, alert
    assert {alert.subject for alert in receiver.alerts} == {
        "Texts: run teal-crane ended Failed",
        "Texts: no run has completed for five minutes",
        "Texts: still no run has completed",
        "Texts: no run has queued scheduled sends for five minutes",
        "Texts: sending has stopped",
        "Texts: the sender MG1 has stopped",
        "Texts: 40 are overdue",
        "Texts: 3 are held",
        "Texts: 2 were given up",
        BLAMED,
        DROPPED,
    }
    # Until Prefect has looked twice more whether something is missing: what repeats itself has done so by then.
    until(lambda: len(receiver.about("still no run has completed")) >= 3)
    once = ("are overdue", "no run has completed for five minutes", "no run has queued scheduled sends")
    for words in once:
        assert len(receiver.about(words)) == 1, "one message, however often it happens or long it lasts"


def test_what_acts_on_runs_knows_every_deployment_that_has_a_schedule_and_its_twins() -> None:
    """A twin's dead runs had stayed Running for good, as had those of what looks after deliveries."""
    [trigger] = [one["trigger"] for one in defined() if one["name"].endswith("a run without a sign of life ends")]
    known = ResourceSpecification.model_validate(trigger["match_related"])
    for name in [entry.name for entry in declared() if entry.schedules]:
        for deployment in (name, f"{name}-2"):
            resource = {"prefect.resource.role": "deployment", "prefect.resource.name": deployment}
            assert known.matches(Resource.model_validate(resource | {"prefect.resource.id": "x"})), deployment
