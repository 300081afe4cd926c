"""Where alerts arrive: a web hook on this machine, and the block that makes Prefect call it."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings


@dataclass(frozen=True)
class Alert:
    """A message that somebody would have got."""

    at: datetime
    subject: str
    body: str


@dataclass
class Receiver:
    """The web hook."""

    url: str
    alerts: list[Alert] = field(default_factory=list)

    def about(self, words: str) -> list[Alert]:
        """The alerts whose subject has these words."""
        return [alert for alert in self.alerts if words in alert.subject]

    def wait_for(self, words: str) -> Alert:
        """The first alert about it. It comes within seconds, and on a busy machine within two minutes."""
        deadline = time.monotonic() + 120
        while not self.about(words):
            assert time.monotonic() < deadline, (words, self.alerts)
            time.sleep(0.1)
        return self.about(words)[0]

    def block(self, api_url: str) -> UUID:
        """The id of a notification block that calls it, made on this Prefect server."""
        told = {"subject": "{{subject}}", "body": "{{body}}"}
        block = CustomWebhookNotificationBlock(name="alerts", url=self.url, json_data=told)
        with temporary_settings({PREFECT_API_URL: api_url}):
            saved: object = block.save(f"alerts-{self.url.rpartition(':')[2]}")
        return UUID(str(saved))


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["content-length"])))
            receiver.alerts.append(Alert(datetime.now(UTC), message["subject"], message["body"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name it overrides
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    receiver = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
