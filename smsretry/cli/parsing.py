"""How the command line is read: ids, instants, phone numbers from standard input, and forms.

What does not fit raises `typer.BadParameter`, in words of the options.
"""

import getpass
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, TypeVar
from uuid import UUID

import typer

if TYPE_CHECKING:
    from smsretry.desk.actions.form import Request

    Form = TypeVar("Form", bound=Request)

Json = Annotated[bool, typer.Option("--json", help="Print JSON to standard output, and nothing else.")]

_OPTIONS: Final = {
    "id": "ID",
    "customer_id": "--customer",
    "send_log_id": "--send-log",
    "retry_id": "--row",
    "retry_ids": "--row",
    "business_id": "--business",
    "states": "--state",
    "state": "STATE",
    "why_code": "--why",
    "sent_by": "SENDER",
    "account": "ACCOUNT",
    "sender": "SENDER",
    "message_class": "--class",
    "segments_per_second": "--rate",
    "segments_per_day": "--cap",
}


def option_of(field: str) -> str:
    """The option that fills in a form's field."""
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


_OF_PROVIDER: Final = re.compile("[A-Z]{2}[0-9a-f]{32}")


def parse_id(text: str) -> UUID:
    """Read an id."""
    try:
        return UUID(text)
    except ValueError:
        if _OF_PROVIDER.fullmatch(text):
            raise typer.BadParameter(
                f"{text} is the provider's id, and not the database's: take the number from the provider's log, and "
                "give it to `smsretry explain -`"
            ) from None
        raise typer.BadParameter(
            f"{text!r} is no id: ids have 36 characters, such as 5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"
        ) from None


def parse_instant(text: str) -> datetime:
    """Read an instant: a date (the start of that day), a date and time, or one with an offset; else UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no instant: write 2026-11-24, 2026-11-24T08:15 (both are UTC) or 2026-11-24T08:15-05:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_line(argument: str) -> str:
    """What was given, or for `-` the only line of standard input, which no history keeps."""
    if argument != "-":
        return argument
    if sys.stdin.isatty():
        sys.stderr.write("Number: ")
        sys.stderr.flush()
        lines = [sys.stdin.readline()]
    else:
        lines = [line for line in sys.stdin if line.strip()]
    if len(lines) > 1:
        raise typer.BadParameter(f"standard input has {len(lines)} lines: give one number at a time. Nothing was done")
    number = "".join(lines).strip()
    if not number:
        raise typer.BadParameter("no number came from standard input: it must have one line, such as +12125550100")
    return number


def read_number(argument: str, *, zone: str | None = None) -> str:
    """A phone number as people write it, or for `-` from standard input, in E.164. A refusal does not quote it.

    Args:
        zone: a time zone, for the country of a number without a country code.
    """
    from smsretry.written_numbers import country_of, read_phone

    written = read_line(argument)
    try:
        return read_phone(written, country=country_of(zone) if zone else None)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def read_sender(argument: str) -> str:
    """A sender's id or SID as it is; its number, as people write it, in E.164. A refusal does not quote it."""
    from smsretry.written_numbers import read_phone

    written = read_line(argument)
    try:
        return read_phone(written)
    except ValueError as error:
        if written.startswith("+"):
            raise typer.BadParameter(str(error)) from None
        return written


def fill_form(form: "type[Form]", given: Mapping[str, object], **more: object) -> "Form":
    """Fill in a form with what was given on the command line.

    Args:
        given: options by name, `_` for each hyphen. Those that the form has no field for are left out.
        more: fields that are no options.
    """
    from pydantic import ValidationError

    from smsretry.desk.actions.refusals import in_words

    fields = {field: option_of(field).removeprefix("--").replace("-", "_") for field in form.model_fields}
    values = {field: given.get(field, given.get(option)) for field, option in fields.items()} | more
    try:
        return form.model_validate({name: value for name, value in values.items() if value not in (None, [])})
    except ValidationError as error:
        options = {field: option_of(field) for field in form.model_fields}
        raise typer.BadParameter(". ".join(in_words(error, options, colon=" "))) from None


def login_name() -> str:
    """Who gives an order, unless it says so."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        raise typer.BadParameter("this account has no login name: say --who") from None
