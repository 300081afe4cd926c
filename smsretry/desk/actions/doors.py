"""The doors at which a person asks and orders: each is a command, and most are a deployment in Prefect."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from smsretry.desk.actions.form import POSITIONAL, Form
from smsretry.desk.actions.requests import (
    AfterRestore,
    AskStatus,
    Cancel,
    ListTexts,
    LookAgain,
    MarkDatabase,
    Preview,
    Prune,
    RecordConsent,
    Requeue,
    Resolve,
    StopState,
    WhichText,
)
from smsretry.desk.actions.senders import (
    AddSender,
    ChangeSender,
    CheckSenders,
    PauseSender,
    RemoveSender,
    ResumeSender,
    WhichSenders,
)

RUN: Final = "process-sms-retries"
"""The deployment of a run."""


@dataclass(frozen=True, slots=True)
class Door:
    """A command, and the deployment `sms-` with its name."""

    name: str
    help: str
    forms: Mapping[str, type[Form]]
    """What to do there, in a word each, the usual first. With a single one no word is needed."""
    examples: tuple[str, ...]

    @property
    def usual(self) -> type[Form]:
        """What is meant where nobody says what to do."""
        return next(iter(self.forms.values()))

    @property
    def deployment(self) -> str:
        """Its name in Prefect."""
        return f"sms-{self.name}"


def _door(form: type[Form], name: str, *examples: str) -> Door:
    return Door(name, " ".join((form.__doc__ or "").split()), {name: form}, examples)


EXPLAIN: Final = _door(WhichText, "explain", "explain $ID", "explain --customer $ID", "explain - < number.txt")
STATUS: Final = _door(AskStatus, "status", "status", "status --json | jq .queue", "status --prometheus > smsretry.prom")
PREVIEW: Final = _door(Preview, "preview", "preview --hours 12")
TEXTS: Final = Door(
    "texts",
    "List texts, requeue or cancel them, have them looked at again, or resolve one in doubt.",
    {"list": ListTexts, "requeue": Requeue, "cancel": Cancel, "look-again": LookAgain, "resolve": Resolve},
    (
        "texts --state held --business $BUSINESS",
        "texts requeue --code 30003 --since 2026-11-24",
        "texts requeue --code 30003 --yes --because 'Mended'",
        "texts cancel --row $ROW --yes --because 'Moved away'",
        "texts look-again --why no_credentials",
        "texts resolve --row $ROW --send-again --because 'Not in the log'",
    ),
)
SENDERS: Final = Door(
    "senders",
    "Say who texts for whom: list, check, add, change, pause, resume and remove senders.",
    {
        "list": WhichSenders,
        "check": CheckSenders,
        "add": AddSender,
        "change": ChangeSender,
        "pause": PauseSender,
        "resume": ResumeSender,
        "remove": RemoveSender,
    },
    (
        "senders --troubled",
        "senders check",
        "senders add $SERVICE --business $ID --account $AC --because 'Ours'",
        "senders change $SERVICE --rate 4.5 --because 'A better score'",
        "senders pause - --because 'Suspended' < number.txt",
        "senders resume $SERVICE --because 'Mended'",
        "senders remove --business $BUSINESS --because 'It shares ours'",
    ),
)
CONSENT: Final = _door(
    RecordConsent,
    "consent",
    "consent - --said opted_out --source card --because Hers < n.txt",
    "consent --customer $ID --said opted_in --source form --because Hers",
)
STOP: Final = _door(StopState, "stop", "stop LA --because 'A hurricane'", "stop LA --lift")
RESTORE: Final = _door(AfterRestore, "after-restore", "after-restore --backup-of 2026-11-24T03:00")
MARK: Final = _door(
    MarkDatabase,
    "mark",
    "mark production --because 'Live since May'",
    "mark staging --because 'A copy of last night'",
)
PRUNE: Final = _door(Prune, "prune", "prune --keep-days 180", "prune --dry-run")
DOORS: Final = (STATUS, EXPLAIN, TEXTS, PREVIEW, SENDERS, CONSENT, STOP, PRUNE, RESTORE, MARK)


def _door_of(form: type[Form]) -> tuple[Door, str]:
    return next((door, word) for door in DOORS for word, one in door.forms.items() if one is form)


def filled_in(form: type[Form], values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The deployment that has a form, and its parameters with these values filled in."""
    door, word = _door_of(form)
    if not form.model_fields:
        return door.deployment, {}
    return door.deployment, {"ask": {word: dict(values)} if len(door.forms) > 1 else dict(values)}


_OPTIONS: Final = {
    "customer_id": "customer",
    "send_log_id": "send-log",
    "retry_id": "row",
    "retry_ids": "row",
    "business_id": "business",
    "states": "state",
    "why_code": "why",
    "message_class": "class",
    "segments_per_second": "rate",
    "segments_per_day": "cap",
    "consent": "said",
}
"""Options with shorter names than their fields."""


def option_of(field: str) -> str:
    """The option that fills in a form's field."""
    return f"--{_OPTIONS.get(field, field.replace('_', '-'))}"


def command_of(form: type[Form], values: Mapping[str, Any]) -> str:
    """The command that fills in a form with these values; why is left to the person."""
    door, word = _door_of(form)
    parts = ["smsretry", door.name, *([word] if len(door.forms) > 1 and form is not door.usual else [])]
    for name, value in values.items():
        if POSITIONAL in form.model_fields[name].metadata:
            parts.append(str(value))
        elif name == "dry_run":
            parts += [] if value else ["--yes"]
        elif isinstance(value, bool):
            parts += [option_of(name)] if value else []
        elif value != form.model_fields[name].default:
            parts += [f"{option_of(name)} {one}" for one in (value if isinstance(value, list) else [value])]
    needed = form.model_fields.get("because")
    signs = needed is not None and (needed.is_required() or values.get("dry_run") is False)
    return " ".join([*parts, *(["--because '…'"] if signs else [])])
