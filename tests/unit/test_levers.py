"""Every lever of every reason in every state: its form can be submitted, and its command asks for the same."""

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
from smsretry.cli.parsing import fill_form
from smsretry.desk.actions.form import Request
from smsretry.desk.actions.requests import Cancel, LookAgain, RecordConsent, Requeue, Resolve, WhichText
from smsretry.desk.actions.senders import ResumeSender
from smsretry.desk.questions.levers import Lever, levers, nothing_to_do
from smsretry.desk.questions.records import TextRecord
from smsretry.vocabulary import TextState, WhyCode
from tests.support.builders import ACCOUNT, NOON, SENDER, SID

SIGNED: Final = {"who": "Ann", "because": "…"}
CAN: Final[dict[TextState, list[tuple[str, ...]]]] = {
    "scheduled": [("cancel_sms_retries",)],
    "due": [("cancel_sms_retries",)],
    "waiting": [("cancel_sms_retries",), ("cancel_sms_retries", "look_again_sms")],
    "held": [("cancel_sms_retries", "look_again_sms")],
    "under_way": [()],
    "in_doubt": [("resolve_sms_doubt",), ("resolve_sms_doubt", "look_again_sms")],
    "sent": [()],
    "failed": [(), ("requeue_failed_sms",), ("resolve_sms_doubt",), ("explain_sms",)],
    "cancelled": [(), ("requeue_failed_sms",), ("resolve_sms_doubt",), ("explain_sms",)],
}
"""What the database permits, by state."""
FORMS: Final[dict[str, type[Request]]] = {
    "requeue-failed-sms": Requeue,
    "cancel-sms-retries": Cancel,
    "look-again-sms": LookAgain,
    "resolve-sms-doubt": Resolve,
    "record-sms-consent": RecordConsent,
    "explain-sms": WhichText,
    "resume-sms-sender": ResumeSender,
}
CONSENTS: Final[list[dict[str, Any]]] = [
    {"consent": "opted_in"},
    {"consent": "unknown"},
    {"consent": "opted_out", "consent_source": "inbound_stop"},
]
OWN: Final[list[dict[str, Any]]] = [{}, {"sender_name": SENDER, "account": ACCOUNT}, {"stop_sid": SID}]
COMMANDS: Final[Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def text(state: TextState, **changes: Any) -> TextRecord:
    """A text of somebody who has consented."""
    known: dict[str, Any] = {
        "retry_id": UUID(int=1),
        "business_id": UUID(int=2),
        "business": "Maple",
        "customer_id": UUID(int=3),
        "send_log_id": UUID(int=4),
        "number": "…0123",
        "timezone": None,
        "business_timezone": None,
        "message_class": "marketing",
        "state": state,
        "since": NOON,
        "why": "Whatever it says",
        "code": None,
        "next_at": NOON,
        "expires_at": None,
        "attempts": 1,
        "max_attempts": 3,
        "queued_at": NOON,
        "consent": "opted_in",
        "consent_at": None,
        "consent_source": None,
        "opted_out_since": None,
        "phone_status": None,
        "send_log_status": "pending",
        "sid": None,
        "history": (),
        "events": (),
        "can": (),
        "asked_at": NOON,
    }
    return TextRecord.model_validate(known | changes)


def check(lever: Lever) -> None:
    """Its form takes what it is filled in with, and its command fills in the same form."""
    if lever.form:
        _check(lever.form, str(lever.command), json.dumps(lever.ask))


@cache
def _check(name: str, command_line: str, filled_in: str) -> None:
    form, ask = FORMS[name], json.loads(filled_in)
    needs_id = form is Resolve and "send_again" not in ask
    request = form.model_validate(
        ask | (SIGNED if "who" in form.model_fields else {}) | ({"went_out_as": SID} if needs_id else {})
    )
    words = shlex.split(command_line.replace("--went-out-as SID", f"--went-out-as {SID}"))
    assert words.pop(0) == "smsretry"
    command = COMMANDS[words.pop(0)]
    command = command.commands[words.pop(0)] if hasattr(command, "commands") else command
    given = {name: value or None for name, value in command.make_context(command.name, words).params.items()}
    more: dict[str, object] = {"who": "Ann"} if "who" in form.model_fields else {}
    if "dry_run" in form.model_fields:
        more["dry_run"] = not given["yes"]
    if form is RecordConsent:
        said = {"opt_out": "opted_out", "opt_in": "opted_in", "unchanged": "unchanged"}
        more["consent"] = next(word for option, word in said.items() if given[option])
    assert fill_form(form, given, **more) == request


@pytest.mark.parametrize("state", get_args(TextState))
def test_each_lever_s_form_and_command_are_whole_and_the_same(state: TextState) -> None:
    """Of each reason, whatever the text's consent is, and with an own sender or without."""
    for why_code, can, consent, own in product((*get_args(WhyCode), None), CAN[state], CONSENTS, OWN):
        one = text(state, why_code=why_code, can=can, **consent, **own)
        for code in (None, code_meaning(30003), code_meaning(21610)):
            for lever in levers(one, None, code):
                check(lever)
                assert "{" not in str(lever)


@pytest.mark.parametrize("state", get_args(TextState))
def test_a_text_has_a_lever_or_it_is_said_why_it_has_none(state: TextState) -> None:
    """Unless it has gone out."""
    for why_code, can, consent in product((*get_args(WhyCode), None), CAN[state], CONSENTS):
        one = text(state, why_code=why_code, can=can, **consent)
        assert next(levers(one, None, None), None) or nothing_to_do(one) or state == "sent", one
