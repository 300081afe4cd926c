"""The composition root: settings from the environment, and the adapters they make. Nothing else knows every adapter."""

from collections.abc import Iterator
from contextlib import contextmanager

from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.desk.desk import Desk
from smsretry.ports import Services
from smsretry.settings import load_settings


@contextmanager
def services() -> Iterator[Services]:
    """Connect, and close at the end of the run.

    Raises:
        SettingsError: names the variables that are missing or malformed.
    """
    settings = load_settings()
    with SupabaseQueue(settings) as queue, TwilioSender(settings) as sender:
        yield Services(queue, sender, settings.profile, settings.concurrency)


@contextmanager
def desk() -> Iterator[Desk]:
    """Connect the desk, where a person asks and acts.

    Raises:
        SettingsError: as for `services`.
    """
    settings = load_settings()
    with SupabaseOperators(settings) as operators:
        yield Desk(operators, profile=settings.profile, meaning=code_meaning)
