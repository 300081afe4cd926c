"""How the command line is read: switches, and phone numbers from standard input."""

import sys
from typing import Annotated, Any

import typer


def flag(name: str, words: str) -> Any:
    """A switch. Its help shows no type, because there is nothing to fill in."""
    return typer.Option(name, metavar="", help=words)


Json = Annotated[
    bool, flag("--json", "Print JSON to standard output, and nothing else.")
]


Csv = Annotated[bool, flag("--csv", "Print CSV to standard output, and nothing else.")]


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
