"""The settings that say whom this installation texts. A malformed one stops each run: nobody is texted by mistake."""

import os
from typing import Annotated, Final
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from smsretry.phone import phone_problem
from smsretry.retry.profile import Audience
from smsretry.vocabulary import SendTo

SEND_TO: Final = "SMSRETRY_SEND_TO"


def _entries(listed: str) -> list[str]:
    return [entry.strip() for entry in listed.split(",") if entry.strip()]


def _numbers(listed: SecretStr) -> SecretStr:
    for place, number in enumerate(_entries(listed.get_secret_value()), 1):
        if problem := phone_problem(number):
            raise ValueError(f"entry {place} of the comma-separated list: {problem}")
    return listed


def _businesses(listed: str) -> str:
    for place, entry in enumerate(_entries(listed), 1):
        try:
            UUID(entry)
        except ValueError:
            raise ValueError(f"entry {place} of the comma-separated list is no id of a business") from None
    return listed


class SendToSettings(BaseSettings):
    """Whom the runner texts: everybody, unless these say otherwise."""

    send_to: SendTo = Field("all", validation_alias=SEND_TO, validate_default=True)
    """`all`, `listed`: only the numbers and businesses below, or `nobody`."""
    send_to_numbers: Annotated[SecretStr, AfterValidator(_numbers)] | None = Field(
        None, validation_alias="SMSRETRY_SEND_TO_NUMBERS", validate_default=True
    )
    """E.164, separated by commas. Personal data, so it never prints."""
    send_to_businesses: Annotated[str, AfterValidator(_businesses)] | None = Field(
        None, validation_alias="SMSRETRY_SEND_TO_BUSINESSES", validate_default=True
    )
    """Ids, separated by commas: all customers of these businesses may be texted."""

    @property
    def audience(self) -> Audience:
        """The same as a value."""
        numbers = self.send_to_numbers.get_secret_value() if self.send_to_numbers else ""
        businesses = map(UUID, _entries(self.send_to_businesses or ""))
        return Audience(self.send_to, frozenset(_entries(numbers)), frozenset(businesses))

    @field_validator("send_to", mode="before")
    @classmethod
    def _not_blank(cls, value: object) -> object:
        """A template that was not filled in leaves a blank. Taken for the default, it would text everybody."""
        blank = any(name.upper() == SEND_TO and not given.strip() for name, given in os.environ.items())
        if value == "all" and blank:
            raise ValueError("is set to nothing: must be all, listed or nobody, or not set")
        return value

    @field_validator("send_to_numbers", "send_to_businesses")
    @classmethod
    def _only_with_a_list(cls, listed: SecretStr | str | None, info: ValidationInfo) -> SecretStr | str | None:
        if listed and info.data.get("send_to", "listed") != "listed":
            raise ValueError(f"counts only with {SEND_TO}=listed: set that, or unset this")
        return listed
