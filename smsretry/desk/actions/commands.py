"""The desk's commands, by which a person asks and orders; most are a deployment in Prefect, too."""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from smsretry.desk.actions import requests, senders
from smsretry.desk.actions.form import POSITIONAL, Form, called

RUN: Final = "process-sms-retries"
"""The deployment of a run."""
Forms: TypeAlias = Mapping[str, type[Form]]
"""The forms of a command, each behind its word, the usual first. A single one needs no word."""


def _by_command() -> Mapping[str, Forms]:
    commands = dict[str, dict[str, type[Form]]]()
    for form in (*vars(requests).values(), *vars(senders).values()):
        if isinstance(form, type) and issubclass(form, Form) and form.COMMAND:
            name, *word = form.COMMAND.split()
            commands.setdefault(name, {})["".join(word) or name] = form
    return commands


DESK_COMMANDS: Final = _by_command()
"""The forms of each command, as they are written down. Its deployment is named `sms-` and the command's name."""


def help_of(command: str) -> str:
    """What a command does."""
    usual, *alternatives = DESK_COMMANDS[command].values()
    does = " ".join((usual.__doc__ or "").split())
    return (
        f"{does} Or {', '.join(list(DESK_COMMANDS[command])[1:])}."
        if alternatives
        else does
    )


def filled_in(
    form: type[Form], values: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The deployment that has a form, and its parameters with these values filled in."""
    name, *word = form.COMMAND.split()
    if not form.model_fields:
        return f"sms-{name}", {}
    return f"sms-{name}", {"ask": {word[0]: dict(values)} if word else dict(values)}


def command_of(form: type[Form], values: Mapping[str, Any]) -> str:
    """The command that fills in a form with these values; why is left to the person."""
    parts = ["smsretry", form.COMMAND.removesuffix(" list")]
    for name, value in values.items():
        field, option = form.model_fields[name], f"--{called(name)}"
        if POSITIONAL in field.metadata:
            parts.append(str(value))
        elif name == "dry_run":
            parts += [] if value else ["--yes"]
        elif value is True:
            parts.append(option)
        elif value not in (False, field.default):
            parts += [
                f"{option} {item}"
                for item in (value if isinstance(value, list) else [value])
            ]
    needed = form.model_fields.get("because")
    signs = needed is not None and (
        needed.is_required() or values.get("dry_run") is False
    )
    return " ".join([*parts, *(["--because '…'"] if signs else [])])
