"""The command that imports opt-outs from a file: two columns, and a call of the database for each part."""

import sys
from itertools import islice
from pathlib import Path

import typer

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.cli.printing import bar
from smsretry.desk.actions.opt_outs import LINES_OF_A_CALL, ImportOptOuts, read_opt_outs
from smsretry.desk.questions.answers import Done, imported
from smsretry.settings import Settings, load


def import_opt_outs(order: ImportOptOuts, *, file: str) -> Done:
    """Give a file's opt-outs to the database, some at a time; a terminal shows how far that is."""
    lines, parts, refused, read = _lines_of(file), list[Done](), list[str](), 0
    found = read_opt_outs(lines)
    with SupabaseOperators(load(Settings)) as connected, bar("Importing", total=lambda: len(lines)) as moved:
        while part := list(islice(found, LINES_OF_A_CALL)):
            read += len(part)
            refused += [f"line {one.line}: {one.unread}" for one in part if one.unread]
            readable = [one for one in part if not one.unread]
            parts += [connected.import_opt_outs(order, readable)] if readable else []
            moved(completed=part[-1].line)
    return imported(order, parts, refused=refused, lines_read=read)


def _lines_of(file: str) -> list[str]:
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"the file cannot be read: {error.strerror}") from None
    return content.decode("utf-8-sig", errors="replace").splitlines()  # what is no UTF-8 is no part of a number
