"""The desk's commands, by which a person asks and orders; most are a deployment in Prefect, too."""

import shlex
from collections.abc import Mapping
from typing import Any, Final

from smsretry.desk.actions import requests, senders
from smsretry.desk.actions.form import POSITIONAL, Form, public_name

LEFT: Final = "…"
"""The value that a person has to find out."""


def _forms_by_command() -> Mapping[str, Mapping[str, type[Form]]]:
    commands = dict[str, dict[str, type[Form]]]()
    for form in (*vars(requests).values(), *vars(senders).values()):
        if isinstance(form, type) and issubclass(form, Form) and form.COMMAND:
            name, _, word = form.COMMAND.partition(" ")
            commands.setdefault(name, {})[word or name] = form
    return commands


DESK_COMMANDS: Final = _forms_by_command()
"""The forms of each command by their words, the usual one first. A single form has the command's name for its word.

They are in the order in which their modules define them.
"""


def help_of(command: str) -> str:
    """What a command does, and the words of its other forms."""
    forms = DESK_COMMANDS[command]
    usual_word, *other_words = forms
    summary = " ".join((forms[usual_word].__doc__ or "").split())
    if other_words:
        summary += f" Or {', '.join(other_words)}."
    return summary


def fill_in(form: type[Form], values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name the deployment that has a form, and make its parameters of these values."""
    name, _, word = form.COMMAND.partition(" ")
    deployment = f"sms-{name}"
    if not form.model_fields:
        return deployment, {}
    request = dict(values)
    return deployment, {"ask": {word: request} if word else request}


def command_of(form: type[Form], values: Mapping[str, Any]) -> str:
    """The command that fills in a form with these values. A reason that is not among them is left to the person."""
    words = ["smsretry", *form.COMMAND.split()]
    for name, value in values.items():
        field = form.model_fields[name]
        option = f"--{public_name(name)}"
        if POSITIONAL in field.metadata:
            words.append(str(value))
        elif name == "dry_run":
            if not value:
                words.append("--yes")
        elif value is True:
            words.append(option)
        elif value is not False and value != field.default:
            for item in value if isinstance(value, list) else [value]:
                words += [option, str(item)]
    reason = form.model_fields.get("because")
    if (
        reason
        and "because" not in values
        and (reason.is_required() or values.get("dry_run") is False)
    ):
        words += ["--because", LEFT]
    return shlex.join(words)
