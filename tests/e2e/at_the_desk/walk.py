"""The walk at 8:15: from a customer's id to the reason, and to the lever that ends the trouble, in Prefect's UI."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from tests.e2e.at_the_desk.kinds import Kind, bring_about
from tests.e2e.at_the_desk.prefect_ui import PrefectUi
from tests.e2e.at_the_desk.town import Town
from tests.e2e.browser import Browser
from tests.e2e.conftest import FlowProcess

MOST_PAGES = 3
"""To the reason."""
_RAW = ("why: ", "consent is opted_", "from opted_", "was opted_")
"""What no stranger understands."""


@dataclass(frozen=True)
class Leg:
    """A part of the way: pages seen, and seconds. Pictures take no time."""

    pages: int
    seconds: float

    def __add__(self, other: "Leg") -> "Leg":
        return Leg(self.pages + other.pages, self.seconds + other.seconds)

    def __str__(self) -> str:
        return f"{self.pages}, {self.seconds:.0f} s"


@dataclass(frozen=True)
class Walked:
    """What the walk to a text came to."""

    kind: Kind
    to_reason: Leg
    until_pulled: Leg
    became: str

    def __str__(self) -> str:
        levers = ", then ".join(self.kind.levers)
        return f"| {self.kind} | {self.to_reason} | {levers} | {self.until_pulled} | {self.became} |"


class Walk:
    """One person's way to one text."""

    def __init__(self, ui: PrefectUi, kind: Kind, pictures: Path | None) -> None:
        self._ui, self._page, self._kind, self._pictures = ui, ui.page, kind, pictures
        self._pages, self._all_pages, self._since = 0, 0, time.monotonic()

    def _seen(self, what: str) -> None:
        self._pages += 1
        self._all_pages += 1
        if self._pictures:
            began = time.monotonic()
            name = "-".join(self._kind.name.replace(",", "").replace("'", "").split())
            self._page.picture(self._pictures / f"{name}-{self._all_pages}-{what}.png")
            self._since += time.monotonic() - began

    def _leg(self) -> Leg:
        leg = Leg(self._pages, time.monotonic() - self._since)
        self._pages, self._since = 0, time.monotonic()
        return leg

    def to_reason(self, customer: UUID, says: str) -> Leg:
        """The form explain-sms, and its run's first page, which must say why in words.

        Raises:
            NotSeen: it does not.
        """
        self._ui.open_form("explain-sms")
        self._ui.fill("Customer", str(customer))
        self._seen("form")
        told = self._ui.submit(until=says)
        self._page.sees("You can: ")
        self._seen("reason")
        assert not [raw for raw in _RAW if raw in told], f"{self._kind}: words that nobody understands:\n{told}"
        return self._leg()

    def must_say(self, words: str) -> None:
        """What is to be done before the lever is pulled.

        Raises:
            NotSeen: the page does not say so.
        """
        self._page.sees(words)

    def pull(self, lever: str) -> Leg:
        """Follow the page's first lever to its form, sign that, and submit it.

        Raises:
            NotSeen: the lever leads nowhere, or to nothing.
        """
        told = self._page.sees(lever)
        [first, *_] = (line for line in told.splitlines() if "You can: " in line)
        assert lever in first, f"{self._kind}: the first lever is another: {first}"
        self._ui.answer(until=lever)
        self._seen("answer")
        self._page.follow(lever)
        self._page.sees("Submit")
        self._ui.sign("Ann", "The customer called at 8:15")
        self._seen("lever")
        self._ui.submit(until="Finished in state Completed")
        self._seen("pulled")
        return self._leg()


def walk(
    kinds: tuple[Kind, ...], town: Town, flow: FlowProcess, page: Browser, pictures: Path | None = None
) -> Iterator[Walked]:
    """Walk to each, and have one run at the end. What the trouble became is the database's word.

    Raises:
        AssertionError: a page does not say why, a lever does not work, or there still is trouble.
    """
    customers = bring_about(kinds, town, flow)
    ui = PrefectUi(page, flow.prefect.server.url)
    legs = {kind: _legs(Walk(ui, kind, pictures), kind, town, customer) for kind, customer in customers.items()}
    flow.run()
    for kind, customer in customers.items():
        became = town.state_of(customer)
        assert became == kind.ends, f"{kind}: it is {became}"
        yield Walked(kind, *legs[kind], became)


def _legs(walk: Walk, kind: Kind, town: Town, customer: UUID) -> tuple[Leg, Leg]:
    first, *others = kind.levers
    to_reason = walk.to_reason(customer, kind.reason)
    assert to_reason.pages <= MOST_PAGES
    walk.must_say(kind.says_first)
    kind.fix(town, customer)
    pulled = walk.pull(first)
    for lever in others:
        pulled += walk.to_reason(customer, lever) + walk.pull(lever)
    assert town.state_of(customer) == kind.ends or town.is_due(customer), f"{kind}: the next run does not take it"
    return to_reason, pulled


def table(walked: Iterable[Walked]) -> str:
    """As tests/README.md has it."""
    head = (
        "| kind | to the reason: pages, time | lever | until it is pulled | what became of it |\n|---|---|---|---|---|"
    )
    return "\n".join([head, *map(str, walked)])
