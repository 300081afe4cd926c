"""Settings, from the environment. `.env` files are the runner's business; secrets never show in a repr."""

import os
from datetime import timedelta
from typing import ClassVar, NamedTuple, TypeVar

from pydantic import Field, HttpUrl, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from smsretry.errors import SettingsError
from smsretry.retry.profile import DEFAULT, SEND_WITHIN_SECONDS, Profile
from smsretry.send_to import SendToSettings
from smsretry.setting_values import AccountSid, ApiKeySid, Number, ProjectUrl, Secret, ServiceSid
from smsretry.vocabulary import InDoubtPolicy, RuleSet

_MISSING = "is not set"


class Choice(NamedTuple):
    """Ways to set something, of which one will do: each is variables that are set together.

    A variable that is malformed counts as set, and is complained of itself.
    """

    ways: tuple[tuple[str, ...], ...]
    several: bool = True
    """Whether more than one may be set."""
    needed: bool = True

    @property
    def advice(self) -> str | None:
        """What to set. None: it is right as it is."""
        there = {name.upper() for name, value in os.environ.items() if value}
        taken = sum(there.issuperset(way) for way in self.ways)
        if (taken or not self.needed) and (taken <= 1 or self.several):
            return None
        return f"Set {', or '.join(map(' and '.join, self.ways))}{'' if self.several else ', and not both'}"


class ReadingSettings(SendToSettings):
    """What asking the desk needs. The environment variable has the field's name in capitals."""

    CHOICES: ClassVar[tuple[Choice, ...]] = (Choice((("SUPABASE_READER_KEY",), ("SUPABASE_SERVICE_ROLE_KEY",))),)
    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True, env_ignore_empty=True
    )

    supabase_url: ProjectUrl
    """Project URL, `https://<project>.supabase.co`."""
    supabase_reader_key: Secret | None = None
    """A token of the role smsretry_reader, which may ask the desk and nothing else. Only questions use it."""
    supabase_anon_key: Secret | None = None
    """The project's anon (or publishable) key, without which Supabase's gateway lets no reader through."""
    supabase_service_role_key: Secret | None = None
    """The service_role (or secret) key. No other key may call the functions."""
    supabase_timeout_seconds: float = Field(15, gt=0, le=120)
    """Seconds for a whole exchange, to the answer's end. Three tries of a call are far below a claim's ten minutes."""

    twilio_connect_timeout_seconds: float = Field(5, gt=0, le=60)
    twilio_read_timeout_seconds: float = Field(35, gt=0, le=120)
    """Seconds for the whole answer. Above Twilio's own limit of about 30 seconds, so that its answer arrives before our
    timeout; even the largest value is far below the ten minutes after which a claim is taken back."""

    # The owner's decisions: `retry.profile` says what each means.
    in_doubt: InDoubtPolicy = Field(DEFAULT.in_doubt, validation_alias="SMSRETRY_IN_DOUBT")
    quiet_hours_rules: RuleSet = Field(DEFAULT.quiet_hours_rules, validation_alias="SMSRETRY_QUIET_HOURS_RULES")
    opening_spread_minutes: float = Field(
        DEFAULT.opening_spread // timedelta(minutes=1), ge=0, le=120, validation_alias="SMSRETRY_OPENING_SPREAD_MINUTES"
    )
    closing_guard_seconds: float = Field(
        DEFAULT.closing_guard // timedelta(seconds=1), ge=60, le=3600, validation_alias="SMSRETRY_CLOSING_GUARD_SECONDS"
    )
    """`profile` has its minimum."""
    delivery_retries: int = Field(DEFAULT.delivery_retries, ge=0, le=5, validation_alias="SMSRETRY_DELIVERY_RETRIES")

    concurrency: int = Field(50, ge=1, le=200, validation_alias="SMSRETRY_CONCURRENCY")
    """Texts of one run that are sent at once."""

    @property
    def address(self) -> str:
        """The project's host, with the port if it is not the usual one, and the path if it has one: several may
        stand behind one gateway. It is the same for each runner of an installation.
        """
        host, port = (self.supabase_url.host or "").rstrip("."), self.supabase_url.port
        path = (self.supabase_url.path or "").rstrip("/")
        return (f"{host}{path}" if port in (None, 80, 443) else f"{host}:{port}{path}").lower()

    @property
    def key(self) -> SecretStr:
        """The key that calls the functions: the reader's, or else the service key."""
        return self.supabase_reader_key or self.supabase_service_role_key or SecretStr("")

    @property
    def as_reader(self) -> bool:
        """Whether that is the reader's."""
        return self.supabase_reader_key is not None

    @property
    def profile(self) -> Profile:
        """The owner's decisions among the settings.

        The guard is at least as long as a request may take to be in Twilio's queue, so longer timeouts raise it.
        """
        longest = SEND_WITHIN_SECONDS + self.twilio_connect_timeout_seconds + self.twilio_read_timeout_seconds
        return Profile(
            in_doubt=self.in_doubt,
            quiet_hours_rules=self.quiet_hours_rules,
            opening_spread=timedelta(minutes=self.opening_spread_minutes),
            closing_guard=timedelta(seconds=max(self.closing_guard_seconds, longest + 5)),
            delivery_retries=self.delivery_retries,
        )


class Settings(ReadingSettings):
    """Every setting of a running smsretry. It writes, so the reader's key is of no use to it."""

    ACCOUNTS: ClassVar = Choice((("TWILIO_ACCOUNTS",), ("TWILIO_ACCOUNTS_FILE",)), several=False, needed=False)
    CHOICES: ClassVar[tuple[Choice, ...]] = (
        Choice((("TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET"), ("TWILIO_AUTH_TOKEN",))),
        ACCOUNTS,
        Choice((("TWILIO_MESSAGING_SERVICE_SID",), ("TWILIO_FROM_NUMBER",)), several=False),
    )
    supabase_service_role_key: Secret
    """The service_role (or secret) key. No other key may give orders."""
    supabase_reader_key: SecretStr | None = None
    supabase_anon_key: SecretStr | None = None
    """For questions alone, so a malformed one stops no run."""

    twilio_account_sid: AccountSid
    twilio_api_key_sid: ApiKeySid | None = None
    twilio_api_key_secret: Secret | None = None
    twilio_auth_token: Secret | None = None
    twilio_accounts: SecretStr | None = None
    """Credentials of other accounts, as JSON: `adapters.twilio.accounts` says how. A wrong entry holds the texts of its
    account, and stops no run."""
    twilio_accounts_file: str | None = None
    """A file with the same, read by each run."""
    twilio_messaging_service_sid: ServiceSid | None = None
    twilio_from_number: Number | None = None
    twilio_status_callback_url: HttpUrl | None = None
    """Where Twilio reports a message's progress; the attempt's id is added as `attempt`."""
    twilio_base_url: HttpUrl | None = None
    """Another host instead of api.twilio.com: the stand-in of the embedded stack."""
    task_runs: int = Field(200, ge=0, le=2000, validation_alias="SMSRETRY_TASK_RUNS")
    """Texts of one run that have a Prefect task run each; when more are due, one task run has 25 texts."""

    @property
    def key(self) -> SecretStr:
        """The service key."""
        return self.supabase_service_role_key

    @property
    def as_reader(self) -> bool:
        """Never."""
        return False

    @property
    def twilio_sender(self) -> str:
        """The messaging service's SID, or the number that texts go out from."""
        return self.twilio_messaging_service_sid or self.twilio_from_number or ""


_Kind = TypeVar("_Kind", bound=ReadingSettings)


class PrefectSettings(BaseSettings):
    """Where Prefect's API is, by the variables that Prefect itself reads. smsretry runs without them, too."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True)

    prefect_api_url: HttpUrl | None = None
    """The API's address, `http://<host>:4200/api`."""
    prefect_api_auth_string: SecretStr | None = None
    """`user:password`; the server's is PREFECT_SERVER_API_AUTH_STRING."""
    prefect_api_key: SecretStr | None = None
    """Prefect Cloud's API key."""


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: names every variable that is missing or malformed; quotes no value.
    """
    return load(Settings)


def load_reading_settings() -> ReadingSettings:
    """Read as much of the environment as questions need. Raises SettingsError, as `load_settings`."""
    return load(ReadingSettings)


def load(kind: type[_Kind]) -> _Kind:
    """Read these settings from the environment. Raises SettingsError, as `load_settings`."""
    problems = setting_problems(kind)
    if not problems:
        return kind()
    lines = [f"  {_line(variable, told)}" for variable, told in problems.items()]
    if problems.get("SUPABASE_SERVICE_ROLE_KEY") == _MISSING and not setting_problems(ReadingSettings):
        lines.append("  SUPABASE_READER_KEY is set, but it only answers questions: this needs the service key")
    raise SettingsError("\n".join(["Settings are not complete:", *lines]))


def sends_at_once() -> int:
    """SMSRETRY_CONCURRENCY before a run begins, or its default while settings are missing."""
    return int(Settings.model_fields["concurrency"].default) if setting_problems() else Settings().concurrency


def setting_problems(kind: type[ReadingSettings] = Settings) -> dict[str, str]:
    """What is wrong with the environment, by variable; empty if nothing is. Quotes no value."""
    found = dict[str, str]()
    try:
        kind()
    except ValidationError as error:
        for one in error.errors(include_input=False, include_url=False):
            name, *places = one["loc"]
            field = kind.model_fields.get(str(name))
            entry = f"entry {places[0] + 1}: " if places and isinstance(places[0], int) else ""
            told = entry + one["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            variable = str((field and field.validation_alias) or name).upper()
            found[variable] = _MISSING if one["type"] == "missing" else told
    return found | {each.ways[-1][0]: each.advice for each in kind.CHOICES if each.advice}


def variables(settings: type[BaseSettings]) -> dict[str, object]:
    """Each variable and its default; None where it has none."""
    return {
        str(field.validation_alias or name).upper(): None if field.is_required() else field.default
        for name, field in settings.model_fields.items()
    }


def _line(variable: str, told: str) -> str:
    if told.startswith("Set "):  # a choice, which names its variables itself
        return told
    return f"{variable} {told}" if told == _MISSING else f"{variable}: {told}"
