"""Answers as Markdown for Prefect's artifacts. What others wrote is escaped: a business's name may contain a link.

Links are relative to the page of an artifact or a run, so they stay in the UI that shows it: Prefect has two.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from smsretry.desk.questions.blocks import Block, Heading, Hours, Table, Words

FormAddress: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""The address of a form, by its deployment's name, with these values in it; None if it is not known."""
ROOT: Final = "../.."
"""The way from the page of an artifact or a run to the first page."""
IDLE: Final = "idle"
"""The name of a scheduled run that found nothing to do."""
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|#~!])")
_CODE_PAGE: Final = re.compile(r"https://[\w./-]+/\d+$")
_ID: Final = re.compile(
    r"(?<!-)\b(run|row|text|customer|business|send.log|scheduled send) ([0-9a-f]{8}-[0-9a-f-]{27})"
)
_FEEDS: Final = {"row": "text", "send log": "send-log", "scheduled send": "send-log"}
"""The Event Feed's word for what a line names. The other names are the same in both."""
_CELL: Final = 60
"""Characters that fit into a table's last cell."""
_COLORS: Final = ("#2e9e5b", "#d64545", "#b0b0b0", "#8fb8de")
"""The colors of an hour's parts."""


def markdown(blocks: Iterable[Block], forms: FormAddress = lambda *_: None) -> str:
    """All of it; the first line is the title. The UI cuts a wide table off, so that one is a list."""
    text = ""
    for nth, part in enumerate(blocks):
        match part:
            case Heading(words):
                text += f"\n\n## {plain(words)}\n"
            case Table(title, rows) if rows:
                cells = [[_words(cell, forms) for cell in row] for row in rows]
                text += f"\n\n## {plain(title)}\n\n"
                if max(len(note) for *_, note in rows) > _CELL:
                    text += "".join(
                        f"- {' '.join(filter(None, cells_before))}: {note}\n"
                        for *cells_before, note in cells
                    )
                else:
                    text += "| | texts | |\n|---|--:|---|\n"
                    text += "".join(f"| {' | '.join(row)} |\n" for row in cells)
            case Table():
                pass
            case Hours():
                text += f"\n{_picture(part)}\n\n{plain(part.words)}\n"
            case _ if nth == 0:
                text += f"# {_line(part, forms)}\n"
            case _:
                deep = (part if isinstance(part, str) else str(part[0])).startswith(" ")
                text += f"\n{'    ' if deep else ''}- {_line(part, forms)}"
    return text


def _line(line: str | tuple[Words, ...], forms: FormAddress) -> str:
    return "".join(
        _words(part, forms) for part in ((line,) if isinstance(line, str) else line)
    ).strip()


def _words(words: Words, forms: FormAddress) -> str:
    if isinstance(words, str):
        return linked(words)
    address = forms(words.form, words.ask) if words.form else None
    preparation = f"{plain(words.preparation)}, then " if words.preparation else ""
    return (
        f"{preparation}[{plain(words.words)}]({address})" if address else linked(words)
    )


def plain(text: object) -> str:
    """Text as it is, on one line: nothing in it is markup."""
    escaped = _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", str(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def linked(text: object) -> str:
    """As `plain`, with links to what it names: the page of a provider's code, a run, the Event Feed of an id."""
    line = _CODE_PAGE.sub(lambda match: f"[what it means]({match[0]})", plain(text))
    return _ID.sub(
        lambda match: (
            f"[{'run' if match[1] == 'run' else match[0]}]({_page_of(match[1], match[2])})"
        ),
        line,
    )


def _page_of(kind: str, of: str) -> str:
    feed = f"resource=sms.{_FEEDS.get(kind, kind)}.{of}"  # twice: one of Prefect's UIs refuses a single one
    return (
        f"{ROOT}/runs/flow-run/{of}"
        if kind == "run"
        else f"{ROOT}/events?{feed}&{feed}"
    )


def _picture(hours: Hours) -> str:
    """A bar for each hour."""
    largest = max((sum(sizes) for _, sizes in hours.parts), default=0) or 1
    shapes, step = "", 26
    for place, (hour, sizes) in enumerate(hours.parts):
        top = 100.0
        for color, size in zip(_COLORS, sizes, strict=False):
            height = 90 * size / largest
            top -= height
            shapes += f'<rect x="{place * step + 2}" y="{top:.1f}" width="22" height="{height:.1f}" fill="{color}"/>'
        shapes += f'<text x="{place * step + 13}" y="114" text-anchor="middle">{hour:%H}</text>'
    area = f'width="{len(hours.parts) * step}" height="120"'
    style = 'font-family="sans-serif" font-size="10" fill="#888"'
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" {area} {style}>{shapes}</svg>'
    return f"![{plain(hours.words)}](data:image/svg+xml;base64,{b64encode(drawing.encode()).decode()})"
