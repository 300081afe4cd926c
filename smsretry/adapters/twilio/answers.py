"""What Twilio's answer to `POST Messages` means.

Accepted needs 2xx and a SID; rejected needs Twilio's own JSON with a 4xx; all else is in doubt. Twilio on 500:
"sending an SMS is not idempotent … possible for a customer to receive multiple messages" (docs, error 20500).
"""

import json
import re
from datetime import timedelta
from typing import Any, Final

from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected

_SID: Final = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
"""The SID of a message, as in Twilio's OpenAPI description (`^(SM|MM)[0-9a-fA-F]{32}$`)."""


def outcome_of_answer(
    http_status: int, body: str, *, retry_after: str | None = None
) -> Outcome:
    """Read an HTTP answer. Never raises, and never quotes the body, which names the recipient.

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
        wait = (
            timedelta(seconds=int(retry_after))
            if retry_after and re.fullmatch(r"[0-9]{1,6}", retry_after)
            else None
        )
        return Rejected(twilio_refusal(code, http_status), wait)
    if http_status == 407:
        return NotSent("A proxy asks for credentials: check HTTPS_PROXY")
    kind = (
        "an error of its own"
        if http_status >= 500
        else "something that is not Twilio's JSON"
    )
    return InDoubt(f"Twilio answered with {kind} (HTTP {http_status})")


def id_problem(sid: str) -> str | None:
    """The fault of a message id that a person typed; None: none is visible."""
    return (
        None
        if _SID.fullmatch(sid)
        else "A message's SID at Twilio is SM or MM, and 32 hexadecimal digits"
    )


def _json_object(body: str) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
