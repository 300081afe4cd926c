"""A second provider of text messages: its HTTP API, unlike Twilio's in each part, and the adapter for it.

Ids are UUIDs, answers have their own words, and refusals their own numbers. It hands over at once, and can be told to
refuse, to drop its answer, or to say what became of a message.
"""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from uuid import uuid4

import httpx

from smsretry.retry.delivery import FAILURES, DeliveryReport
from smsretry.retry.models import Finding, Look, SenderId, Sighting, Text
from smsretry.retry.outcome import (
    Accepted,
    InDoubt,
    NotSent,
    Outcome,
    Refusal,
    Rejected,
)
from smsretry.retry.profile import EVERYBODY, Audience
from smsretry.vocabulary import DeliveryStatus
from tests.support.records import Record

SENDER = "MAPLE-STREET"


@dataclass
class Exchange:
    """What the provider has, and what it does with the next message."""

    messages: dict[str, Record] = field(default_factory=dict)
    problem: Mapping[str, object] | None = None
    """What it refuses messages for."""
    drops_answers: bool = False
    """It takes the message, and its answer is lost."""

    def take(self, asked: Mapping[str, Any]) -> tuple[int, object]:
        """A message that is handed in."""
        if self.problem:
            return 422, {"problem": self.problem}
        message = {
            **asked,
            "reference": str(uuid4()),
            "state": "handed-over",
            "taken": datetime.now(UTC).isoformat(),
        }
        self.messages[message["reference"]] = message
        return 202, {"reference": message["reference"]}


def _handler(exchange: Exchange) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = exchange.take(asked)
            if not exchange.drops_answers:
                self._answer(*answer)

        def do_GET(self) -> None:
            path, _, to = self.path.partition("?recipient=")
            if path == "/letters":
                records = [
                    record
                    for record in exchange.messages.values()
                    if record["recipient"] == to
                ]
                self._answer(200, {"letters": records})
            elif message := exchange.messages.get(path.removeprefix("/letters/")):
                self._answer(200, message)
            else:
                self._answer(410, {})

        def _answer(self, status: int, content: object) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: a path names a number."""

    return Handler


@contextmanager
def serve(exchange: Exchange) -> Iterator[str]:
    """Its address, while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(exchange))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# The adapter: all that a second provider needs

_CODES = {
    11: Refusal(
        "refused",
        "Letterbox 11: no such recipient",
        11,
        "recipient",
        phone_status="invalid",
    ),
    12: Refusal(
        "opted_out", "Letterbox: the recipient wants nothing", None, "recipient"
    ),
    13: Refusal(
        "refused_for_now", "Letterbox 13: the recipient is away", 13, "carrier"
    ),
}
_STATES: Final[dict[str, DeliveryStatus]] = {
    "handed-over": "sent",
    "in the box": "delivered",
    "came back": "undelivered",
}


class Letterbox:
    """Has what `ports.Provider` asks for."""

    def __init__(self, address: str) -> None:
        self._http = httpx.Client(base_url=address, timeout=5, trust_env=False)

    def __enter__(self) -> "Letterbox":
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def default(self) -> SenderId:
        return SenderId(None, SENDER)

    @property
    def audience(self) -> Audience:
        return EVERYBODY

    def credentials_problem(self, account: str) -> str | None:
        return None

    def send(self, text: Text) -> Outcome:
        letter = {
            "recipient": text.to,
            "words": text.body,
            "sender": SENDER,
            "seconds": text.valid_for.total_seconds(),
        }
        try:
            answer = self._http.post("/letters", json=letter)
        except httpx.ConnectError:
            return NotSent("The letterbox could not be reached")
        except httpx.HTTPError:
            return InDoubt("The letterbox did not answer")
        match answer.status_code, answer.json():
            case 202, {"reference": str(reference)}:
                return Accepted(reference)
            case 422, {"problem": {"number": int(number)}}:
                return Rejected(_CODES[number])
            case _:
                return InDoubt("The letterbox's answer could not be read")

    def look_up(
        self, phone: str, *, sender: SenderId, since: datetime, at: datetime
    ) -> Look | None:
        try:
            listed = self._http.get(f"/letters?recipient={phone}").json()["letters"]
        except (httpx.HTTPError, ValueError, KeyError):
            return None
        now = datetime.now(UTC)
        return Look(
            sightings=tuple(
                Sighting(
                    sid=one["reference"],
                    to=one["recipient"],
                    body=one["words"],
                    created_at=one["taken"],
                )
                for one in listed
                if sender.sent_by in (None, one["sender"])
            ),
            clock_ahead=now - at,
        )

    def fetch_report(self, sid: str, *, account: str | None) -> DeliveryReport:
        try:
            answer = self._http.get(f"/letters/{sid}")
        except httpx.HTTPError:
            return DeliveryReport("unanswered")
        if answer.status_code == 410:
            return DeliveryReport("not kept")
        message = answer.json()
        return self.read_report(_STATES[message["state"]], message.get("number"))

    def read_report(self, status: DeliveryStatus, code: int | None) -> DeliveryReport:
        return DeliveryReport(
            status, _CODES.get(code or 0) if status in FAILURES else None
        )

    def clock(self) -> datetime | None:
        return None

    def deactivated_numbers(self, day: date) -> None:
        return None

    def check_sender(self, sender: SenderId) -> list[Finding]:
        return self.check()

    def check(self) -> list[Finding]:
        return [Finding(subject="Letterbox", ok=True)]
