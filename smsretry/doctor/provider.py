"""The provider: the account, its sender, and the senders of the businesses."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.questions.senders import check_senders, sender_findings
from smsretry.doctor.clocks import PROVIDER
from smsretry.doctor.database import PATIENCE
from smsretry.errors import QueueError
from smsretry.retry.models import Finding
from smsretry.settings import Settings
from smsretry.wiring import provider


def provider_findings(
    settings: Settings, ahead: dict[str, timedelta], now: Callable[[], datetime]
) -> Iterator[Finding]:
    """Findings. If the database cannot be asked for the businesses' senders, that has been said."""
    fields = ("supabase_timeout_seconds", "twilio_connect_timeout_seconds", "twilio_read_timeout_seconds")
    settings = settings.model_copy(update={name: min(getattr(settings, name), PATIENCE) for name in fields})
    with SupabaseOperators(settings) as operators, provider(settings) as connected:
        yield from connected.check()
        if at := connected.clock():
            ahead[PROVIDER] = at - now()
        try:
            senders = operators.senders()
        except QueueError:
            return
        of_environment = [one for one in senders if one.told_at]  # the provider has been asked about it
        own = check_senders([one for one in senders if not one.told_at], connected.check_sender)
        yield from sender_findings([*of_environment, *own])
