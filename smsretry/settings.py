"""Settings, from the environment. `.env` files are the runner's business; secrets never show in a repr."""

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar, Final, Self, TypeVar

from pydantic import AliasChoices, Field, HttpUrl, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from smsretry.errors import SettingsError, plain_problem
from smsretry.retry.models import SenderId
from smsretry.retry.profile import DEFAULT, EVERYBODY, MOST_CONCURRENCY, Profile
from smsretry.setting_values import (
    E164,
    SEND_TO,
    AccountSid,
    ApiKeySid,
    ProjectUrl,
    Secret,
    ServiceSid,
    WhomToText,
)
from smsretry.vocabulary import InDoubtPolicy, RuleSet

_SECRET: Final = AliasChoices("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY")
_PUBLISHABLE: Final = AliasChoices("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY")
"""A project's keys as they are called now, which go first, and as they were. The kind of a key is in itself."""


class ReadingSettings(BaseSettings):
    """The settings that the desk needs. An environment variable has its field's alias, else the name in capitals."""

    CHOICES: ClassVar[Sequence[Sequence[Sequence[str]]]] = [
        [
            ["SUPABASE_READER_KEY"],
            ["SUPABASE_SERVICE_ROLE_KEY"],
            ["SUPABASE_SECRET_KEY"],
        ]
    ]
    """Choices between ways to set something. A way is a list of variables that are set together, and one way will do.
    A malformed variable counts as set, because it has a problem of its own."""
    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        populate_by_name=True,
        env_ignore_empty=True,
    )

    supabase_url: ProjectUrl
    """Project URL, `https://<project>.supabase.co`."""
    supabase_reader_key: Secret | None = None
    """A token of the role smsretry_reader, which may ask the desk and nothing else. Only questions use it."""
    supabase_anon_key: Secret | None = Field(None, validation_alias=_PUBLISHABLE)
    """The project's publishable (or anon) key, without which Supabase's gateway lets no reader through."""
    supabase_service_role_key: Secret | None = Field(None, validation_alias=_SECRET)
    """A secret (or the service_role) key. No other key may call the functions."""
    supabase_timeout_seconds: float = Field(
        15,
        gt=0,
        le=120,
    )
    """Seconds for a whole exchange, to the answer's end. Three tries of a call are far below a claim's ten minutes."""

    # The owner's decisions: `retry.profile` says what each means.
    in_doubt: InDoubtPolicy = Field(
        DEFAULT.in_doubt, validation_alias="SMSRETRY_IN_DOUBT"
    )
    quiet_hours_rules: RuleSet = Field(
        DEFAULT.quiet_hours_rules, validation_alias="SMSRETRY_QUIET_HOURS_RULES"
    )
    opening_spread_minutes: float = Field(
        DEFAULT.opening_spread // timedelta(minutes=1),
        ge=0,
        le=120,
        validation_alias="SMSRETRY_OPENING_SPREAD_MINUTES",
    )
    delivery_retries: int = Field(
        DEFAULT.delivery_retries,
        ge=0,
        le=5,
        validation_alias="SMSRETRY_DELIVERY_RETRIES",
    )
    audience: WhomToText = Field(
        EVERYBODY, validation_alias=SEND_TO, validate_default=True
    )
    """The people whom the runner may text."""

    @property
    def address(self) -> str:
        """The project's host, with the port if it is not the usual one, and the path if it has one: several may
        stand behind one gateway. It is the same for each runner of an installation.
        """
        host = (self.supabase_url.host or "").rstrip(".")
        port = self.supabase_url.port
        if port not in (None, 80, 443):
            host += f":{port}"
        path = (self.supabase_url.path or "").rstrip("/")
        return (host + path).lower()

    def with_timeouts_up_to(self, seconds: float) -> Self:
        """The same settings, whose timeouts are no longer than this."""
        return self.model_copy(
            update={
                name: min(value, seconds)
                for name, value in self
                if name.endswith("_timeout_seconds")
            }
        )

    @property
    def profile(self) -> Profile:
        """The owner's decisions among the settings."""
        return Profile(
            in_doubt=self.in_doubt,
            quiet_hours_rules=self.quiet_hours_rules,
            opening_spread=timedelta(minutes=self.opening_spread_minutes),
            delivery_retries=self.delivery_retries,
        )


class Settings(ReadingSettings):
    """Every setting of a running smsretry. It writes, so the reader's key is of no use to it."""

    CHOICES: ClassVar = [
        [["TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"], ["TWILIO_AUTH_TOKEN"]],
        [["TWILIO_MESSAGING_SERVICE_SID"], ["TWILIO_FROM_NUMBER"]],
    ]
    supabase_service_role_key: Secret = Field(validation_alias=_SECRET)
    """A secret (or the service_role) key. No other key may give orders."""
    supabase_reader_key: SecretStr | None = None
    supabase_anon_key: SecretStr | None = Field(None, validation_alias=_PUBLISHABLE)
    """Keys that only questions need, so a malformed one stops no run."""

    twilio_account_sid: AccountSid
    twilio_api_key_sid: ApiKeySid | None = None
    twilio_api_key_secret: Secret | None = None
    twilio_auth_token: Secret | None = None
    twilio_accounts: SecretStr | None = None
    """Credentials of other accounts, as JSON: `adapters.twilio.accounts` says how. A wrong entry holds the texts of its
    account, and stops no run."""
    twilio_messaging_service_sid: ServiceSid | None = None
    twilio_from_number: E164 | None = None
    twilio_status_callback_url: HttpUrl | None = None
    """The address to which Twilio reports a message's progress; the attempt's id is added as `attempt`."""
    twilio_base_url: HttpUrl | None = None
    """Another host instead of api.twilio.com: the stand-in of the embedded stack."""
    twilio_connect_timeout_seconds: float = Field(
        5,
        gt=0,
        le=5,
    )
    twilio_read_timeout_seconds: float = Field(
        35,
        gt=0,
        le=35,
    )
    """Seconds until the whole answer is here. Above Twilio's own limit of about 30 seconds, so that its answer arrives
    before our timeout. `before.CLOSING_GUARD` and the shortest lease are longer than both timeouts together."""
    concurrency: int = Field(
        50, ge=1, le=MOST_CONCURRENCY, validation_alias="SMSRETRY_CONCURRENCY"
    )
    """Texts of one run that are sent at once."""
    task_runs: int = Field(
        200,
        ge=0,
        le=2000,
        validation_alias="SMSRETRY_TASK_RUNS",
    )
    """Texts of one run that have a Prefect task run each; when more are due, one task run has 25 texts."""

    @property
    def default_sender(self) -> SenderId:
        """The default sender, for every business without one of its own."""
        sent_by = self.twilio_messaging_service_sid or self.twilio_from_number
        return SenderId(self.twilio_account_sid, sent_by)


_Kind = TypeVar("_Kind", bound=ReadingSettings)


def load(kind: type[_Kind]) -> _Kind:
    """Read these settings from the environment.

    Raises:
        SettingsError: names every variable that is missing or malformed; quotes no value.
    """
    if problems := setting_problems(kind):
        lines = (f"  {variable}: {problem}" for variable, problem in problems.items())
        raise SettingsError("\n".join(["Settings are not complete:", *lines]))
    return kind()


def read_concurrency() -> int:
    """SMSRETRY_CONCURRENCY before a run begins, or its default while settings are missing."""
    if setting_problems():
        return int(Settings.model_fields["concurrency"].default)
    return Settings().concurrency


def setting_problems(kind: type[ReadingSettings] = Settings) -> dict[str, str]:
    """Faults of the environment, by variable; empty if there are none. Quotes no value."""
    problems = dict[str, str]()
    in_use = {
        alias: _variable(name, field)
        for name, field in kind.model_fields.items()
        for alias in (name, *_names(name, field))
    }
    try:
        kind()
    except ValidationError as error:
        for detail in error.errors(include_input=False, include_url=False):
            name = str(detail["loc"][0])
            problems[in_use.get(name, name.upper())] = _problem(detail)
    for ways in kind.CHOICES:
        if not any(_set_variables().issuperset(way) for way in ways):
            problems[ways[-1][0]] = f"set {', or '.join(map(' and '.join, ways))}"
    return problems


def _problem(detail: ErrorDetails) -> str:
    if detail["type"] == "missing":
        return "is not set"
    if detail["type"].startswith("url_"):
        return "must be a URL, with https:// before the host"
    return plain_problem(detail["msg"])


def variables(settings: type[BaseSettings]) -> dict[str, object]:
    """Each variable, by the name that is in use, and its default; `PydanticUndefined` where it has none."""
    return {
        _variable(name, field): field.default
        for name, field in settings.model_fields.items()
    }


def variable_names(settings: type[BaseSettings]) -> list[str]:
    """Each variable that is read, by all of its names."""
    return [
        alias
        for name, field in settings.model_fields.items()
        for alias in _names(name, field)
    ]


def _variable(name: str, field: FieldInfo) -> str:
    """The variable of a field: of its names the first that is set, or else the first."""
    names = _names(name, field)
    return next((alias for alias in names if alias in _set_variables()), names[0])


def _names(name: str, field: FieldInfo) -> list[str]:
    if isinstance(field.validation_alias, AliasChoices):
        return [str(choice) for choice in field.validation_alias.choices]
    return [str(field.validation_alias or name).upper()]


def _set_variables() -> set[str]:
    return {name.upper() for name, value in os.environ.items() if value}
