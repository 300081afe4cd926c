"""The vocabulary: whoever adds a word is told each place that must know it, and nothing decides by a sentence."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args, get_origin
from uuid import UUID

import flows
import smsretry
from smsretry.desk.pages.outcomes import Color, ProcessedText
from smsretry.desk.pages.runs import badge_of_many
from smsretry.retry.models import ItemResult
from smsretry.sending.summary import COUNTED_AS, RunSummary
from smsretry.vocabulary import Fate, WhyCode
from tests.support.builders import claim_with

Table: TypeAlias = Mapping[Any, object]


def modules() -> Iterator[ModuleType]:
    """Of the package and of the flows, but for what starts a program."""
    for package in (smsretry, flows):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def words_of(kind: Any) -> set[str] | None:
    """The words of a Literal, or of several; None if anything else may be a key as well."""
    parts = [kind] if get_origin(kind) is Literal else get_args(kind)
    if not parts or any(get_origin(part) is not Literal for part in parts):
        return None
    return {word for part in parts for word in get_args(part)}


def tables_by_words(module: ModuleType) -> Iterator[tuple[str, set[str], Table]]:
    """Each table whose type says that its keys are the words of a Literal: its name, the words, the table."""
    for name, annotation in inspect.get_annotations(module).items():
        for kind in (
            get_args(annotation)
            if str(annotation).startswith("typing.Final[")
            else [annotation]
        ):
            if get_origin(kind) is dict and (words := words_of(get_args(kind)[0])):
                yield f"{module.__name__}.{name}", words, getattr(module, name)


def test_each_table_by_a_word_has_all_of_its_words() -> None:
    """Whoever adds a word, such as a fate or a state, is told each table that must know it."""
    tables = [table for module in modules() for table in tables_by_words(module)]
    assert {
        "smsretry.sending.summary.COUNTED_AS",
        "smsretry.desk.questions.explanation.STATES",
    } <= {name for name, _, _ in tables}
    assert {
        name: words ^ table.keys()
        for name, words, table in tables
        if words != table.keys()
    } == {}


def came_to(fate: Fate, why: WhyCode | None = None, detail: str = "") -> ProcessedText:
    """A text that came to this."""
    return ProcessedText(
        claim_with(),
        ItemResult(retry_id=UUID(int=1), fate=fate, detail=detail, why_code=why),
    )


def test_each_fate_is_counted_named_announced_and_explained() -> None:
    """In the run's summary and its name, by a badge with a color, as an event of its own, and in the flows' README.

    Automations and links name the events, so that they stay as they are.
    """
    readme = Path(flows.__path__[0], "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in readme.splitlines() if line.count("|") == 4]
    names = list[str]()
    for fate in get_args(Fate):
        summary = RunSummary.of(results=[ItemResult(retry_id=UUID(int=1), fate=fate)])
        assert (sum(summary.counts.values()), getattr(summary, COUNTED_AS[fate])) == (
            1,
            1,
        )
        assert badge_of_many([came_to(fate)])[0], (
            f"{fate} is in no number of a run's name"
        )
        shown, color = came_to(fate).badge, came_to(fate).color
        assert shown
        assert color in get_args(Color)
        names.append(came_to(fate).event.name)
        assert any(shown in row for row in rows)
        assert (
            f"`.{names[-1].rpartition('.')[2]}`" in readme or f"`{names[-1]}`" in readme
        )
        for why in (None, *get_args(WhyCode)):
            assert (
                len(
                    {
                        came_to(fate, why, detail).badge
                        for detail in ("", "Customer opted out", "Expired")
                    }
                )
                == 1
            )
    assert len({*names}) == len(get_args(Fate))
    assert "sms.text.retry-scheduled" in names
