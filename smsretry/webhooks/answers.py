"""What the webhook answers. Twilio's debugger shows the words; they are the owner's, and quote nothing that was posted.

Twilio wants TwiML for an incoming text, and anything of 2xx for a report:
https://www.twilio.com/docs/messaging/guides/webhook-request
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    http_status: int
    body: bytes = b""
    content_type: bytes = b"text/plain; charset=utf-8"
    allow: bytes = b""

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """As ASGI takes them."""
        headers = [(b"cache-control", b"no-store")]
        if self.http_status != 204:  # which has no content, by RFC 9110, 15.3.5
            headers += [(b"content-type", self.content_type), (b"content-length", str(len(self.body)).encode())]
        return headers + ([(b"allow", self.allow)] if self.allow else [])


HEALTHY: Final = Answer(200, b"ok\n")
RECORDED: Final = Answer(204)
NO_REPLY: Final = Answer(200, b'<?xml version="1.0" encoding="UTF-8"?><Response/>', b"text/xml")
"""An incoming text is recorded, and nothing is to be sent back."""
POST_ALONE: Final = Answer(405, b"This webhook takes POST: set its method at Twilio to HTTP POST.\n", allow=b"POST")
NO_FORM: Final = Answer(415, b"This webhook takes forms (application/x-www-form-urlencoded), as Twilio posts them.\n")
TOO_LONG: Final = Answer(413, b"This is longer than anything that Twilio posts of a text.\n")
TOO_SLOW: Final = Answer(408, b"This came too slowly: Twilio does not wait so long itself.\n")
BAD_SETTINGS: Final = Answer(503, b"The webhook's settings are not complete: its log says which.\n")
NOT_NOW: Final = Answer(503, b"This could not be recorded now: the webhook's log says why.\n")
NEVER: Final = Answer(422, b"The database does not take this: the webhook's log says why.\n")
UNFORESEEN: Final = Answer(500, b"This could not be recorded: the webhook's log says why.\n")


def refused(http_status: int, why: str) -> Answer:
    """An answer that says why something is not taken."""
    return Answer(http_status, f"{why}\n".encode())
