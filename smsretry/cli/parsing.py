"""How the command line is read: switches, instants, and phone numbers from standard input.

A function that reads raises `typer.BadParameter` for what does not fit.
"""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer


def flag(name: str, words: str) -> Any:
    """A switch. Its help shows no type, because there is nothing to fill in."""
    return typer.Option(name, metavar="", help=words)


Json = Annotated[
    bool, flag("--json", "Print JSON to standard output, and nothing else.")
]


Csv = Annotated[bool, flag("--csv", "Print CSV to standard output, and nothing else.")]


def parse_instant(text: str) -> datetime:
    """Read an instant: a date, which is its start, or a date and time. Without an offset it is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no instant: write 2026-11-24, 2026-11-24T08:15 (both are UTC) or 2026-11-24T08:15-05:00"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def read_line(argument: str) -> str:
    """Read the only line of standard input, which no history keeps, for `-`. Anything else is its own value."""
    if argument != "-":
        return argument
    if sys.stdin.isatty():
        sys.stderr.write("Number: ")
        sys.stderr.flush()
        lines = [sys.stdin.readline()]
    else:
        lines = [line for line in sys.stdin if line.strip()]
    if len(lines) > 1:
        raise typer.BadParameter(
            f"standard input has {len(lines)} lines: give one number at a time. Nothing was done"
        )
    number = "".join(lines).strip()
    if not number:
        raise typer.BadParameter(
            "no number came from standard input: it must have one line, such as +12125550100"
        )
    return number


def read_number(written: str) -> str:
    """Read a phone number as people write it, into E.164. A refusal does not quote it."""
    from smsretry.written_numbers import read_phone

    try:
        return read_phone(written)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
