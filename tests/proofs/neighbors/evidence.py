"""Texts in doubt under a Twilio that tells its messages otherwise than they were sent, and beside an application.

Its list changes bodies and orders, dates a message by a clock that was wrong when it was sent, tells no date, or is
longer than anybody reads. Of each kind, half the texts were accepted and half were not, and no answer came. A case that
nobody can decide is held, until a person looks into Twilio's own log and says what it was.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, Literal
from uuid import UUID

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.twilio import http, lists
from smsretry.local.stack import Stack
from smsretry.local.twilio.faults import AcceptThenDrop, DropUnaccepted, ListLag
from smsretry.local.twilio.ledger import Entry
from smsretry.retry import evidence as compared
from smsretry.retry.evidence import Sent, plain
from smsretry.retry.models import Claim, Sighting
from tests.proofs.neighbors.report import run
from tests.proofs.neighbors.street import MINUTE, Life, Neighbor, Street
from tests.proofs.neighbors.troubles import send_as_application
from tests.proofs.town.report import Report
from tests.proofs.town.safeguards import Safeguard
from tests.proofs.town.texts import Text, write
from tests.support.builders import resolution
from tests.support.orders import resolve

_WORDS: Final = " \u201cHi\u00a0Ann\u201d \u2013 it\u2019s time\u2026 \n"
_PLAIN: Final = str.maketrans(
    {"\u201c": '"', "\u201d": '"', "\u00a0": " ", "\u2013": "-", "\u2019": "'", "\u2026": "..."}
)


@dataclass(frozen=True, slots=True)
class Case:
    """What Twilio, or an application, makes of the evidence."""

    name: str
    tells: Callable[[str], str] = str
    """How its list tells a body."""
    says: Callable[[str], str] | None = None
    """What the application texts the same people at the same moment."""
    recorded: bool = True
    """Whether it keeps the SID of that."""
    dated: timedelta = timedelta(0)
    """By how much its messages are dated wrong: the database's clock was, when they were sent."""
    late: timedelta = timedelta(0)
    """How long after its request a message is created."""
    undated: bool = False
    among: int = 0
    """So many newer messages, of whomever, come before it in the list."""
    held: Literal["", "accepted", "dropped"] = ""
    """Which half of its texts nobody but a person can decide."""

    def listed(self, entry: Entry) -> list[Entry]:
        """The message in the list, behind those that come before it."""
        told = replace(entry, body=self.tells(entry.body), accepted_at=entry.accepted_at + self.dated + self.late)
        later = entry.accepted_at + timedelta(hours=1)
        others = (replace(entry, sid=f"SM{n:032x}", body="Somebody's", accepted_at=later) for n in range(self.among))
        return [*others, told]


def _own_words(body: str) -> str:
    return f"Dear Ann, {body[-12:]}"


CASES: Final = (
    Case("as it was sent"),
    Case("smart encoding", tells=lambda body: body.translate(_PLAIN)),
    Case("redaction", tells=lambda body: "", held="accepted"),
    Case("a footer", tells=lambda body: f"{body}\nReply STOP to unsubscribe"),
    Case("trimmed", tells=lambda body: body.translate(_PLAIN).strip() + " "),
    Case("the application's own words", says=_own_words),
    Case("the application's same words", says=str),
    Case("the application's words, unrecorded", says=_own_words, recorded=False, held="dropped"),
    Case("longer words, unrecorded", says=lambda body: f"{body} Bring your card.", recorded=False, held="dropped"),
    Case("a clock that was fast", dated=timedelta(minutes=-10), held="accepted"),
    Case("a clock that was slow", dated=timedelta(minutes=10), held="accepted"),
    Case("a clock of another day", dated=timedelta(days=-2), held="accepted"),
    Case("created late", late=timedelta(minutes=8), held="accepted"),
    Case("no dates", undated=True, held="accepted"),
    Case("a thousand others", among=1_000, held="accepted"),
)


@dataclass(slots=True)
class _Told:
    """What is known of the texts of all cases."""

    of_number: dict[str | None, Case] = field(default_factory=dict)
    undecided: dict[UUID, Text] = field(default_factory=dict)
    """Texts that must come to be held."""


def _in_doubt(case: Case, texts: int, told: _Told) -> Neighbor:
    """Texts of one case."""

    def live(street: Street) -> None:
        # Two a minute: three answers missing in a row would rightly stop a run.
        mine = [street.text(case.name, 1 + (n * len(CASES) + CASES.index(case)) / 2) for n in range(texts)]
        street.open(case.name)
        for n, text in enumerate(mine):
            accepted = n % 2 == 0
            text.body = f"{_WORDS}{text.body}{_WORDS}"
            street.stack.twilio.fail(AcceptThenDrop() if accepted else DropUnaccepted(), to=text.phone)
            if case.late:
                street.stack.twilio.fail(ListLag(case.late), to=text.phone, times=None)
            told.of_number[text.phone] = case
            if case.held == ("accepted" if accepted else "dropped"):
                told.undecided[text.retry_id] = text
        write(street.connection, mine)
        left = {text.retry_id: text for text in mine}

        def between(claim: Claim, moment: str) -> None:
            text = left.pop(claim.id, None) if moment == "finish" else None
            if text and case.says:
                send_as_application(street, text, case.says(text.body or ""), recorded=case.recorded)

        street.between.append(between)

    return live


def _alike(pairs: int, first: int) -> Neighbor:
    """Two texts to a number, in doubt at once: the shorter one, whose words the longer one has, never arrived."""

    def live(street: Street) -> Life:
        put_off: dict[int, tuple[Text, timedelta]] = {}
        street.open("texts that are alike")
        for n in range(pairs):
            minute, words = first + 2 * n, f"Your visit {n:04} is tomorrow at 10:00"
            longer = (f"{words}. Please bring your card.", f"A reminder from Maple Street: {words}")[n % 2]
            short = street.text("texts that are alike", minute, body=words)
            same = {"phone": short.phone, "customer_id": short.customer_id}
            long = street.text("texts that are alike", minute + 1, body=longer, **same)
            for fault in (DropUnaccepted(), AcceptThenDrop()):  # the shorter one goes first
                street.stack.twilio.fail(fault, to=short.phone)
            write(street.connection, [short, long])
            # It is also looked for first, and when the other one has been sent.
            put_off |= {minute + 1: (short, MINUTE), minute + 2: (long, 2 * MINUTE)}
        while True:
            minute = yield from street.tick()
            if minute in put_off:
                text, more = put_off[minute]
                street.connection.execute(
                    "update sms_retry_queue set scheduled_for = %s where id = %s and in_doubt_since is not null",
                    [street.now + more, text.retry_id],
                )

    return live


def _twilio(told: _Told, clock_ahead: timedelta) -> Neighbor:
    """How it tells what it has: each case's bodies, in an order of its own, by a clock of its own."""

    def live(street: Street) -> Life:
        def case(number: str) -> Case:
            return told.of_number.get(number, CASES[0])

        def retell(entries: Sequence[Entry]) -> Sequence[Entry]:
            return sorted((each for e in entries for each in case(e.to).listed(e)), key=lambda entry: entry.sid)

        def misprint(message: dict[str, Any]) -> dict[str, Any]:
            return {**message, "date_created": None} if case(message["to"]).undated else message

        twilio = street.stack.twilio
        twilio.retell, twilio.misprint, twilio.clock_ahead = retell, misprint, clock_ahead
        try:
            yield from street.until(street.minutes)
        finally:
            twilio.heal()
            twilio.retell, twilio.misprint, twilio.clock_ahead = tuple, dict, timedelta(0)

    return live


def _person(told: _Told) -> Neighbor:
    """Comes when every look was made, and resolves what is held in doubt by Twilio's own log."""

    def live(street: Street) -> Life:
        yield from street.until(street.minutes - 2)
        held = street.connection.execute(
            "select id, why from sms_retry_queue where held_since is not null and in_doubt_since is not null"
        ).fetchall()
        if {row["id"] for row in held} != told.undecided.keys():
            street.bugs.append(f"{len(held)} texts are held, and only a person can decide {len(told.undecided)}")
        with SupabaseOperators(street.stack.settings()) as operators:
            for row in held:
                if not re.match("In doubt: .*smsretry texts resolve", row["why"]):
                    street.bugs.append(f"{row['id']} is held, and its reason says not what to do: {row['why']}")
                text = told.undecided.get(row["id"])
                sids = [e.sid for e in street.stack.twilio.ledger.entries() if text and e.body == text.body]
                answer = (
                    "resolved"
                    if resolve(operators, resolution(row["id"], sids[0] if sids else None))
                    else "not_in_doubt"
                )
                street.counts[f"{answer} by a person: {'went out' if sids else 'to be sent again'}"] += 1

    return live


def evidence(stack: Stack, *, texts: int, seed: str, clock_ahead: timedelta) -> Report:
    """On an empty stack: every case, with so many texts each, and time enough to look for all of them."""
    told = _Told()
    cases = [_in_doubt(case, texts, told) for case in CASES]
    alike = texts * len(CASES) // 2 + 2  # when the cases are under way: answers that are missing stop a run
    others = [_alike(texts, alike), _twilio(told, clock_ahead), _person(told)]
    return run(stack, [*cases, *others], minutes=alike + 2 * texts + 30, seed=seed)


# -- what counted as evidence before it proved what it proves ----------------------------------------------------------

_words, _time, _entries, _sighting = compared._words, compared._time, lists._entries, lists._sighting


def _begins_or_ends_alike(sighting: Sighting, sent: Sent) -> str:
    """A body was ours if it began or ended as ours did."""
    told, ours = plain(sighting.body), plain(sent.body)
    alike = bool(ours) and (told.startswith(ours) or told.endswith(ours))
    return "ours" if alike else _words(sighting, sent)


def _nobody_elses(sighting: Sighting, sent: Sent) -> str:
    """What else was sent to the number was not asked."""
    return _words(sighting, Sent(sent.phone, sent.body, sent.begun_at, sent.in_doubt_since))


def _by_the_clock(sighting: Sighting, sent: Sent, clock_ahead: timedelta) -> str:
    """The clock was believed."""
    time = _time(sighting, sent, clock_ahead)
    return "never" if time == "unusual" else time


def _as_if_it_were_whole(page: Any) -> Iterator[Any]:
    """What was not read was not there."""
    return (entry for entry in _entries(page) if not isinstance(entry, str))


def _dated(message: Any) -> Sighting:
    """A date was taken for granted."""
    if message.date_created is None:
        raise TypeError("'<' not supported between instances of 'NoneType' and 'datetime'")
    return _sighting(message)


EVIDENCE: Final = {
    "whole words": ("lost", Safeguard(patches=((compared, "_words", _begins_or_ends_alike),))),
    "others' words": ("bugs", Safeguard(patches=((compared, "_words", _nobody_elses),))),
    "any clock": ("doubled", Safeguard(patches=((compared, "_time", _by_the_clock),))),
    "whole lists": ("doubled", Safeguard(patches=((lists, "_entries", _as_if_it_were_whole),))),
    "undated entries": ("bugs", Safeguard(patches=((lists, "_sighting", _dated),))),
    "Twilio's own clock": ("doubled", Safeguard(patches=((http, "_clock", lambda *_: None),))),
}
"""What `--evidence` can be run without, and what the judge finds then. The last needs a clock that is behind."""
