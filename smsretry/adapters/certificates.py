"""Whom HTTPS trusts. To read the authorities takes 9 ms, so a process does it once, and not for each client."""

import ssl
from functools import cache

import httpx


@cache
def trusted() -> ssl.SSLContext:
    """httpx's own: certifi's authorities, or those of SSL_CERT_FILE and SSL_CERT_DIR."""
    return httpx.create_ssl_context()
