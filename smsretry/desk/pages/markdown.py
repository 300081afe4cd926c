"""Markdown for Prefect's artifacts. What others wrote is escaped: a business's name may hold a link."""

import re
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|#~!])")
_CODE_PAGE: Final = re.compile(r"https://[\w./-]+/\d+$")
_RUN: Final = re.compile(r"\brun ([0-9a-f]{8}-[0-9a-f-]{27})")


def plain(text: object) -> str:
    """Text as it is, on one line: nothing in it is markup."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def linked(text: object) -> str:
    """As `plain`, with the links that are ours: the provider's page of a code, and a flow run."""
    told = plain(text)
    told = _CODE_PAGE.sub(lambda found: f"[what it means]({found[0]})", told)
    return _RUN.sub(lambda found: f"[run {found[1][:8]}]({run_page(found[1])})", told)


def link(label: object, address: str | None) -> str:
    """A link on one line; the label alone where no address is known."""
    return f"[{plain(label)}]({address})" if address else plain(label)


def run_page(run_id: UUID | str) -> str:
    """Where the UI shows a run."""
    return f"/runs/flow-run/{run_id}"


def feed(kind: str, of: UUID | None, label: str) -> str:
    """A link to the Event Feed of a text, customer, business or send log."""
    return f"[{label}](/events?resource=sms.{kind}.{of})" if of else label


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are markdown already."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def listed(lines: Iterable[str]) -> str:
    """A list; its lines are markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def page(*parts: str) -> str:
    """Parts that are not empty, with a blank line between them."""
    return "\n\n".join(part for part in parts if part)
