"""Is an answer that of its request, and what does one to `POST Messages` mean?

Accepted needs 2xx and a SID. Rejected needs Twilio's own JSON with a 4xx. A proxy that asks for credentials (407)
passed nothing on. Every other answer leaves the text in doubt. Twilio on 500:
"sending an SMS is not idempotent … possible for a customer to receive multiple messages" (docs, error 20500).
"""

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from smsretry.adapters.twilio.errors import twilio_refusal
from smsretry.phone import e164
from smsretry.retry.evidence import plain
from smsretry.retry.outcome import Accepted, InDoubt, NotSent, Outcome, Rejected

_SID: Final = re.compile(r"(?:SM|MM)[0-9a-fA-F]{32}")
"""The SID of a message, as in Twilio's OpenAPI description (`^(SM|MM)[0-9a-fA-F]{32}$`)."""
_ADDRESS: Final = re.compile(r"(?:rcs:|sms:)?(\+[0-9]+)|([a-z]+:.*)")
"""A whole number, which a messaging service may reach by RCS, or an address of another channel."""


def whole_address(to: object) -> str | None:
    """The number that a message went to, or its address in another channel. None: it is masked or missing, and may be
    any number.
    """
    address = _ADDRESS.fullmatch(str(to))
    return address and (address[1] or address[2])


def is_own(content: Mapping[str, Any], url: str, form: Mapping[str, object]) -> bool:
    """Whether Twilio's JSON is the answer to a request: on a broken connection it may be that to an earlier one.

    A new message has the number and the words that were posted. Twilio may add words (of a trial account), and keeps
    none where the account has them redacted. What is read has the address that was asked. An error says neither.

    Args:
        form: what was posted; nothing, where something is read.
    """
    if is_error(content):
        return True
    if not form:
        return _read_at(url) == _read_at(str(content.get("uri", url)))
    body, words = content.get("body"), plain(str(form.get("Body")))
    has_words = isinstance(body, str) and (not body or words in plain(body))
    return has_words and whole_address(content.get("to")) == e164(str(form.get("To")))


def _read_at(url: str) -> tuple[str, list[str] | None]:
    """Where something is read, and of messages to whom."""
    parts = urlsplit(url)
    return parts.path.casefold(), parse_qs(parts.query).get("To")


def is_error(content: Mapping[str, Any]) -> bool:
    """Whether it is Twilio's JSON for an error."""
    return type(content.get("code")) is int and type(content.get("status")) is int


def outcome_of_answer(
    http_status: int, body: str, *, retry_after: str | None = None
) -> Outcome:
    """Read an HTTP answer. It raises nothing, and does not quote the body, which names the recipient.

    Args:
        retry_after: the header of that name, in seconds; a date in it is not honored.
    """
    content = json_object(body)
    if 200 <= http_status < 300:
        sid = content.get("sid")
        if isinstance(sid, str) and _SID.fullmatch(sid):
            return Accepted(sid)
        return InDoubt("Twilio answered with success but without a message SID")
    is_refusal = 400 <= http_status < 500 and is_error(content)
    if is_refusal and content["status"] == http_status:
        seconds = re.fullmatch("[0-9]{1,6}", retry_after or "")
        wait = timedelta(seconds=int(seconds[0])) if seconds else None
        return Rejected(twilio_refusal(content["code"], http_status), wait)
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


def json_object(body: str) -> dict[str, Any]:
    """The JSON of an answer; empty, if it is none of Twilio's."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
