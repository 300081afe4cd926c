"""Whom the settings let this installation text, and whether that fits what the database is marked as."""

from collections.abc import Iterator

from httpx import URL

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.doctor.callback import is_private
from smsretry.errors import QueueError
from smsretry.retry.models import Finding
from smsretry.send_to import SEND_TO
from smsretry.settings import Settings


def audience_findings(database: SupabaseOperators, settings: Settings) -> Iterator[Finding]:
    """Findings; none if the database cannot be asked, or has no mark to ask about, because that has been said."""
    audience = settings.audience
    try:
        checked = database.check_mark(audience)
    except QueueError:
        return
    advice = None
    if audience.told:
        advice = f"what else is due is cancelled, unsent: right in staging; in production, unset {SEND_TO}"
    yield Finding(subject=f"whom texts go to: {audience.told or 'texts everybody'}", ok=True, advice=advice)
    place = f" at {checked.marked_address}" if checked.marked_address else ""
    marked = f"is marked as {checked.mark}{place}" if checked.mark else "is not marked (`smsretry mark`)"
    advice = checked.mismatch
    if advice is None and checked.mark == "production" and is_private(URL(f"//{checked.marked_address}").host):
        advice = (
            "a copy in another network may have the same address, and would text everybody: use one that production "
            "alone has, and run `smsretry mark production` again"
        )
    yield Finding(subject=f"the database {marked}", ok=checked.mismatch is None, advice=advice)
    if checked.unknown:
        ids = ", ".join(map(str, checked.unknown))
        yield Finding(
            subject="SMSRETRY_SEND_TO_BUSINESSES",
            ok=True,
            advice=f"names businesses that the database does not have: {ids}. Correct the ids",
        )
