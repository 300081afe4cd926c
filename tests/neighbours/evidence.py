"""Texts in doubt under a Twilio that tells its messages otherwise than they were sent, and beside an application.

Of each kind, half the texts were accepted and half were not, and no answer came. A case that nobody can decide is held.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted
from smsretry.local.twilio.ledger import Entry
from smsretry.retry.models import Claim
from tests.neighbours.midflight import send_as_application
from tests.neighbours.report import Report, run
from tests.neighbours.street import Neighbour, Street
from tests.neighbours.texts import Text

_WORDS: Final = " \u201cHi\u00a0Ann\u201d \u2013 it\u2019s time\u2026 \n"
_PLAIN: Final = str.maketrans(
    {"\u201c": '"', "\u201d": '"', "\u00a0": " ", "\u2013": "-", "\u2019": "'", "\u2026": "..."}
)
_HELD: Final = "held: In doubt: .*smsretry resolve"
Application = Literal["silent", "own words", "same words", "own words, unrecorded"]


@dataclass(frozen=True, slots=True)
class Case:
    """What Twilio, or an application, makes of the evidence."""

    name: str
    redacts: bool = False
    encodes: bool = False
    trims: bool = False
    footer: str = ""
    application: Application = "silent"
    """What the application texts the same people at the same moment; unrecorded: it keeps no SID of it."""
    accepted_end: str = "completed"
    dropped_end: str = "completed"

    def body(self, entry: Entry) -> str:
        """As the list tells it."""
        told = entry.body.translate(_PLAIN) if self.encodes else entry.body
        told = told.strip() if self.trims else told
        return "" if self.redacts else told + self.footer


CASES: Final = (
    Case("as it was sent"),
    Case("smart encoding", encodes=True),
    Case("redaction", redacts=True, accepted_end=_HELD),
    Case("a footer", footer="\nReply STOP to unsubscribe"),
    Case("trimmed", trims=True, encodes=True, footer=" "),
    Case("the application's own words", application="own words"),
    Case("the application's same words", application="same words"),
    Case("the application's words, unrecorded", application="own words, unrecorded", dropped_end=_HELD),
)


class InDoubt(Neighbour):
    """Texts of one case."""

    def __init__(self, case: Case, texts: int) -> None:
        self.name = case.name
        self._place = CASES.index(case)
        self.case = case
        self._texts = texts
        self._open: dict[UUID, Text] = {}

    def move_in(self, street: Street) -> None:
        texts = []
        for n in range(self._texts):
            accepted = n % 2 == 0
            end = self.case.accepted_end if accepted else self.case.dropped_end
            # Two a minute: three answers missing in a row would rightly stop a run.
            due = 1 + (n * len(CASES) + self._place) / 2
            text = street.text(self.name, n, due, may_end=(end,))
            text.body = f"{_WORDS}{text.body}{_WORDS}"
            street.stack.twilio.fail(AcceptThenDrop() if accepted else DropUnaccepted(), to=text.phone)
            self._open[text.retry_id] = text
            texts.append(text)
        street.move_in(self.name, texts)

    def between(self, street: Street, claim: Claim, moment: str) -> None:
        text = self._open.pop(claim.id, None) if moment == "finish" else None
        match self.case.application if text else "silent":
            case "same words" if text:
                send_as_application(street, text, text.body or "")
                text.from_application += 1
            case "own words" if text:
                send_as_application(street, text, f"Dear Ann, {text.retry_id}")
            case "own words, unrecorded" if text:
                send_as_application(street, text, f"Dear Ann, {text.retry_id}", recorded=False)


class Twilio(Neighbour):
    """How it tells what it has: each case's bodies, in an order of its own, by a clock of its own."""

    name = "Twilio"

    def __init__(self, cases: Sequence[InDoubt], clock_ahead: timedelta) -> None:
        self._cases = cases
        self._clock_ahead = clock_ahead

    def move_in(self, street: Street) -> None:
        of_number = {text.phone: case.case for case in self._cases for text in case._open.values()}

        def retell(entries: Sequence[Entry]) -> Sequence[Entry]:
            told = [replace(entry, body=of_number[entry.to].body(entry)) for entry in entries]
            return sorted(told, key=lambda entry: entry.sid)

        street.stack.twilio.retell = retell
        street.stack.twilio.clock_ahead = self._clock_ahead

    def move_out(self, street: Street) -> None:
        street.stack.twilio.retell = tuple
        street.stack.twilio.clock_ahead = timedelta(0)


def evidence(stack: Stack, *, texts: int, seed: str, clock_ahead: timedelta) -> Report:
    """On an empty stack: every case, with so many texts each, and time enough to look for all of them."""
    cases = [InDoubt(case, texts) for case in CASES]
    minutes = texts * len(CASES) // 2 + 30
    return run(stack, [*cases, Twilio(cases, clock_ahead)], minutes=minutes, seed=seed)
