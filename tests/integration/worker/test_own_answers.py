"""Only a text's own answer counts, whatever else comes on its connection."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from pydantic import HttpUrl

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.settings import Settings
from tests.integration.worker.senders import add_texts
from tests.support.builders import run
from tests.support.shop import Shop
from tests.support.wire import read_message

TEXTS = 24
SOUND: int = 3
"""Answers of a connection before it breaks."""
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
EMPTY = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 6\r\n\r\n<html>"


@contextmanager
def one_behind(url: str, stray: bytes | None) -> Iterator[str]:
    """The address of a relay to this one. After some answers of a connection something else comes (None: the last
    answer again), and from then on each request is answered with what belongs to the one before it.
    """
    upstream = urlsplit(url)

    class Relay(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            server = socket.create_connection((upstream.hostname, upstream.port))
            late, count = b"", 0
            with server, server.makefile("rb") as answers, suppress(OSError):
                while request := read_message(self.rfile):
                    server.sendall(request)
                    answer, count = read_message(answers), count + 1
                    if late:
                        answer, late = late, answer
                    elif count == SOUND:
                        answer, late = stray or answer, answer
                    self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as relay:
        relay.daemon_threads, relay.block_on_close = True, False
        threading.Thread(target=relay.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{relay.server_address[1]}"
        relay.shutdown()


@pytest.mark.parametrize(
    "stray",
    [EARLY_HINTS, EMPTY, TIMEOUT, None],
    ids=["1xx", "late body", "408", "again"],
)
def test_no_text_is_taken_for_another_on_a_broken_connection(
    shop: Shop, settings: Settings, stray: bytes | None
) -> None:
    """Those without an answer of their own are in doubt, and looked for: each went out once, under its own SID."""
    add_texts(shop.connection, shop.id, TEXTS)
    with one_behind(str(settings.twilio_base_url), stray) as url:
        broken = settings.model_copy(update={"twilio_base_url": HttpUrl(url)})
        with SupabaseQueue(broken) as queue, TwilioProvider(broken) as provider:
            fates = run(queue, provider)
            while shop.sql("select from sms_retry_queue where work is not null"):
                shop.later(minutes=16)
                fates += run(queue, provider)
    assert fates.count("InDoubt")
    sids = {message.to: message.sid for message in shop.messages}
    assert len(shop.messages) == len(sids) == TEXTS
    recorded = shop.sql(
        """select c.phone, l.provider_message_id as id, l.status
           from send_logs l join customers c on c.id = l.customer_id"""
    )
    assert {row["phone"]: row["id"]["twilio_sid"] for row in recorded} == sids
    assert {row["status"] for row in recorded} == {"sent"}
