"""What Prefect does by itself about the schedule and the queue, as a file, and how it is installed."""

from importlib.resources import files
from typing import Any, Final
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import AutomationCore

PREFIX: Final = "smsretry: "
"""Prefix of our automations' names. One that has it and is not in the file is removed."""


def defined() -> list[dict[str, Any]]:
    """The automations of `automations.yaml`."""
    text = files(__name__).joinpath("automations.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)["automations"]
    return entries


def install(
    client: SyncPrefectClient,
    notify: UUID | None,
    entries: list[dict[str, Any]] | None = None,
) -> list[str]:
    """Create what is missing, update what is there, and remove what is no longer defined. Returns a line for each.

    An automation that somebody switched off stays off. One that notifies needs a notification block: `notify`, or the
    one it had.

    Args:
        notify: the notification block's id.
        entries: other automations than the file's.
    """
    there = {
        automation.name: automation
        for automation in client.read_automations()
        if automation.name.startswith(PREFIX)
    }
    lines = []
    for entry in entries or defined():
        name, existing = entry["name"], there.pop(entry["name"], None)
        had = (
            [getattr(action, "block_document_id", None) for action in existing.actions]
            if existing
            else []
        )
        block = notify or next(filter(None, had), None)
        actions = [
            {**action, "block_document_id": block}
            if action["type"] == "send-notification"
            else action
            for action in entry["actions"]
        ]
        if None in [
            action.get("block_document_id") for action in actions if "subject" in action
        ]:
            lines.append(f"left out   {name} (it needs --notify)")
            continue
        enabled = existing is None or existing.enabled
        desired = AutomationCore.model_validate(
            {**entry, "actions": actions, "enabled": enabled}
        )
        if existing:
            client.update_automation(existing.id, desired)
        else:
            client.create_automation(desired)
        lines.append(
            f"{'updated  ' if existing else 'installed'}  {name}{'' if enabled else ' (somebody switched it off)'}"
        )
    for gone in there.values():
        client.delete_automation(gone.id)
        lines.append(f"removed    {gone.name}")
    return lines
