"""Is everything in place? Each setting, connection, function, grant, the zone data, Twilio's account and the sender."""

from collections.abc import Iterator

import tzdata

from smsretry.adapters.supabase_queue import SupabaseQueue
from smsretry.adapters.twilio_sender import TwilioSender
from smsretry.data import place, place_names
from smsretry.errors import QueueError, SettingsError
from smsretry.models import Finding
from smsretry.settings import load_settings


def examine() -> Iterator[Finding]:
    """Findings, in the order in which to mend them. Changes nothing and sends nothing."""
    yield _zone_data()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Finding(subject="settings", ok=False, advice=str(error))
        return
    yield Finding(subject="settings", ok=True)
    try:
        with SupabaseQueue(settings) as queue:
            findings = queue.check()
    except QueueError as error:
        yield Finding(subject="Supabase", ok=False, advice=str(error))
    else:
        yield Finding(subject="Supabase connection and key", ok=True)
        yield from findings
    with TwilioSender(settings) as sender:
        yield from sender.check()


def _zone_data() -> Finding:
    for name in place_names():
        place(name)
    return Finding(subject=f"time zone data (IANA {tzdata.IANA_VERSION}, pinned)", ok=True)
