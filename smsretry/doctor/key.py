"""What the Supabase key says of itself: whose it is, of which project, until when. Nobody is asked."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from smsretry.settings import Settings

_TAKE: Final = "take the service_role (or secret) key from the project's API settings"
_HOSTED: Final = ".supabase.co"
_SKEW: Final = timedelta(minutes=1)


def key_problem(settings: Settings, now: datetime) -> str | None:
    """What is wrong with SUPABASE_SERVICE_ROLE_KEY, so far as it can be seen.

    A secret key (`sb_secret_…`) says nothing. A key of the older kind is a JWT, whose payload names role,
    project and expiry.
    https://supabase.com/docs/guides/api/api-keys
    """
    key = settings.supabase_service_role_key.get_secret_value()
    if key.startswith("sb_publishable_"):
        return f"is the publishable key, which may call nothing: {_TAKE}"
    if not key.startswith("eyJ"):
        return None
    payload = _payload(key)
    if payload is None:
        return f"is cut off, or only a part of a key: {_TAKE}, and copy all of it"
    role, project = payload.get("role"), payload.get("ref")
    host = urlsplit(str(settings.supabase_url)).hostname or ""
    if isinstance(role, str) and role != "service_role":
        return f"is the {role if role in ('anon', 'authenticated') else 'wrong'} key, which may call nothing: {_TAKE}"
    if isinstance(project, str) and host.endswith(_HOSTED) and host.removesuffix(_HOSTED) != project:
        return f"is a key of another project than SUPABASE_URL ({host}): {_TAKE}"
    if (end := _instant(payload.get("exp"))) and end <= now:
        return f"expired on {end:%Y-%m-%d}: {_TAKE}"
    if (start := _instant(payload.get("nbf") or payload.get("iat"))) and start > now + _SKEW:
        return f"begins on {start:%Y-%m-%d}, which has not come by this machine's clock: set the clock, or {_TAKE}"
    return None


def _payload(key: str) -> dict[str, Any] | None:
    """The middle of the three parts of a JWT."""
    try:
        _, middle, signature = key.split(".")
        payload = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) and signature else None


def _instant(seconds: object) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if isinstance(seconds, int | float) else None
    except (OverflowError, ValueError, OSError):
        return None
