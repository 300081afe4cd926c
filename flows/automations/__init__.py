"""What Prefect does by itself about the schedule and the queue, as a file, and how it is installed."""

from importlib.resources import files
from typing import Any, Final
from uuid import UUID

import yaml
from prefect.client.orchestration import SyncPrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from prefect.exceptions import ObjectNotFound

PREFIX: Final = "smsretry: "
"""Prefix of our automations' names. One that has it and is not in the file is removed."""
_NOTIFIES: Final = "send-notification"


def defined() -> list[dict[str, Any]]:
    """The automations of `automations.yaml`."""
    text = files(__name__).joinpath("automations.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)["automations"]
    return entries


def install(client: SyncPrefectClient, notify: UUID | None, entries: list[dict[str, Any]] | None = None) -> list[str]:
    """Create what is missing, update what is there, and remove what is no longer defined. Returns a line for each.

    An automation that somebody switched off stays off. One that notifies needs a notification block: `notify`, or the
    one it had.

    Args:
        notify: the notification block's id.
        entries: other automations than the file's.
    """
    there = {found.name: found for found in client.read_automations() if found.name.startswith(PREFIX)}
    lines = []
    for entry in defined() if entries is None else entries:
        found = there.pop(entry["name"], None)
        lines.append(_install(client, entry, notify or _block_of(found), found))
    for gone in there.values():
        client.delete_automation(gone.id)
        lines.append(f"removed    {gone.name}")
    return lines


def _install(client: SyncPrefectClient, entry: dict[str, Any], notify: UUID | None, found: Automation | None) -> str:
    notifies = any(action["type"] == _NOTIFIES for action in entry["actions"])
    if notifies and notify is None:
        return f"left out   {entry['name']} (it needs --notify)"
    with_block = [
        {**action, "block_document_id": notify} if action["type"] == _NOTIFIES else action
        for action in entry["actions"]
    ]
    wanted = AutomationCore.model_validate(
        {**entry, "actions": with_block, "enabled": found.enabled if found else True}
    )
    if found is None:
        client.create_automation(wanted)
        return f"installed  {entry['name']}"
    client.update_automation(found.id, wanted)
    return f"updated    {entry['name']}" + ("" if found.enabled else " (somebody switched it off)")


def _block_of(found: Automation | None) -> UUID | None:
    blocks = [getattr(action, "block_document_id", None) for action in found.actions] if found else []
    return next((block for block in blocks if block), None)


def notification_block(client: SyncPrefectClient, name: str) -> UUID:
    """The id of a block document, given as that or as `<type>/<name>`, such as `slack-webhook/operations`.

    Raises:
        LookupError: there is none; says what to do.
    """
    try:
        return UUID(name)
    except ValueError:
        kind, _, document = name.partition("/")
    try:
        return client.read_block_document_by_name(document, kind).id
    except ObjectNotFound:
        raise LookupError(
            f"There is no block {name}. Make a notification block in the UI (Blocks), and name it as <type>/<name>; "
            "`prefect block ls` lists them."
        ) from None
