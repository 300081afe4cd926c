"""The composition root: settings from the environment, and the adapters they make.

Without settings as an argument, these functions read the environment. They raise `SettingsError`, which names the
variables that are missing or malformed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial

from smsretry.adapters.desk import Desk
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.adapters.supabase.queue import SupabaseQueue
from smsretry.adapters.twilio.answers import id_problem
from smsretry.adapters.twilio.errors import code_meaning
from smsretry.adapters.twilio.provider import TwilioProvider
from smsretry.adapters.twilio.webhook import read_event
from smsretry.desk.actions.form import Form, Question
from smsretry.sending.ports import Provider, Services
from smsretry.sending.webhook_events import RejectedPost, WebhookEvent
from smsretry.settings import ReadingSettings, Settings, load


def provider(settings: Settings) -> AbstractContextManager[Provider]:
    """The provider that texts go out through. It connects at the first request."""
    return TwilioProvider(settings)


@contextmanager
def services(settings: Settings | None = None) -> Iterator[Services]:
    """Connect what a run works with, and close it at the end."""
    settings = settings or load(Settings)
    with SupabaseQueue(settings) as queue, provider(settings) as connected_provider:
        yield Services(
            queue=queue,
            provider=connected_provider,
            profile=settings.profile,
            concurrency=settings.concurrency,
        )


@contextmanager
def reading_desk() -> Iterator[Desk]:
    """Connect the desk for questions. It needs neither the provider nor a key that can write, and refuses orders."""
    settings = load(ReadingSettings)
    with SupabaseOperators(settings, reads=True) as connected:
        yield _desk_over(connected, settings)


@contextmanager
def desk(settings: Settings | None = None) -> Iterator[Desk]:
    """Connect the desk, where a person asks and acts."""
    settings = settings or load(Settings)
    with (
        SupabaseOperators(settings) as connected,
        provider(settings) as connected_provider,
    ):
        yield replace(
            _desk_over(connected, settings),
            check_sender=connected_provider.check_sender,
        )


def _desk_over(operators: SupabaseOperators, settings: ReadingSettings) -> Desk:
    return Desk(
        operators=operators,
        profile=settings.profile,
        meaning=code_meaning,
        audience=settings.audience,
        id_problem=id_problem,
    )


def desk_for(form: Form) -> AbstractContextManager[Desk]:
    """Connect the desk that a form needs: for a question of the database, no key that can write."""
    return reading_desk() if isinstance(form, Question) else desk()


def post_reader(
    settings: Settings, addresses: Sequence[str], tokens: Mapping[str, Sequence[str]]
) -> Callable[..., WebhookEvent | RejectedPost]:
    """The function that checks and reads what the provider posts to a webhook, for `SupabaseQueue.record`."""
    return partial(read_event, settings, addresses, tokens)
