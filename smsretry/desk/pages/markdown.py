"""Answers as Markdown for Prefect's artifacts. What others wrote is escaped: a business's name may contain a link.

Links are relative to the page of an artifact or a run, so they stay in the UI that shows it: Prefect has two.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from smsretry.desk.questions.blocks import Block, Heading, Inline, Line, Table

FormAddress: TypeAlias = Callable[[str, Mapping[str, Any]], str | None]
"""The address of a form, by its deployment's name, with these values in it; None if it is not known."""
FIRST_PAGE: Final = "../.."
"""The relative address of the UI's first page, from the page of an artifact or a run."""
IDLE: Final = "idle"
"""The name of a scheduled run that found nothing to do."""
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]|#~!])")
_CODE_PAGE: Final = re.compile(r"https://[\w./-]+/\d+$")
_ID: Final = re.compile(
    r"(?<!-)\b(run|row|text|customer|business|send.log|scheduled send) ([0-9a-f]{8}-[0-9a-f-]{27})"
)
_FEEDS: Final = {"row": "text", "send log": "send-log", "scheduled send": "send-log"}
"""The Event Feed's word for what a line names, where it is another one."""
_LONGEST_NOTE: Final = 60
"""Characters that fit into a table's last cell."""


def markdown(blocks: Iterable[Block], forms: FormAddress = lambda *_: None) -> str:
    """Write blocks as Markdown. The first line is the title."""
    page = ""
    for place, block in enumerate(blocks):
        match block:
            case Heading(words):
                page += f"\n\n## {plain(words)}\n"
            case Table():
                page += _table(block, forms)
            case _ if place == 0:
                page += f"# {_line(block, forms)}\n"
            case _:
                start = block if isinstance(block, str) else str(block[0])
                indent = "    " if start.startswith(" ") else ""
                page += f"\n{indent}- {_line(block, forms)}"
    return page


def _table(table: Table, forms: FormAddress) -> str:
    """A table; as a list if a note is long, because the UI cuts a wide table off."""
    if not table.rows:
        return ""
    lines = [f"\n\n## {plain(table.title)}\n"]
    rows = [[_inline(cell, forms) for cell in row] for row in table.rows]
    if any(len(str(row[-1])) > _LONGEST_NOTE for row in table.rows):
        for *cells, note in rows:
            lines.append(f"- {' '.join(filter(None, cells))}: {note}")
    else:
        alignments = ("---", "--:", "---")[: len(table.columns)]
        lines += [
            f"| {' | '.join(line)} |" for line in (table.columns, alignments, *rows)
        ]
    return "\n".join([*lines, ""])


def _line(line: Line, forms: FormAddress) -> str:
    parts = (line,) if isinstance(line, str) else line
    return "".join(_inline(part, forms) for part in parts).strip()


def _inline(part: Inline, forms: FormAddress) -> str:
    """A part of a line; a remedy as a link to its form, if that has an address."""
    if isinstance(part, str):
        return linked(part)
    address = forms(part.form, part.ask) if part.form else None
    if not address:
        return linked(part)
    preparation = f"{plain(part.preparation)}, then " if part.preparation else ""
    return f"{preparation}[{plain(part.words)}]({address})"


def plain(text: object) -> str:
    """Escape a text, so that nothing in it is markup, and put it on one line."""
    escaped = _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", str(text)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def linked(text: object) -> str:
    """Escape a text, and link what it names: the page of a provider's code, a run, the Event Feed of an id."""
    line = _CODE_PAGE.sub(lambda match: f"[what it means]({match[0]})", plain(text))
    return _ID.sub(_link, line)


def _link(match: re.Match[str]) -> str:
    kind, record_id = match.groups()
    if kind == "run":
        return f"[run]({FIRST_PAGE}/runs/flow-run/{record_id})"
    feed = f"resource=sms.{_FEEDS.get(kind, kind)}.{record_id}"
    # One of Prefect's UIs refuses a resource that is named once.
    return f"[{match[0]}]({FIRST_PAGE}/events?{feed}&{feed})"
