"""What the customer says, who writes it down, and what becomes of their number meanwhile."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import uuid4

from tests.proofs.interleavings.provider import SENDER
from tests.proofs.interleavings.said import Said
from tests.proofs.interleavings.state import (
    BUSINESS,
    CUSTOMER,
    OTHER_PHONE,
    PHONE,
    State,
    Step,
    calls,
    instant,
    writes,
)
from tests.proofs.interleavings.world import World
from tests.proofs.town.texts import NEW_YORK
from tests.support.builders import NOON
from tests.support.records import Record

_SIGNATURE: Final = {"who": "Pat", "because": "They rang us up"}
_CONSENTED_AT: Final = NOON - timedelta(days=1)
_IMPORTED_AT: Final = NOON - timedelta(hours=12)
"""Each time, so that what is said later outlives it."""
_BODIES: Final = {
    "STOP": "STOP",
    "START": "START",
    "yes": "Yes",
    "HELP": "HELP",
    "what may mean stop": "Wrong number",
}

CONSENT = "update customers set sms_consent_status = %s, sms_consent_at = smsretry.clock() where id = %s"
_OLD_CONSENT = "update customers set sms_consent_status = 'opted_in', sms_consent_at = %s where id = %s"
"""It is from before the text, however much time has gone by."""
_NUMBER = "update customers set phone = %s where id = %s"
_INSERT = """
insert into customers (id, business_id, phone, timezone, sms_consent_status, sms_consent_at)
values (%s, %s, %s, %s, 'opted_in', %s)
"""


def numbers(world: World, state: State) -> Iterator[Step]:
    """The application writes the customer's number otherwise, gives them another one, and takes their row away."""
    rows = world.rows(state.content, "customers")
    if not rows:
        there = (CUSTOMER, BUSINESS, state.number, NEW_YORK, _CONSENTED_AT)
        yield writes(
            "the application inserts the customer again",
            (_INSERT, there),
        )
        return
    yield writes(
        "the application deletes the customer",
        ("delete from customers where id = %s", (CUSTOMER,)),
    )
    if rows[0]["phone"] == state.number:
        spelled = f"{state.number[:2]} ({state.number[2:5]}) {state.number[5:]}"
        yield writes(
            "the application writes the number otherwise",
            (_NUMBER, (spelled, CUSTOMER)),
        )
    else:
        yield writes(
            "the application writes the number in E.164 again",
            (_NUMBER, (state.number, CUSTOMER)),
        )
    if state.number == PHONE:
        yield writes(
            "the application changes the number",
            (_NUMBER, (OTHER_PHONE, CUSTOMER)),
            number=OTHER_PHONE,
            said=state.said.joined(state.elsewhere),
            elsewhere=Said(),
        )


def consents(world: World, state: State) -> Iterator[Step]:
    """The application writes consent down and imports it again; lists and people say what somebody else heard."""
    rows = world.rows(state.content, "customers")
    if rows:
        yield writes(
            "the application writes an opt-out",
            (CONSENT, ("opted_out", CUSTOMER)),
            said=state.said.stops(),
        )
        yield writes(
            "the application writes an opt-in",
            (CONSENT, ("opted_in", CUSTOMER)),
            said=state.said.agrees(),
        )
    if rows and state.said.word == "stop":
        yield writes(
            "the application imports an old opt-in",
            (_OLD_CONSENT, (_CONSENTED_AT, CUSTOMER)),
        )
    yield from _listed(rows, state)
    by_number = {"phone": state.number, "business_id": BUSINESS}
    by_id = {"phone": None, "customer_id": CUSTOMER, **_SIGNATURE}
    for consent, whose in (
        ("opted_out", by_number),
        ("opted_out", by_id),
        ("opted_in", by_id),
        ("unchanged", by_id),
    ):
        if rows or whose is by_number:
            how = "by number" if whose is by_number else "by id"
            yield calls(
                f"a person records {how}: {consent}",
                "record_sms_consent",
                {"consent": consent, "source": "telephone", **whose},
                partial(_recorded, consent),
            )


def _recorded(consent: str, state: State, _: Any) -> State:
    said = {
        "opted_out": state.said.stops(),
        "opted_in": state.said.starts(),
        "unchanged": replace(state.said, is_unread=False),
    }[consent]
    return replace(state, said=said)


def _listed(rows: list[Record], state: State) -> Iterator[Step]:
    """Opt-outs come from another system, for either number, and from a carrier's list, each of an earlier day."""
    consented_at = [
        instant(row["sms_consent_at"])
        for row in rows
        if row["sms_consent_status"] == "opted_in"
    ]

    def stops(at: datetime, state: State, answer: Any) -> State:
        is_outlived = any(said_at and said_at > at for said_at in consented_at)
        if is_outlived or state.said.word == "unclear" or not answer[0]["recorded"]:
            return state
        return replace(state, said=state.said.stops())

    def imported(phone: str) -> Record:
        line = {"phone": phone, "at": _IMPORTED_AT.isoformat()}
        return {"opt_outs": [line], "business_id": BUSINESS, "dry_run": False} | (
            _SIGNATURE
        )

    yield calls(
        "an opt-out is imported",
        "import_sms_opt_outs",
        imported(state.number),
        partial(stops, _IMPORTED_AT),
    )
    if state.number != OTHER_PHONE:
        yield calls(
            "an opt-out of another number is imported",
            "import_sms_opt_outs",
            imported(OTHER_PHONE),
            lambda state, _: replace(state, elsewhere=state.elsewhere.stops()),
        )


def inbound(world: World, state: State) -> Iterator[Step]:
    """The customer texts one of the words, which the webhook hears; so does whoever has the other number."""
    for word in _BODIES:
        yield _text("the customer", word, state.number)
        if state.number != OTHER_PHONE and word in ("STOP", "what may mean stop"):
            yield _text("somebody else", word, OTHER_PHONE)


def _text(who: str, word: str, phone: str) -> Step:
    values: Record = {
        "phone": phone,
        "twilio_sid": f"SM{uuid4().hex}",
        "to_number": SENDER.sent_by,
        "body": _BODIES[word],
    } | ({"opt_out_type": word} if word.isupper() else {})

    def after(state: State, answer: Any) -> State:
        if phone != state.number:
            return replace(state, elsewhere=_heard(state.elsewhere, word))
        return replace(state, said=_heard(state.said, word))

    return calls(f"{who} texts {word}", "record_inbound_sms", values, after)


def _heard(said: Said, word: str) -> Said:
    match word:
        case "STOP":
            return said.stops()
        case "START":
            return said.starts()
        case "yes":
            return said.agrees()
        case "what may mean stop":
            return said.writes_unclearly()
        case _:
            return said
