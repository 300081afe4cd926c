"""The command that imports opt-outs from a file: two columns, and a call of the database for each part."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_END, BufferedReader, BytesIO, TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import Final

import typer

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.cli.printing import bar
from smsretry.desk.actions.opt_outs import LINES_OF_A_CALL, ImportOptOuts, OptOut, Unread, read_opt_outs
from smsretry.desk.questions.answers import Done, imported
from smsretry.settings import Settings, load

_BYTE_ORDER_MARKS: Final = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def import_opt_outs(order: ImportOptOuts, *, file: str) -> Done:
    """Give a file's opt-outs to the database, some at a time; a terminal shows how far that is."""
    with _opened(file) as content, SupabaseOperators(load(Settings)) as connected:
        size = content.seek(0, SEEK_END)
        content.seek(0)
        beginning = content.read(3)
        encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if beginning.startswith(mark)), "utf-8")
        content.seek(0)
        # Whatever is no text in this encoding is no part of a number.
        text = TextIOWrapper(content, encoding, errors="replace")
        found = read_opt_outs(text)
        parts, refused, lines = list[Done](), list[str](), 0
        if order.business_id:  # before the file is read: it may be long, and the business wrong
            connected.import_opt_outs(order.model_copy(update={"dry_run": True}), [])
        with bar("Importing", total=lambda: size) as moved:
            while part := list(islice(found, LINES_OF_A_CALL)):
                lines += len(part)
                refused += [f"line {one.line}: {one.why}" for one in part if isinstance(one, Unread)]
                readable = [one for one in part if isinstance(one, OptOut)]
                parts += [connected.import_opt_outs(order, readable)] if readable else []
                moved(completed=content.tell())
        text.detach()  # or it closes the file as soon as nobody reads it
    return imported(order, parts, refused=refused, lines_read=lines)


@contextmanager
def _opened(file: str) -> Iterator[BufferedReader | BytesIO]:
    """A file that can be read twice."""
    try:
        content: BufferedReader | BytesIO = BytesIO(sys.stdin.buffer.read()) if file == "-" else Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise typer.BadParameter(f"the file cannot be read: {error.strerror}") from None
    with content:
        yield content if content.seekable() else BytesIO(content.read())
