"""What Twilio's answer to `POST Messages` means.

Accepted needs 2xx and a SID. Rejected needs Twilio's own JSON with a 4xx. A proxy that asks for credentials (407)
passed nothing on. Every other answer leaves the text in doubt. Twilio on 500:
"sending an SMS is not idempotent … possible for a customer to receive multiple messages" (docs, error 20500).
"""

import json
import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final

from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected

_SID: Final = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
"""The SID of a message, as in Twilio's OpenAPI description (`^(SM|MM)[0-9a-fA-F]{32}$`)."""


def outcome_of_answer(
    http_status: int, body: str, *, retry_after: str | None = None
) -> Outcome:
    """Read an HTTP answer. It raises nothing, and does not quote the body, which names the recipient.

    Args:
        retry_after: the header of that name, in seconds; a date in it is not honored.
    """
    content = _json_object(body)
    if 200 <= http_status < 300:
        sid = content.get("sid")
        if isinstance(sid, str) and _SID.fullmatch(sid):
            return Accepted(sid)
        return InDoubt("Twilio answered with success but without a message SID")
    code = content.get("code")
    if (
        400 <= http_status < 500
        and type(code) is int
        and content.get("status") == http_status
    ):
        seconds = re.fullmatch("[0-9]{1,6}", retry_after or "")
        wait = timedelta(seconds=int(seconds[0])) if seconds else None
        return Rejected(twilio_refusal(code, http_status), wait)
    if http_status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return NotSent("A proxy asks for credentials: check HTTPS_PROXY")
    kind = "something that is not Twilio's JSON"
    if http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = "an error of its own"
    return InDoubt(f"Twilio answered with {kind} (HTTP {http_status})")


def id_problem(sid: str) -> str | None:
    """The fault of a message id that a person typed; None: none is visible."""
    if _SID.fullmatch(sid):
        return None
    return "A message's SID at Twilio is SM or MM, and 32 hexadecimal digits"


def _json_object(body: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
