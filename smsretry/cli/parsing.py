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
    from pydantic_core import ErrorDetails

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
    "why_code": "--why",
    "sent_by": "SENDER",
    "account": "ACCOUNT",
    "sender": "SENDER",
    "message_class": "--class",
    "segments_per_second": "--rate",
    "segments_per_day": "--cap",
}
_PATTERNS: Final = {"last_digits": "must be 3 to 6 digits"}
"""What a field's pattern means."""


def option_of(field: str) -> str:
    """The option that fills in a form's field."""
    return _OPTIONS.get(field, f"--{field.replace('_', '-')}")


def parse_id(text: str) -> UUID:
    """Read an id."""
    try:
        return UUID(text)
    except ValueError:
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


def read_number(argument: str) -> str:
    """A phone number that was given, or for `-` the first line of standard input, which no history keeps."""
    if argument != "-":
        return argument
    if sys.stdin.isatty():
        sys.stderr.write("Number: ")
        sys.stderr.flush()
    number = sys.stdin.readline().strip()
    if not number:
        raise typer.BadParameter("no number came from standard input: it must have one line, such as +12125550100")
    return number


def read_valid_number(argument: str) -> str:
    """As `read_number`, and well-formed. The refusal does not quote it."""
    from smsretry.phone import phone_problem

    number = read_number(argument)
    if problem := phone_problem(number):
        raise typer.BadParameter(problem)
    return number


def fill_form(form: "type[Form]", given: Mapping[str, object], **more: object) -> "Form":
    """Fill in a form with what was given on the command line.

    Args:
        given: options by name, `_` for each hyphen. Those that the form has no field for are left out.
        more: fields that are no options.
    """
    from pydantic import ValidationError

    fields = {field: option_of(field).removeprefix("--").replace("-", "_") for field in form.model_fields}
    values = {field: given.get(field, given.get(option)) for field, option in fields.items()} | more
    try:
        return form.model_validate({name: value for name, value in values.items() if value not in (None, [])})
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
    names = sorted(form.model_fields, key=len, reverse=True)
    raise typer.BadParameter(". ".join(_describe(names, problem) for problem in problems))


def _describe(names: list[str], problem: "ErrorDetails") -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        fields = re.compile(rf"\b({'|'.join(names)})\b")
        return fields.sub(lambda field: option_of(field[1]), message)
    field = str(problem["loc"][0])
    if problem["type"] == "missing":
        return f"{option_of(field)} must be given"
    if problem["type"] == "string_pattern_mismatch":
        return f"{option_of(field)} {_PATTERNS[field]}"
    return f"{option_of(field)} {re.sub(r'^(Input|String|List) should', 'must', message)}"


def login_name() -> str:
    """Who gives an order, unless it says so."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        raise typer.BadParameter("this account has no login name: say --who") from None
