"""Texts in doubt under a Twilio that tells its messages otherwise than they were sent, and beside an application.

Its list changes bodies and orders, dates a message by a clock that was wrong when it was sent, tells no date, or is
longer than anybody reads.

Of each kind, half the texts were accepted and half were not, and no answer came. A case that nobody can decide is held,
until a person looks into Twilio's own log and says what it was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, ListLag
from smsretry.local.twilio.ledger import Entry
from smsretry.retry.models import Claim
from tests.proofs.neighbors.alike import Alike
from tests.proofs.neighbors.midflight import send_as_application
from tests.proofs.neighbors.report import Report, run
from tests.proofs.neighbors.street import Neighbor, Street
from tests.proofs.neighbors.texts import Text
from tests.support.builders import resolution

_WORDS: Final = " \u201cHi\u00a0Ann\u201d \u2013 it\u2019s time\u2026 \n"
_PLAIN: Final = str.maketrans(
    {"\u201c": '"', "\u201d": '"', "\u00a0": " ", "\u2013": "-", "\u2019": "'", "\u2026": "..."}
)
_WHY_HELD: Final = "In doubt: .*smsretry resolve"
_MORE_WORDS: Final = " See you at 10:00. Please bring your card."
_MANY: Final = 1_000
Application = Literal["silent", "own words", "same words", "own words, unrecorded", "longer words, unrecorded"]


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
    dated: timedelta = timedelta(0)
    """By how much its messages are dated wrong: the database's clock was, when they were sent."""
    late: timedelta = timedelta(0)
    """How long after its request a message is created."""
    undated: bool = False
    among: int = 0
    """So many newer messages, of whomever, come before it in the list."""
    held: Literal["", "accepted", "dropped"] = ""
    """Which half of its texts nobody but a person can decide."""

    def body(self, entry: Entry) -> str:
        """As the list tells it."""
        told = entry.body.translate(_PLAIN) if self.encodes else entry.body
        told = told.strip() if self.trims else told
        return "" if self.redacts else told + self.footer

    def listed(self, entry: Entry) -> list[Entry]:
        """The message in the list, behind those that come before it."""
        told = replace(entry, body=self.body(entry), accepted_at=entry.accepted_at + self.dated + self.late)
        others = [
            replace(entry, sid=f"SM{n:032x}", body="Somebody's", accepted_at=entry.accepted_at + timedelta(hours=1))
            for n in range(self.among)
        ]
        return [*others, told]


CASES: Final = (
    Case("as it was sent"),
    Case("smart encoding", encodes=True),
    Case("redaction", redacts=True, held="accepted"),
    Case("a footer", footer="\nReply STOP to unsubscribe"),
    Case("trimmed", trims=True, encodes=True, footer=" "),
    Case("the application's own words", application="own words"),
    Case("the application's same words", application="same words"),
    Case("the application's words, unrecorded", application="own words, unrecorded", held="dropped"),
    Case("longer words, unrecorded", application="longer words, unrecorded", held="dropped"),
    Case("a clock that was fast", dated=timedelta(minutes=-10), held="accepted"),
    Case("a clock that was slow", dated=timedelta(minutes=10), held="accepted"),
    Case("a clock of another day", dated=timedelta(days=-2), held="accepted"),
    Case("created late", late=timedelta(minutes=8), held="accepted"),
    Case("no dates", undated=True, held="accepted"),
    Case("a thousand others", among=_MANY, held="accepted"),
)


class InDoubt(Neighbor):
    """Texts of one case."""

    def __init__(self, case: Case, texts: int) -> None:
        self.name = case.name
        self._place = CASES.index(case)
        self.case = case
        self._texts = texts
        self._open: dict[UUID, Text] = {}
        self.undecided: dict[UUID, Text] = {}
        """Texts that must come to be held."""

    def move_in(self, street: Street) -> None:
        texts = []
        for n in range(self._texts):
            accepted = n % 2 == 0
            # Two a minute: three answers missing in a row would rightly stop a run.
            due = 1 + (n * len(CASES) + self._place) / 2
            text = street.text(self.name, n, due)
            text.body = f"{_WORDS}{text.body}{_WORDS}"
            street.stack.twilio.fail(AcceptThenDrop() if accepted else DropUnaccepted(), to=text.phone)
            self._open[text.retry_id] = text
            if self.case.late:
                street.stack.twilio.fail(ListLag(self.case.late), to=text.phone, times=None)
            if self.case.held == ("accepted" if accepted else "dropped"):
                self.undecided[text.retry_id] = text
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
            case "longer words, unrecorded" if text:
                send_as_application(street, text, f"{text.body}{_MORE_WORDS}", recorded=False)


class Twilio(Neighbor):
    """How it tells what it has: each case's bodies, in an order of its own, by a clock of its own."""

    name = "Twilio"

    def __init__(self, cases: Sequence[InDoubt], clock_ahead: timedelta) -> None:
        self._cases = cases
        self._clock_ahead = clock_ahead

    def move_in(self, street: Street) -> None:
        of_number = {text.phone: case.case for case in self._cases for text in case._open.values()}

        def retell(entries: Sequence[Entry]) -> Sequence[Entry]:
            told = [each for entry in entries for each in of_number.get(entry.to, CASES[0]).listed(entry)]
            return sorted(told, key=lambda entry: entry.sid)

        def misprint(message: dict[str, Any]) -> dict[str, Any]:
            undated = of_number.get(message["to"], CASES[0]).undated
            return {**message, "date_created": None} if undated else message

        street.stack.twilio.retell = retell
        street.stack.twilio.misprint = misprint
        street.stack.twilio.clock_ahead = self._clock_ahead

    def move_out(self, street: Street) -> None:
        street.stack.twilio.heal()
        street.stack.twilio.retell = tuple
        street.stack.twilio.misprint = dict
        street.stack.twilio.clock_ahead = timedelta(0)


class Person(Neighbor):
    """Comes when every look was made, and resolves what is held in doubt by Twilio's own log."""

    name = "a person"

    def __init__(self, cases: Sequence[InDoubt], comes: int) -> None:
        self._cases = cases
        self._comes = comes

    def minute(self, street: Street, n: int) -> None:
        if n != self._comes:
            return
        undecided = {row_id: text for case in self._cases for row_id, text in case.undecided.items()}
        held = street.connection.execute(
            "select id, why from sms_retry_queue where held_since is not null and in_doubt_since is not null"
        ).fetchall()
        if {row["id"] for row in held} != undecided.keys():
            street.bugs.append(f"{len(held)} texts are held, and only a person can decide {len(undecided)}")
        with SupabaseOperators(street.stack.settings()) as operators:
            for row in held:
                if not re.match(_WHY_HELD, row["why"]):
                    street.bugs.append(f"{row['id']} is held, and its reason says not what to do: {row['why']}")
                self._resolve(street, operators, row["id"], undecided.get(row["id"]))

    def _resolve(self, street: Street, operators: SupabaseOperators, row_id: UUID, text: Text | None) -> None:
        sids = [entry.sid for entry in street.stack.twilio.ledger.entries() if text and entry.body == text.body]
        answer = "resolved" if operators.resolve(resolution(row_id, sids[0] if sids else None)) else "not_in_doubt"
        street.counts[f"{answer} by a person: {'went out' if sids else 'to be sent again'}"] += 1


def evidence(stack: Stack, *, texts: int, seed: str, clock_ahead: timedelta) -> Report:
    """On an empty stack: every case, with so many texts each, and time enough to look for all of them."""
    cases = [InDoubt(case, texts) for case in CASES]
    alike = texts * len(CASES) // 2 + 2  # when the cases are under way: answers that are missing stop a run
    minutes = alike + 2 * texts + 30
    others = [Twilio(cases, clock_ahead), Person(cases, comes=minutes - 2)]
    return run(stack, [*cases, Alike(texts, first=alike), *others], minutes=minutes, seed=seed)
