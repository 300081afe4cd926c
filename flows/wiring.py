"""The composition root: settings from the environment, and the adapters they make."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.sender import TwilioSender
from smsretry.ports import RetryQueue, Sender
from smsretry.retry.profile import Profile
from smsretry.settings import load_settings


@dataclass(frozen=True, slots=True)
class Services:
    """What a run works with."""

    queue: RetryQueue
    sender: Sender
    profile: Profile


@contextmanager
def services() -> Iterator[Services]:
    """Connect, and close at the end of the run.

    Raises:
        SettingsError: names the variables that are missing or malformed.
    """
    settings = load_settings()
    with SupabaseQueue(settings) as queue, TwilioSender(settings) as sender:
        yield Services(queue, sender, settings.profile)
