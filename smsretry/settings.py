"""Settings, from the environment. `.env` files are the runner's business; secrets never show in a repr."""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import AfterValidator, Field, HttpUrl, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from smsretry.errors import SettingsError
from smsretry.phone import phone_problem
from smsretry.retry.profile import Profile
from smsretry.words import InDoubtPolicy, RuleSet


def _e164(value: str) -> str:
    if problem := phone_problem(value):
        raise ValueError(problem)
    return value


class Settings(BaseSettings):
    """Every setting of a running smsretry. The environment variable has the field's name in capitals."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True, env_ignore_empty=True
    )

    supabase_url: HttpUrl
    """Project URL, `https://<project>.supabase.co`."""
    supabase_service_role_key: SecretStr
    """The service_role (or secret) key; the functions answer to no other."""
    supabase_timeout_seconds: float = Field(15, gt=0, le=120)

    twilio_account_sid: str = Field(pattern=r"^AC[0-9a-fA-F]{32}$")
    twilio_auth_token: SecretStr | None = None
    twilio_api_key_sid: str | None = Field(None, pattern=r"^SK[0-9a-fA-F]{32}$")
    twilio_api_key_secret: SecretStr | None = None
    twilio_messaging_service_sid: str | None = Field(None, pattern=r"^MG[0-9a-fA-F]{32}$")
    twilio_from_number: Annotated[str, AfterValidator(_e164)] | None = None
    twilio_status_callback_url: HttpUrl | None = None
    """Where Twilio reports a message's progress; the attempt's id is added as `attempt`."""
    twilio_base_url: HttpUrl | None = None
    """Another host instead of api.twilio.com: the stand-in of the embedded stack."""
    twilio_connect_timeout_seconds: float = Field(5, gt=0, le=60)
    twilio_read_timeout_seconds: float = Field(35, gt=0, le=120)
    """Above Twilio's own limit of about 30 seconds, so that its verdict arrives before ours."""

    in_doubt: InDoubtPolicy = Field("resend", validation_alias="SMSRETRY_IN_DOUBT")
    """What becomes of a text in doubt for which no evidence is found: sent again, or held for a person."""
    quiet_hours_rules: RuleSet = Field("us_states", validation_alias="SMSRETRY_QUIET_HOURS_RULES")
    """`federal`: 08:00–21:00 everywhere. `us_states`: the states' and other countries' rules, too."""
    opening_spread_minutes: float = Field(10, ge=0, le=120, validation_alias="SMSRETRY_OPENING_SPREAD_MINUTES")
    """Texts that wait for an opening are due over so many minutes from then on."""
    closing_guard_seconds: float = Field(60, ge=60, le=3600, validation_alias="SMSRETRY_CLOSING_GUARD_SECONDS")
    """Nothing may be in Twilio's queue so long before closing; a request takes up to 55 s to get there."""

    @property
    def profile(self) -> Profile:
        """The owner's decisions among the settings."""
        return Profile(
            in_doubt=self.in_doubt,
            quiet_hours_rules=self.quiet_hours_rules,
            opening_spread=timedelta(minutes=self.opening_spread_minutes),
            closing_guard=timedelta(seconds=self.closing_guard_seconds),
        )

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if missing := _missing_choices(dict(self)):
            raise ValueError("\n".join(missing))
        return self


def _missing_choices(values: Mapping[str, object]) -> list[str]:
    """What is to be set where one of two settings will do. `values` by field name."""
    complaints = []
    api_key = values.get("twilio_api_key_sid") and values.get("twilio_api_key_secret")
    if not (api_key or values.get("twilio_auth_token")):
        complaints.append("Set TWILIO_API_KEY_SID and TWILIO_API_KEY_SECRET, or TWILIO_AUTH_TOKEN")
    if bool(values.get("twilio_messaging_service_sid")) == bool(values.get("twilio_from_number")):
        complaints.append("Set one of TWILIO_MESSAGING_SERVICE_SID and TWILIO_FROM_NUMBER")
    return complaints


def load_settings() -> Settings:
    """Read the environment.

    Raises:
        SettingsError: names every variable that is missing or malformed; quotes no value.
    """
    try:
        return Settings()
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False, include_context=False)
    lines = [_complaint(problem["loc"], problem["type"], problem["msg"]) for problem in problems if problem["loc"]]
    lines += _missing_choices({name.lower(): value for name, value in os.environ.items()})
    raise SettingsError("Settings are not complete:\n" + "\n".join(f"  {line}" for line in lines))


def _complaint(location: tuple[int | str, ...], kind: str, message: str) -> str:
    variable = str(location[0]).upper()
    return f"{variable} is not set" if kind == "missing" else f"{variable}: {message.removeprefix('Value error, ')}"
