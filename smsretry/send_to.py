"""The settings that say whom this installation texts. A malformed one stops each run: nobody is texted by mistake."""

import os
from typing import Annotated, Final
from uuid import UUID

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from smsretry.retry.profile import Audience
from smsretry.setting_values import Number
from smsretry.vocabulary import SendTo

SEND_TO: Final = "SMSRETRY_SEND_TO"


def _entries(listed: object) -> object:
    return [entry.strip() for entry in listed.split(",") if entry.strip()] if isinstance(listed, str) else listed


class SendToSettings(BaseSettings):
    """Whom the runner texts: everybody, unless these say otherwise."""

    model_config = SettingsConfigDict(hide_input_in_errors=True)

    send_to: SendTo = Field("all", validation_alias=SEND_TO, validate_default=True)
    """`all`, `listed`: only the numbers and businesses below, or `nobody`."""
    send_to_numbers: Annotated[tuple[Number, ...] | None, NoDecode, BeforeValidator(_entries)] = Field(
        None, validation_alias="SMSRETRY_SEND_TO_NUMBERS", repr=False
    )
    """E.164, separated by commas. Personal data, so it never prints."""
    send_to_businesses: Annotated[tuple[UUID, ...] | None, NoDecode, BeforeValidator(_entries)] = Field(
        None, validation_alias="SMSRETRY_SEND_TO_BUSINESSES"
    )
    """Ids, separated by commas: all customers of these businesses may be texted."""

    @property
    def audience(self) -> Audience:
        """The same as a value."""
        return Audience(self.send_to, frozenset(self.send_to_numbers or ()), frozenset(self.send_to_businesses or ()))

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
    def _only_with_a_list(cls, listed: tuple[object, ...] | None, info: ValidationInfo) -> tuple[object, ...] | None:
        if listed and info.data.get("send_to", "listed") != "listed":
            raise ValueError(f"counts only with {SEND_TO}=listed: set that, or unset this")
        return listed
