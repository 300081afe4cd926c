"""What the desk's forms are made of: how a field is checked, and how Prefect's UI draws it.

An unknown field is refused, and so is a value out of bounds. No field takes a phone number, because Prefect keeps
parameters in plain text.
"""

import re
from typing import Annotated, Any, Final
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from smsretry.vocabulary import MESSAGE_ID, PROVIDER_ID

_A_NUMBER: Final = r"\+\d[\d ().-]{6,}\d|\d{9}|\d{3}[) .-]{1,2}\d{3}[ .-]\d{4}"
"""Matches all that `smsretry.numberless` masks, and more."""
_NUMBER: Final = re.compile(_A_NUMBER)


def _without_number(text: str) -> str:
    if _NUMBER.search(text):
        raise ValueError("must hold no phone number: it is kept and shown. Name the customer by its id")
    return text


class _NumberlessSchema:
    """Lets Prefect refuse a number before it is kept."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core) | {"pattern": rf"^(?!.*({_A_NUMBER}))"}


def _message_id(text: str) -> str:
    if not re.fullmatch(MESSAGE_ID, text):
        raise ValueError("must be the id of a message, as the provider shows it")
    return text


def _provider_id(text: str) -> str:
    if not re.fullmatch(PROVIDER_ID, text):
        raise ValueError("must be an id, as the provider shows it, and no number")
    return text


def _sender_name(text: str) -> str:
    if not re.fullmatch(_SENDER_NAME, text):
        raise ValueError("must be the sender's id, or the provider's id of it; no number")
    return text


_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_SENDER_NAME: Final = f"{_UUID}|{PROVIDER_ID}"
Id = Annotated[UUID, WithJsonSchema({"type": "string", "format": "uuid", "pattern": _UUID})]
"""An id. The pattern lets Prefect refuse anything else before it is kept: a number pasted into the wrong field, say."""
Moment = Annotated[
    AwareDatetime,
    WithJsonSchema(
        {
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$",
        }
    ),
]
"""An instant, with its zone's offset."""
MessageId = Annotated[str, AfterValidator(_message_id), WithJsonSchema({"type": "string", "pattern": MESSAGE_ID})]
"""A provider's id of a message."""
ProviderId = Annotated[str, AfterValidator(_provider_id), WithJsonSchema({"type": "string", "pattern": PROVIDER_ID})]
"""A provider's id of an account or a messaging service."""
SenderName = Annotated[str, AfterValidator(_sender_name), WithJsonSchema({"type": "string", "pattern": _SENDER_NAME})]
"""A sender, by its id or the provider's. One that is a number has only its own id here."""
NumberlessText = Annotated[str, AfterValidator(_without_number), _NumberlessSchema()]
"""Words that are kept and shown, without a phone number."""
_AT_THE_FOOT: Final = frozenset({"limit", "dry_run", "who", "because"})
"""Fields that a form ends with."""


class Request(BaseModel):
    """One question or order, as a form."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema that Prefect's UI draws well: fields in their order here, and an optional one is simply empty.

        Prefect keeps the schema in a column that forgets the order, and draws `X | None` as a choice of two types.
        """
        reference = handler(core)
        fields = handler.resolve_ref_schema(reference)["properties"]
        for position, name in enumerate(sorted(fields, key=lambda name: name in _AT_THE_FOOT)):
            field = fields[name]
            field["position"] = position
            kinds = [kind for kind in field.pop("anyOf", []) if kind != {"type": "null"}]
            for kind in kinds:
                field |= {**kind, **field}
            if field.get("default", ...) is None:
                del field["default"]
        return reference
