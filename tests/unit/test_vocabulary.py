"""The vocabulary: whoever adds a word is told each place that must know it, and nothing decides by a sentence."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any, Literal, TypeAlias, get_args, get_origin
from uuid import UUID

import flows
import smsretry
from smsretry.desk.pages.outcomes import ProcessedText
from smsretry.desk.pages.runs import badge_of_many
from smsretry.retry.models import ItemResult
from smsretry.sending.summary import COUNTED_AS, RunSummary
from smsretry.vocabulary import Fate
from tests.support.builders import claim_with

Table: TypeAlias = Mapping[Any, object]


def modules() -> Iterator[ModuleType]:
    """Of the package and of the flows, but for what starts a program."""
    for package in (smsretry, flows):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                yield importlib.import_module(module.name)


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
        "smsretry.desk.questions.explanation.STATE_WORDS",
    } <= {name for name, _, _ in tables}
    assert {
        name: words ^ table.keys()
        for name, words, table in tables
        if words != table.keys()
    } == {}


def test_each_fate_is_counted_named_and_announced() -> None:
    """In the run's summary and its name, and by an event of its own. Automations and links name the events."""
    events = set[str]()
    for fate in get_args(Fate):
        result = ItemResult(retry_id=UUID(int=1), fate=fate)
        summary = RunSummary.of(results=[result])
        assert summary.counts == {COUNTED_AS[fate]: 1}
        text = ProcessedText(claim_with(), result)
        assert badge_of_many([text])[0], f"{fate} is in no number of a run's name"
        events.add(text.event.name)
    assert len(events) == len(get_args(Fate))
    assert "sms.text.retry-scheduled" in events
