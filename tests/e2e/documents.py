"""The repository's Markdown files: what they show, what they name, and where they point."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

from smsretry.local.demo.run import ROOT

_FENCED = re.compile(r"^( *)```(\w+)\n(.*?)^\1```\n", re.MULTILINE | re.DOTALL)
_OUTPUT = re.compile(r"\n?( *)```text\n(.*?)^\1```\n", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?!https?:)([^)\s]*)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    where: str
    text: str
    output: str
    """The `text` block that follows at once, or nothing."""

    def missing_in(self, printed: list[str]) -> list[str]:
        """Lines of the shown output that were not printed, in that order; there may be more in between."""
        rest = iter(printed)
        return [line for line in self.output.splitlines() if line not in rest]

    def commands(self) -> Iterator[list[str]]:
        """The words of each command of a shell block."""
        for line in self.text.replace("\\\n", " ").splitlines():
            yield from _split(shlex.split(line, comments=True))


@dataclass(frozen=True, slots=True)
class Document:
    """A Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """All of it but the fenced blocks."""
        return _FENCED.sub("", self.text)

    def blocks(self, language: str, *, under: str = "") -> list[Block]:
        """Its fenced blocks of one language, in order; those of one section, or all."""
        start = self.text.index(f"\n## {under}\n") if under else 0
        end = self.text.find("\n## ", start + 1) if under else -1
        section = _FENCED.finditer(self.text, start, end if end > 0 else len(self.text))
        found = (match for match in section if match[2] == language)
        return [
            Block(
                self._line(match.start()), dedent(match[3]), self._output(match.end())
            )
            for match in found
        ]

    def _line(self, position: int) -> str:
        return f"{self}:{self.text.count(chr(10), 0, position) + 1}"

    def _output(self, position: int) -> str:
        match = _OUTPUT.match(self.text, position)
        return dedent(match[2]) if match else ""

    def code(self) -> list[str]:
        """What it names in backticks, in its prose."""
        return _CODE.findall(self.prose)

    def commands(self) -> list[list[str]]:
        """Every command it shows, in its shell blocks and in backticks."""
        shown = [words for block in self.blocks("sh") for words in block.commands()]
        programs = ("smsretry ", "python -m ", "prefect ")
        inline = [
            words
            for text in self.code()
            if text.startswith(programs)
            for words in _split(shlex.split(text))
        ]
        return shown + inline

    def links(self) -> list[str]:
        """Where it points within the repository."""
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """Its headings, as GitHub names them in links."""
        names = [
            re.sub(r"[^\w\- ]", "", heading.lower())
            for heading in _HEADING.findall(self.prose)
        ]
        return {name.strip().replace(" ", "-") for name in names}


FRONT_PAGE = Document(ROOT / "README.md")
PLAYBOOKS = Document(ROOT / "flows" / "PLAYBOOKS.md")
SERVED = "run_deployment("
"""In a block that needs a runner: test_results.py runs it."""


def documents() -> list[Document]:
    """All Markdown files of the repository."""
    rooms = [
        path
        for room in ("flows", "smsretry", "tests")
        for path in (ROOT / room).rglob("*.md")
    ]
    return [
        FRONT_PAGE,
        *map(Document, [*sorted((ROOT / ".github").glob("*.md")), *sorted(rooms)]),
    ]


@cache
def file_names() -> frozenset[str]:
    """The name of every file of the repository."""
    rooms = [
        path
        for room in (".ci", ".github", "flows", "smsretry", "tests")
        for path in (ROOT / room).rglob("*")
    ]
    return frozenset(path.name for path in [*ROOT.iterdir(), *rooms])


def demo_rows(text: str) -> list[tuple[str, str, str]]:
    """The demo's tables as printed, at any width: each customer, the number of sends, and why."""
    lines = text.splitlines()
    top = next(
        number for number, line in enumerate(lines) if line.startswith("Customer ")
    )
    run, sends, why = (
        lines[top].index(heading) for heading in (" Run", " Sends", " Why")
    )
    rows: list[tuple[str, str, str]] = []
    for before, line in pairwise(lines[top + 1 :]):
        cells = line[:run].strip(), line[sends:why].strip(), line[why:].strip()
        if (
            not line.strip() or not before.strip()
        ):  # the line after an empty one names a business, or ends the tables
            if line.strip() and ", from " not in line:
                break
        elif cells[0]:
            rows.append(cells)
        else:
            rows[-1] = (*rows[-1][:2], f"{rows[-1][2]} {cells[2]}")
    return rows


def _split(words: list[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in [*words, "&&"]:
        if word != "&&":
            command.append(word)
        elif command:
            yield command
            command = []
