"""A look at what answers over a network: database, provider, senders, Prefect. What lacks a setting is not asked."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from smsretry.adapters.answering import slow_finding
from smsretry.adapters.prefect.api import PrefectApi
from smsretry.adapters.prefect.definition import declared
from smsretry.adapters.prefect.watch import watch
from smsretry.adapters.supabase.operators import SupabaseOperators
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.sender_checks import check_senders, sender_findings
from smsretry.doctor.audience import audience_findings
from smsretry.doctor.clocks import DATABASE, PREFECT, PROVIDER
from smsretry.doctor.database import database_findings
from smsretry.errors import QueueError
from smsretry.retry.models import Finding
from smsretry.send_to import SEND_TO
from smsretry.sending.ports import Provider
from smsretry.settings import PrefectSettings, Settings
from smsretry.wiring import provider

_PATIENCE: Final = 10.0
"""Seconds that the doctor waits for one answer at most, however long a run would."""
_DATABASE: Final = ("SUPABASE_URL", "SUPABASE_SERVICE_ROLE_KEY")
_PROVIDER: Final = ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_BASE_URL")


class Look:
    """A look at each part with the settings that are right. The parts are looked at by several threads."""

    def __init__(
        self,
        settings: Settings,
        lacking: frozenset[str],
        problems: Mapping[str, str],
        now: Callable[[], datetime],
    ) -> None:
        self._settings = _patient(settings)
        self._lacking = lacking
        self._problems = problems
        self._now = now
        self.ahead: Final = dict[str, timedelta]()
        """By how much other clocks are ahead of this machine's."""

    def at_database(self) -> Iterator[Finding]:
        if without := self._without(*_DATABASE):
            yield _unasked("Supabase", without)
            return
        answers = False
        with SupabaseOperators(self._settings) as operators:
            for finding in database_findings(operators):
                answers = answers or finding.ok
                yield finding
            if answers:
                self._read_clock(operators)
                if not any(variable.startswith(SEND_TO) for variable in self._problems):
                    yield from audience_findings(operators, self._settings)
            look = "look at the project's load and region, and the network from here"
            yield from slow_finding("Supabase", operators.fastest, look)

    def _read_clock(self, operators: SupabaseOperators) -> None:
        with suppress(QueueError):  # it has been said
            at = QueueStatus.of(operators.status()).at
            self.ahead[DATABASE] = at - self._now()

    def at_provider(self) -> Iterator[Finding]:
        if without := self._without(*_PROVIDER):
            yield _unasked("Twilio", without)
            return
        with provider(self._settings) as connected:
            yield from connected.check()
            if at := connected.clock():
                self.ahead[PROVIDER] = at - self._now()

    def at_senders(self) -> Iterator[Finding]:
        """The businesses' own senders. What database and provider lack, they say."""
        if self._without(*_DATABASE, *_PROVIDER):
            return
        with SupabaseOperators(self._settings) as operators, provider(self._settings) as connected:
            yield from _senders(operators, connected)

    def at_prefect(self, environment: Mapping[str, str]) -> Iterator[Finding]:
        try:
            settings = PrefectSettings()
        except ValidationError:
            advice = "must be the address of Prefect's API: http://<host>:4200/api"
            yield Finding(subject="PREFECT_API_URL", ok=False, advice=advice)
            return
        with PrefectApi(settings) as api:
            yield from watch(api, declared(), environment)
            if api.tells_time:
                self.ahead[PREFECT] = api.now - self._now()

    def _without(self, *variables: str) -> list[str]:
        """Those of the variables without which the part cannot be asked."""
        needed_right = "TWILIO_BASE_URL"  # it is optional, but with a wrong one the real Twilio is not meant
        return [
            name for name in variables if name in self._lacking or (name == needed_right and name in self._problems)
        ]


def _patient(settings: Settings) -> Settings:
    """The same, but nothing is waited for longer than a person would."""
    fields = ("supabase_timeout_seconds", "twilio_connect_timeout_seconds", "twilio_read_timeout_seconds")
    return settings.model_copy(update={name: min(getattr(settings, name), _PATIENCE) for name in fields})


def _senders(operators: SupabaseOperators, connected: Provider) -> Iterator[Finding]:
    """The businesses' own senders. If the database cannot be asked, that has been said."""
    try:
        senders = [one for one in operators.senders() if one.sender_id]
    except QueueError:
        return
    yield from sender_findings(check_senders(senders, connected.check_sender))


def _unasked(subject: str, without: list[str]) -> Finding:
    return Finding(subject=subject, ok=True, advice=f"was not asked: it needs {' and '.join(without)}, see above")
