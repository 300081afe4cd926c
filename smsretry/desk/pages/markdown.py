"""Markdown for Prefect's artifacts. What others wrote is escaped: a business's name may contain a link.

Links are relative to the page of an artifact or a run, so they stay in the UI that shows it: Prefect has two.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

FormAddress: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""The address of a form, by its deployment's name, with these values in it; None if it is not known."""
ROOT: Final = "../.."
"""From the page of an artifact or a run to the first page."""
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|#~!])")
_CODE_PAGE: Final = re.compile(r"https://[\w./-]+/\d+$")
_ID: Final = re.compile(r"(?<!-)\b(run|row|customer|business|send log|scheduled send) ([0-9a-f]{8}-[0-9a-f-]{27})")
_FEEDS: Final = {"row": "text", "send log": "send-log", "scheduled send": "send-log"}
"""The Event Feed's word for what a line names. The other names are the same in both."""


def no_forms(_name: str, _values: Mapping[str, Any]) -> None:
    """Knows no form's address."""


def plain(text: object) -> str:
    """Text as it is, on one line: nothing in it is markup."""
    escaped = _SPECIAL.sub(r"\\\1", " ".join(str(text).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def linked(text: object) -> str:
    """As `plain`, with links to what it names: the page of a provider's code, a run, the Event Feed of an id."""
    line = _CODE_PAGE.sub(lambda found: f"[what it means]({found[0]})", plain(text))
    return _ID.sub(lambda found: f"[{found[0]}]({_page_of(found[1], found[2])})", line)


def _page_of(kind: str, of: str) -> str:
    return (
        f"{ROOT}/runs/flow-run/{of}" if kind == "run" else f"{ROOT}/events?resource=sms.{_FEEDS.get(kind, kind)}.{of}"
    )


def link(label: object, address: str | None) -> str:
    """A link on one line; the label alone where no address is known."""
    return f"[{plain(label)}]({address})" if address else plain(label)


def outline(lines: Iterable[str], links: Mapping[str, str] | None = None) -> str:
    """A list of plain lines, with links. An indented line belongs to the one above it. Fits any window.

    Args:
        links: further words to link, with their addresses.
    """
    shown = "\n".join(f"{'    ' if line.startswith(' ') else ''}- {linked(line)}" for line in lines if line)
    for words, address in (links or {}).items():
        shown = shown.replace(plain(words), link(words, address))
    return shown


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are markdown already."""
    marks = ["--:" if column == "texts" else "---" for column in columns]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, marks, *rows))


def bars(hours: Sequence[tuple[str, Sequence[tuple[str, int]]]], words: str) -> str:
    """A picture: a bar for each hour, of parts with a color each."""
    most = max((sum(size for _, size in parts) for _, parts in hours), default=0) or 1
    shapes = []
    for place, (label, parts) in enumerate(hours):
        top = 100.0
        for color, size in parts:
            height = 90 * size / most
            top -= height
            shapes.append(f'<rect x="{place * 26 + 2}" y="{top:.1f}" width="22" height="{height:.1f}" fill="{color}"/>')
        shapes.append(f'<text x="{place * 26 + 13}" y="114" text-anchor="middle">{label}</text>')
    area = f'width="{len(hours) * 26}" height="120"'
    style = 'font-family="sans-serif" font-size="10" fill="#888"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {area} {style}>{"".join(shapes)}</svg>'
    return f"![{plain(words)}](data:image/svg+xml;base64,{b64encode(drawing.encode()).decode()})"


def page(*parts: str) -> str:
    """Parts that are not empty, with a blank line between them."""
    return "\n\n".join(part for part in parts if part)
