"""Every remedy of every reason in every state: its form can be submitted, and its command asks for the same."""

import json
import shlex
from functools import cache
from itertools import product
from typing import Any, Final, get_args
from uuid import UUID

import pytest
import typer.main

from smsretry.adapters.twilio.errors import code_meaning
from smsretry.cli.command import app
from smsretry.cli.form_commands import fill_form
from smsretry.desk.actions.commands import DESK_COMMANDS, command_of
from smsretry.desk.actions.requests import Requeue
from smsretry.desk.actions.senders import ChangeSender
from smsretry.desk.questions.blocks import Remedy
from smsretry.desk.questions.records import TextRecord
from smsretry.desk.questions.remedies import remedies
from smsretry.vocabulary import TextState, WhyCode
from tests.support.builders import NOON, SENDER, SID
from tests.support.records import Record

SIGNED = {"who": "Ann", "because": "…"}
CAN: Final[dict[TextState, list[tuple[str, ...]]]] = {
    "scheduled": [("cancel",)],
    "due": [("cancel",)],
    "waiting": [("cancel",), ("cancel", "look-again")],
    "held": [("cancel", "look-again")],
    "under_way": [()],
    "in_doubt": [("resolve",), ("resolve", "look-again")],
    "sent": [()],
    "failed": [(), ("requeue",), ("resolve",), ("explain",)],
    "cancelled": [(), ("requeue",), ("resolve",), ("explain",)],
}
"""What the database permits, by state."""
CONSENTS: Final[list[Record]] = [
    {"consent": "opted_in"},
    {"consent": "unknown"},
    {"consent": "opted_out", "consent_source": "inbound_stop"},
]
OWN: Final[list[Record]] = [
    {},
    {"sender": "…0006", "sender_name": SENDER},
    {"stop_sid": SID},
]
LEFT_OPEN = {
    "--went-out-as": ("went_out_as", SID),
    "stop": ("state", "LA"),
    "--rate": ("segments_per_second", "9"),
    "--cap": ("segments_per_day", "9"),
}
"""What a remedy leaves to the person, and what they say."""
COMMANDS: Final[Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def text(state: TextState, **changes: Any) -> TextRecord:
    """A text of somebody who has consented."""
    defaults: Record = {
        "retry_id": UUID(int=1),
        "business_id": UUID(int=2),
        "business": "Maple",
        "customer_id": UUID(int=3),
        "send_log_id": UUID(int=4),
        "number": "…0123",
        "message_class": "marketing",
        "state": state,
        "since": NOON,
        "why": "Whatever it says",
        "next_at": NOON,
        "attempts": 1,
        "max_attempts": 3,
        "queued_at": NOON,
        "consent": "opted_in",
        "send_log_status": "pending",
        "can": (),
        "asked_at": NOON,
    }
    return TextRecord.model_validate(defaults | changes)


def check(remedy: Remedy) -> None:
    """Its form takes what it is filled in with, and its command fills in the same form."""
    if remedy.form:
        _check(remedy.form, str(remedy.command), json.dumps(remedy.ask))


@cache
def _check(name: str, command_line: str, filled_in: str) -> None:
    if name == "sms-doctor":
        return
    forms = DESK_COMMANDS[name.removeprefix("sms-")]
    ask = json.loads(filled_in).get("ask", {})
    word, values = (
        next(iter(ask.items())) if len(forms) > 1 else (next(iter(forms)), ask)
    )
    form = forms[word]
    placeholders = dict[str, str]()
    for word, (field, value) in LEFT_OPEN.items():
        if f"{word} '…'" in command_line:
            placeholders[field], command_line = (
                value,
                command_line.replace(f"{word} '…'", f"{word} {value}"),
            )
    request = form.at_terminal(
        **values, **(SIGNED if "who" in form.model_fields else {}), **placeholders
    )
    words = shlex.split(command_line)
    assert words.pop(0) == "smsretry"
    command = COMMANDS[words.pop(0)]
    if parts := getattr(command, "commands", None):
        command = (
            parts[words.pop(0)] if words[0] in parts else next(iter(parts.values()))
        )
    values_given = {
        name: value
        for name, value in command.make_context(command.name, words).params.items()
        if name != "as_json"
    }
    assert (
        fill_form(
            form, values_given | ({"who": "Ann"} if "who" in form.model_fields else {})
        )
        == request
    )


@pytest.mark.parametrize("state", get_args(TextState))
def test_each_remedy_s_form_and_command_are_whole_and_the_same(
    state: TextState,
) -> None:
    """Of each reason, whatever the text's consent is, and with an own sender or without; unless it has gone out."""
    for why_code, can, consent, own_sender in product(
        (*get_args(WhyCode), None), CAN[state], CONSENTS, OWN
    ):
        record = text(state, why_code=why_code, can=can, **consent, **own_sender)
        assert (
            next(remedies(record, None, None, None), None)
            or not can
            or state == "in_doubt"
        ), record
        for code in (None, code_meaning(30003), code_meaning(21610)):
            for remedy in remedies(record, None, None, code):
                check(remedy)
                assert "{" not in str(remedy)


def test_a_command_holds_every_value_as_a_shell_takes_it() -> None:
    """Zero is a value, and several words are one argument. A reason that is there is not asked for again."""
    no_rate = {"sender": SENDER, "segments_per_second": 0}
    change = f"smsretry senders change {SENDER} --rate 0 --because '…'"
    assert command_of(ChangeSender, no_rate) == change
    order = {"code": 30003, "dry_run": False, "who": "Ann Lee", "because": "Mended"}
    requeue = "smsretry texts requeue --code 30003 --yes --who 'Ann Lee'"
    assert command_of(Requeue, order) == f"{requeue} --because Mended"
