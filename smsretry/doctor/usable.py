"""What can be used of settings of which some are wrong: one bad setting stops no check that does not need it."""

import os
from collections.abc import Mapping
from typing import Any, Final

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from smsretry.settings import Settings, setting_problems, variables


class _Given(Settings):
    """Settings from arguments alone."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic calls it so
        init_settings: PydanticBaseSettingsSource,
        *_: Any,
        **__: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


_STAND_INS: Final = {
    "SUPABASE_URL": "https://not-set.invalid",
    "SUPABASE_SERVICE_ROLE_KEY": "not-set",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "not-set",
    "TWILIO_FROM_NUMBER": "+12025550100",
    "SMSRETRY_SEND_TO": "nobody",
}
"""What makes settings whole that lack these, for whoever asks nothing that needs them."""


def usable_settings() -> tuple[Settings, frozenset[str]]:
    """The settings that are right, and the variables that they lack. What is malformed counts as not set.

    For `smsretry doctor`, which checks with them what does not need the others. Never to be sent with.
    """
    environment = {name.upper(): value for name, value in os.environ.items() if value}
    given = {variable: environment[variable] for variable in variables(Settings) if variable in environment}
    lacking = set[str]()
    while problems := setting_problems(_Given, **_by_field(given)):
        for variable in problems:
            if given.pop(variable, None) is None:
                lacking.add(variable)
                given[variable] = _STAND_INS[variable]
    absent = {name: None for name in ("twilio_auth_token", "twilio_from_number") if name.upper() in lacking}
    return _Given(**_by_field(given)).model_copy(update=absent), frozenset(lacking)


def _by_field(given: Mapping[str, str]) -> dict[str, Any]:
    names = [str(field.validation_alias or name) for name, field in Settings.model_fields.items()]
    return {name: given[name.upper()] for name in names if name.upper() in given}
