"""Is somebody told when texts stop: are the automations of `flows/automations/` installed, on, and able to notify?"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import yaml

from smsretry.adapters.prefect.api import PrefectApi, PrefectLacks
from smsretry.adapters.prefect.definition import FLOWS
from smsretry.retry.models import Finding

_FILE: Final = FLOWS / "automations" / "automations.yaml"
_INSTALL: Final = "`smsretry automations --notify <type>/<name>` installs them"
_SUBJECT: Final = "alerts (Prefect's automations)"
_STOPS: Final = frozenset(
    {"pause-deployment", "pause-work-pool", "pause-work-queue", "cancel-flow-run", "suspend-flow-run"}
)
"""Actions after which texts may wait."""


def alert_findings(api: PrefectApi) -> Iterator[Finding]:
    """Warnings: no text depends on them. Nothing, where the server does not tell its automations."""
    try:
        entries = yaml.safe_load(_FILE.read_text(encoding="utf-8"))["automations"]
        wanted = [entry["name"] for entry in entries]
        rows = api.ask("automations/filter", {"limit": 200})
        there = {row["name"]: row for row in rows if row["name"] in wanted}
    except (PrefectLacks, OSError, KeyError, TypeError):
        return
    missing, off = [name for name in wanted if name not in there], [n for n, row in there.items() if not row["enabled"]]
    advice = None
    if not there:
        advice = f"none is installed, so nobody is told when texts stop going out: {_INSTALL}"
    elif missing:
        advice = f"not installed: {_listed(missing)}. {_INSTALL}"
    elif off:
        advice = f"switched off: {_listed(off)}. Switch them on in the UI (Automations)"
    elif changed := [entry["name"] for entry in entries if not _is_alike(entry, there[entry["name"]])]:
        advice = f"changed, so that they fire or act otherwise, unless that is meant: {_listed(changed)}. {_INSTALL}"
    elif gone := _without_block(api, there.values()):
        advice = f"notify through a block that is gone: {_listed(gone)}. {_INSTALL}"
    yield Finding(subject=_SUBJECT, ok=True, advice=advice)
    yield from _stopping(row for row in rows if row["enabled"] and row["name"] not in wanted)


def _stopping(others: Iterable[Mapping[str, Any]]) -> Iterator[Finding]:
    """Automations of others that may stop runs of ours: which deployments they mean, only they know."""
    for row in others:
        if stops := sorted({action["type"] for action in row["actions"]} & _STOPS):
            advice = (
                f"may stop texts ({', '.join(stops)}): see in the UI (Automations) that it means no deployment here"
            )
            yield Finding(subject=f'automation "{row["name"]}"', ok=True, advice=advice)


def _is_alike(entry: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether it fires when the file's does, and does the same kinds of things. Its words and block are the owner's."""
    trigger = row["trigger"]
    kinds = [[action["type"] for action in one["actions"]] for one in (entry, row)]
    return kinds[0] == kinds[1] and all(
        _plain(trigger.get(key)) == _plain(value) for key, value in entry["trigger"].items()
    )


def _plain(value: Any) -> Any:
    """The same, however the server orders it."""
    if isinstance(value, Mapping):
        return sorted((key, _plain(one)) for key, one in value.items())
    if isinstance(value, list):
        return sorted(str(_plain(one)) for one in value)
    return float(value) if isinstance(value, int) else value


def _without_block(api: PrefectApi, rows: Any) -> list[str]:
    """The automations whose notification block does not exist."""
    users = dict[str, list[str]]()
    for row in rows:
        for action in row["actions"]:
            if block := action.get("block_document_id"):
                users.setdefault(block, []).append(row["name"])
    return [name for block, names in users.items() if not _exists(api, block) for name in names]


def _exists(api: PrefectApi, block: str) -> bool:
    found = api.ask("block_documents/filter", {"block_documents": {"id": {"any_": [block]}, "is_anonymous": None}})
    return bool(found)


def _listed(names: list[str]) -> str:
    return ", ".join(name.removeprefix("smsretry: ") for name in names)
