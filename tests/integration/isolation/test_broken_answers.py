"""Answers that are broken, or come a byte at a time: each read is in time, and the whole would never be."""

import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from smsretry.adapters.certificates import trusted
from smsretry.adapters.supabase import deadline
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.errors import QueueMismatch, QueueUnreachable
from smsretry.local.process.http import LocalServer
from smsretry.local.stack import Stack
from smsretry.settings import Settings
from tests.conftest import Business
from tests.support.builders import run
from tests.support.claims import claim_due

LIMIT_SECONDS: Final = 0.6
PAUSE_SECONDS: Final = 0.1
MOST_PIECES: Final = 300
"""An exchange in which so many came has no end: six come within its limit."""

_JSON: Final = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
ANSWERS: Final = {
    "status line": (b"", itertools.repeat(b"1")),
    "headers": (_JSON, itertools.cycle([b"x", b":", b"y", b"\r", b"\n"])),
    "body of a known length": (_JSON + b"Content-Length: 100000\r\n\r\n", itertools.repeat(b" ")),
    "body until the connection closes": (_JSON + b"Connection: close\r\n\r\n", itertools.repeat(b" ")),
    "body in chunks": (_JSON + b"Transfer-Encoding: chunked\r\n\r\n", itertools.repeat(b"1\r\n \r\n")),
    "interim answers": (b"", itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n")),
}


class Trickle:
    """A server that reads a request and begins an answer that never ends."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.part = ""
        self._tls = tls
        self.gone = threading.Event()
        """The client has closed the connection."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """Stop, whatever is under way."""
        self._over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                connection, _ = self._listener.accept()
                with self._tls.wrap_socket(connection, server_side=True) if self._tls else connection as talk:
                    self._answer(talk)

    def _answer(self, connection: socket.socket) -> None:
        head, rest = ANSWERS[self.part]
        with suppress(OSError):
            connection.recv(65536)
            connection.sendall(head)
            for some in itertools.islice(rest, MOST_PIECES):
                if self._over.wait(PAUSE_SECONDS):
                    return
                connection.sendall(some)
            return
        self.gone.set()


@pytest.fixture
def trickle() -> Iterator[Trickle]:
    """A server that never finishes."""
    server = Trickle()
    yield server
    server.close()


@pytest.fixture
def secure_trickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trickle]:
    """The same behind TLS, as Twilio and Supabase are; requests and httpx trust its certificate."""
    file = tmp_path / "server.pem"
    file.write_bytes(_certificate())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    trusted.cache_clear()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    server = Trickle(tls)
    yield server
    server.close()
    trusted.cache_clear()


def _certificate() -> bytes:
    """A key and a certificate that it signed itself, for this machine alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "trickle")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime.now(UTC) - timedelta(days=1)).add_extension(address, critical=False)
    signed = builder.not_valid_after(datetime.now(UTC) + timedelta(days=1)).sign(key, hashes.SHA256())
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return private + signed.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("part", list(ANSWERS))
def test_a_claim_whose_answer_trickles_is_trouble_that_passes(trickle: Trickle, settings: Settings, part: str) -> None:
    """Its rows come back by recovery, and the worker goes on."""
    trickle.part = part
    changes = {"supabase_url": trickle.url, "supabase_timeout_seconds": LIMIT_SECONDS}
    with SupabaseQueue(Settings.model_validate(settings.model_dump() | changes)) as queue:
        with pytest.raises(QueueUnreachable, match="ReadTimeout"):
            claim_due(queue, 1)
        assert trickle.gone.wait(MOST_PIECES * PAUSE_SECONDS)


def test_it_is_the_same_behind_tls(secure_trickle: Trickle, settings: Settings) -> None:
    """The sockets are others there."""
    secure_trickle.part = "headers"
    changes = {"supabase_url": secure_trickle.url, "supabase_timeout_seconds": LIMIT_SECONDS}
    with SupabaseQueue(Settings.model_validate(settings.model_dump() | changes)) as queue:
        with pytest.raises(QueueUnreachable, match="ReadTimeout"):
            claim_due(queue, 1)
        assert secure_trickle.gone.wait(MOST_PIECES * PAUSE_SECONDS)


def test_a_connection_that_is_used_again_has_its_whole_time_again(
    stack: Stack, settings: Settings, sender: TwilioSender, business: Business, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each exchange has an end of its own: the connections outlive many of them."""
    idle = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + idle)
    monkeypatch.setattr(deadline, "time", clock)
    with SupabaseQueue(settings) as queue:
        for n in range(4):
            business.due_text(phone=f"+1212555010{n}", body=f"Text {uuid4()}")
            assert run(queue, sender) == ["Sent"]
            idle += settings.supabase_timeout_seconds
    assert len(stack.twilio.ledger.entries()) == 4


def _claim_from(answer: Response, settings: Settings) -> None:
    async def answering(_request: Request) -> Response:
        return answer

    app = Starlette(routes=[Route("/{path:path}", answering, methods=["POST"])])
    with LocalServer(app) as server:
        elsewhere = Settings.model_validate(settings.model_dump() | {"supabase_url": server.url})
        with SupabaseQueue(elsewhere) as queue:
            claim_due(queue, 1)


def test_an_answer_whose_compression_is_broken_is_trouble_that_passes(settings: Settings) -> None:
    """It was cut or garbled on its way; what the call did is unknown."""
    with pytest.raises(QueueUnreachable, match="DecodingError"):
        _claim_from(Response(b"no gzip", headers={"content-encoding": "gzip"}), settings)


def test_an_answer_nested_too_deeply_to_be_read_is_not_the_functions(settings: Settings) -> None:
    """No row has depth; something else answers at this address."""
    with pytest.raises(QueueMismatch, match="not its JSON"):
        _claim_from(Response(b"[" * 100_000, media_type="application/json"), settings)
