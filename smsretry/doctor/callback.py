"""Can Twilio report to TWILIO_STATUS_CALLBACK_URL? Asked from here, with a request that changes nothing."""

import ipaddress
import socket
from collections.abc import Iterator
from typing import Final

import httpx

from smsretry.adapters.answering import why
from smsretry.adapters.certificates import trusted
from smsretry.retry.models import Finding
from smsretry.settings import Settings

_NAME: Final = "TWILIO_STATUS_CALLBACK_URL"
_SECONDS: Final = 5.0
_OR_UNSET: Final = "give the address of a public endpoint, or unset it"


def callback_findings(settings: Settings) -> Iterator[Finding]:
    """Findings in the order in which to mend them. Not set is right: deliveries are asked for, too."""
    if not settings.twilio_status_callback_url:
        return
    url = httpx.URL(str(settings.twilio_status_callback_url))
    if not settings.twilio_base_url and is_private(url.host):
        yield _finding(f"Twilio cannot reach {url.host} from the internet: {_OR_UNSET}", ok=False)
        return
    try:
        addresses = {str(found[4][0]) for found in socket.getaddrinfo(url.host, None)}
    except (OSError, UnicodeError):
        yield _finding(f"the name {url.host} cannot be resolved, so Twilio reports nothing: {_OR_UNSET}", ok=False)
        return
    if not settings.twilio_base_url and all(is_private(address) for address in addresses):
        yield _finding(f"{url.host} is a private address from here. If it is so for Twilio, too: {_OR_UNSET}")
    if url.scheme != "https" and not is_private(url.host):
        yield _finding("is not https, so numbers and signatures travel readable: give the https address")
    yield from _answer(url)


def _answer(url: httpx.URL) -> Iterator[Finding]:
    """What a HEAD request is answered. It is safe by definition (RFC 9110, 9.2.1): no report is made by it.

    A server may know the path for POST alone, so what it refuses is only a warning. Twilio takes no answer but 2xx for
    a report that arrived: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status
    """
    try:
        with httpx.Client(verify=trusted(), timeout=_SECONDS) as http:
            answer = http.head(url)
    except (httpx.HTTPError, OSError) as error:
        advice = f"{url.host} does not answer from here ({why(error)}): see that it is up and reached over the internet"
        yield _finding(advice, ok=not isinstance(error, httpx.ConnectError))
        return
    status = answer.status_code
    if answer.is_redirect:
        yield _finding("is redirected to another address, for which Twilio's signature does not hold: give that one")
    elif status in (401, 403):
        yield _finding(
            f"{url.host} answers HTTP {status}, and Twilio has no credentials for it: let it be reached without"
        )
    elif status == 404:
        yield _finding(f"{url.host} has nothing at this path (HTTP 404): correct it, unless it is there for POST alone")
    elif status >= 500 and status != 501:
        yield _finding(f"{url.host} answers HTTP {status}: see its log")


def _finding(advice: str, *, ok: bool = True) -> Finding:
    return Finding(subject=_NAME, ok=ok, advice=advice)


def is_private(host: str) -> bool:
    """Whether it means something in one network, and another thing or nothing in the next."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal"))
