"""An embedded stack that leaves nothing behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from smsretry.local.stack import Stack


@contextmanager
def running_stack() -> Iterator[Stack]:
    """The embedded stack, for one run of a proof."""
    with TemporaryDirectory(prefix="smsretry-proof-") as directory:
        with Stack(Path(directory)) as stack:
            yield stack
        stack.postgres.remove()
