"""The doors at which a person asks and orders: each is a command, and most are a deployment in Prefect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smsretry.desk.actions import requests, senders
from smsretry.desk.actions.form import POSITIONAL, Form, called

RUN: Final = "process-sms-retries"
"""The deployment of a run."""


@dataclass(frozen=True, slots=True)
class Door:
    """A command, and the deployment `sms-` with its name."""

    forms: Mapping[str, type[Form]]
    """What to do there, in a word each, the usual first. With a single one no word is needed."""
    help: str

    @property
    def usual(self) -> type[Form]:
        """What is meant where nobody says what to do."""
        return next(iter(self.forms.values()))

    @property
    def name(self) -> str:
        """Its command."""
        return self.usual.COMMAND.split()[0]

    @property
    def deployment(self) -> str:
        """Its name in Prefect."""
        return f"sms-{self.name}"


def _door(*forms: type[Form], help: str = "") -> Door:  # noqa: A002 - the command's
    words = {form.COMMAND.split()[-1]: form for form in forms}
    return Door(words, help or " ".join((forms[0].__doc__ or "").split()))


DOORS: Final = (
    _door(requests.AskStatus),
    _door(requests.WhichText),
    _door(
        requests.ListTexts,
        requests.Requeue,
        requests.Cancel,
        requests.LookAgain,
        requests.Resolve,
        help="List texts, requeue or cancel them, have them looked at again, or resolve one in doubt.",
    ),
    _door(requests.Preview),
    _door(
        senders.WhichSenders,
        senders.CheckSenders,
        senders.AddSender,
        senders.ChangeSender,
        senders.PauseSender,
        senders.ResumeSender,
        senders.RemoveSender,
        help="Say who texts for whom: list, check, add, change, pause, resume and remove senders.",
    ),
    _door(requests.RecordConsent),
    _door(requests.StopState),
    _door(requests.Prune),
    _door(requests.AfterRestore),
    _door(requests.MarkDatabase),
)


def filled_in(form: type[Form], values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
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
            parts += [f"{option} {one}" for one in (value if isinstance(value, list) else [value])]
    needed = form.model_fields.get("because")
    signs = needed is not None and (needed.is_required() or values.get("dry_run") is False)
    return " ".join([*parts, *(["--because '…'"] if signs else [])])
