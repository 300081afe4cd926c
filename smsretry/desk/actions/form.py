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
)
from pydantic_core import CoreSchema

from smsretry.desk.actions.refusals import A_MOMENT, AN_ID
from smsretry.vocabulary import MESSAGE_ID, PROVIDER_ID
from smsretry.written_numbers import USUAL, holds_number


def _without_number(text: str) -> str:
    if holds_number(text):
        raise ValueError("must hold no phone number: it is kept and shown. Name the customer by its id")
    return text


class _Schema:
    """Lets Prefect refuse, before it is kept, what the field's own check refuses.

    Prefect quotes the part of the schema that is not fulfilled. So that part is a constant that says what is wanted,
    and the pattern is only its condition: "Failure reason: 'words without a phone number …' was expected".
    """

    def __init__(self, wanted: str, condition: dict[str, Any], **schema: str) -> None:
        self._schema = {
            "type": "string",
            **schema,
            "if": {"type": "string", **condition},
            "then": {"const": wanted},
        }

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(core).items() if name != "format"} | self._schema


def _matching(pattern: str, wanted: str, **schema: str) -> _Schema:
    return _Schema(wanted, {"not": {"pattern": pattern}}, **schema)


def _check(pattern: str, wanted: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {wanted}")
        return text

    return AfterValidator(check)


_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_MOMENT: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$"
_SENDER_NAME: Final = f"{_UUID}|{PROVIDER_ID}"
_LAST_DIGITS: Final = "^[0-9]{3,6}$"
_A_MESSAGE: Final = "the id of a message, as the provider shows it"
_A_PROVIDER_ID: Final = "an id, as the provider shows it, and no number"
_A_SENDER: Final = "the sender's id, or the provider's id of it; no number"
_DIGITS: Final = "3 to 6 digits"

Id = Annotated[UUID, _matching(_UUID, AN_ID)]
"""An id. Prefect refuses anything else before it is kept: a number pasted into the wrong field, say."""
Moment = Annotated[AwareDatetime, _matching(_MOMENT, A_MOMENT, format="date-time")]
"""An instant, with its zone's offset."""
MessageId = Annotated[str, _check(MESSAGE_ID, _A_MESSAGE), _matching(MESSAGE_ID, _A_MESSAGE)]
"""A provider's id of a message."""
ProviderId = Annotated[str, _check(PROVIDER_ID, _A_PROVIDER_ID), _matching(PROVIDER_ID, _A_PROVIDER_ID)]
"""A provider's id of an account or a messaging service."""
SenderName = Annotated[str, _check(_SENDER_NAME, _A_SENDER), _matching(_SENDER_NAME, _A_SENDER)]
"""A sender, by its id or the provider's. One that is a number has only its own id here."""
LastDigits = Annotated[str, _check(_LAST_DIGITS, _DIGITS), _matching(_LAST_DIGITS, _DIGITS)]
"""The end of a phone number."""
NumberlessText = Annotated[
    str,
    AfterValidator(_without_number),
    _Schema("words without a phone number: name the customer by its id", {"pattern": USUAL}),
]
"""Words that are kept and shown, without a phone number. Prefect knows the usual shapes of one, the check all."""
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
            if "if" in field:  # the UI hands on what is in allOf, and nothing else that it does not draw
                field["allOf"] = [{name: field.pop(name) for name in ("if", "then")}]
        return reference
