"""The automations that Prefect carries out by itself about the schedule and the queue, and how to install them."""

from importlib.resources import files
from typing import Final
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore

from smsretry.adapters.prefect.api import JsonObject

PREFIX: Final = "smsretry: "
"""Prefix of our automations' names. One that has it and is not in the file is removed."""


def read_definitions() -> list[JsonObject]:
    """The automations of `automations.yaml`."""
    text = files(__name__).joinpath("automations.yaml").read_text(encoding="utf-8")
    definitions: list[JsonObject] = yaml.safe_load(text)["automations"]
    return definitions


def install(
    client: SyncPrefectClient,
    notify: UUID | None,
    definitions: list[JsonObject],
) -> list[str]:
    """Create what is missing, update what exists, and remove what is no longer defined. Returns a line for each.

    An automation that somebody switched off stays off. One that notifies needs a notification block: `notify`, or the
    one it has.

    Args:
        notify: the notification block's id.
    """
    installed = {
        automation.name: automation
        for automation in client.read_automations()
        if automation.name.startswith(PREFIX)
    }
    lines = []
    for definition in definitions:
        name = definition["name"]
        existing = installed.pop(name, None)
        block = notify or _notification_block(existing)
        actions = [_with_block(action, block) for action in definition["actions"]]
        if None in actions:
            lines.append(f"left out   {name} (it needs --notify)")
            continue
        enabled = existing is None or existing.enabled
        automation = AutomationCore.model_validate(
            {**definition, "actions": actions, "enabled": enabled}
        )
        if existing:
            client.update_automation(existing.id, automation)
            line = f"updated    {name}"
        else:
            client.create_automation(automation)
            line = f"installed  {name}"
        lines.append(line if enabled else f"{line} (somebody switched it off)")
    for obsolete in installed.values():
        client.delete_automation(obsolete.id)
        lines.append(f"removed    {obsolete.name}")
    return lines


def _notification_block(automation: Automation | None) -> UUID | None:
    """The block by which an installed automation notifies."""
    if automation is None:
        return None
    for action in automation.actions:
        if isinstance(action, SendNotification):
            return action.block_document_id
    return None


def _with_block(action: JsonObject, block: UUID | None) -> JsonObject | None:
    """The action as it is installed. None: it notifies, and there is no block."""
    if action["type"] != "send-notification":
        return action
    return {**action, "block_document_id": block} if block else None
