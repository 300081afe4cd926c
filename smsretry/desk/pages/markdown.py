"""Markdown for Prefect's artifacts. What others wrote is escaped: a business's name may contain a link."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|#~!])")
_CODE_PAGE: Final = re.compile(r"https://[\w./-]+/\d+$")
_ID: Final = re.compile(r"(?<!-)\b(run|row|customer|business|send log|scheduled send) ([0-9a-f]{8}-[0-9a-f-]{27})")
_FEEDS: Final = {"row": "text", "send log": "send-log", "scheduled send": "send-log"}
"""The Event Feed's word for what a line names. The other names are the same in both."""


def plain(text: object) -> str:
    """Text as it is, on one line: nothing in it is markup."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def linked(text: object) -> str:
    """As `plain`, with links to what it names: the page of a provider's code, a run, the Event Feed of an id."""
    line = _CODE_PAGE.sub(lambda found: f"[what it means]({found[0]})", plain(text))
    return _ID.sub(lambda found: f"[{found[0]}]({_page_of(found[1], found[2])})", line)


def _page_of(kind: str, of: str) -> str:
    return f"/runs/flow-run/{of}" if kind == "run" else f"/events?resource=sms.{_FEEDS.get(kind, kind)}.{of}"


def link(label: object, address: str | None) -> str:
    """A link on one line; the label alone where no address is known."""
    return f"[{plain(label)}]({address})" if address else plain(label)


def outline(lines: Iterable[str], links: Mapping[str, str] | None = None) -> str:
    """A list of plain lines, with links. An indented line belongs to the one above it. Fits any window.

    Args:
        links: further words to link, with their addresses.
    """
    shown = "\n".join(f"{'    ' if line.startswith(' ') else ''}- {linked(line)}" for line in lines)
    for words, address in (links or {}).items():
        shown = shown.replace(plain(words), link(words, address))
    return shown


def page(*parts: str) -> str:
    """Parts that are not empty, with a blank line between them."""
    return "\n\n".join(part for part in parts if part)
