"""Answers that are broken, or of which a byte comes at a time, are trouble that passes: rows come back by recovery."""

import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import pytest
from starlette.responses import Response

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.errors import QueueError, QueueMismatch, QueueUnreachable
from smsretry.settings import Settings
from tests.integration.isolation.test_bad_input import answering
from tests.support.claims import claim_due

LIMIT_SECONDS: Final = 0.6
PAUSE_SECONDS: Final = 0.1
MOST_PIECES: Final = 300
"""An exchange in which so many came has no end: six come within its limit."""


@pytest.fixture
def trickle() -> Iterator[tuple[str, threading.Event]]:
    """A server that begins an answer that never ends. Its address, and whether its client has gone."""
    listener, over, gone = socket.create_server(("127.0.0.1", 0)), threading.Event(), threading.Event()

    def serve() -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
                )
                for some in itertools.repeat(b" ", MOST_PIECES):
                    if over.wait(PAUSE_SECONDS):
                        return
                    connection.sendall(some)
                return
        gone.set()

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", gone
    over.set()
    listener.close()
    thread.join()


def test_a_claim_whose_answer_trickles_is_trouble_that_passes(
    trickle: tuple[str, threading.Event], settings: Settings
) -> None:
    """Each read is in time, and the whole would never be."""
    url, gone = trickle
    changes = {"supabase_url": url, "supabase_timeout_seconds": LIMIT_SECONDS}
    with SupabaseQueue(Settings.model_validate(settings.model_dump() | changes)) as queue:
        with pytest.raises(QueueUnreachable, match="ReadTimeout"):
            claim_due(queue, 1)
        assert gone.wait(MOST_PIECES * PAUSE_SECONDS)


def test_an_answer_that_cannot_be_read_is_told_for_what_it_is(settings: Settings) -> None:
    """It was garbled on its way, so what the call did is unknown; or something else answers at this address."""
    answers: list[tuple[Response, type[QueueError], str]] = [
        (Response(b"no gzip", headers={"content-encoding": "gzip"}), QueueUnreachable, "DecodingError"),
        (Response(b"[" * 100_000, media_type="application/json"), QueueMismatch, "not its JSON"),
    ]
    for answer, error, said in answers:
        with answering(answer, settings) as queue, pytest.raises(error, match=said):
            claim_due(queue, 1)
