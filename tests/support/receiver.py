"""Where alerts arrive: a web hook on this machine, and the block that makes Prefect call it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from smsretry.local.process.http import LocalServer


@dataclass(frozen=True)
class Alert:
    """A message that somebody would have got."""

    at: datetime
    subject: str
    body: str


@dataclass
class Receiver:
    """The web hook."""

    url: str = ""
    alerts: list[Alert] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a message."""
        message = await Request(scope, receive).json()
        self.alerts.append(
            Alert(datetime.now(UTC), message["subject"], message["body"])
        )
        await Response(status_code=204)(scope, receive, send)

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
        payload = {"subject": "{{subject}}", "body": "{{body}}"}
        block = CustomWebhookNotificationBlock(
            name="alerts", url=self.url, json_data=payload
        )
        with temporary_settings({PREFECT_API_URL: api_url}):
            saved: object = block.save(self.named.partition("/")[2])
        return UUID(str(saved))

    @property
    def named(self) -> str:
        """What names that block in a command."""
        return f"custom-webhook/alerts-{self.url.rpartition(':')[2]}"


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()
    with LocalServer(receiver) as server:
        receiver.url = server.url
        yield receiver
