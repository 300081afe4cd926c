"""What a form is made of: its base, the kinds of its fields, and how Prefect's UI draws it.

A form states its fields with their words, and its SQL function. The command, Prefect's form and the call are made from
it. An unknown field is refused, and so is a value out of bounds. Prefect keeps parameters in plain text, so a phone
number may be given at a terminal alone.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
)
from pydantic_core import CoreSchema, core_schema

from smsretry.vocabulary import MESSAGE_ID, PROVIDER_ID
from smsretry.written_numbers import USUAL, holds_number, read_phone

TERMINAL: Final = "terminal"
"""The context in which a form is filled in at a terminal."""
POSITIONAL: Final = "positional"
"""Marks the field that a command takes without the name of an option."""


def _without_number(text: str) -> str:
    if holds_number(text):
        raise ValueError("must hold no phone number: it is kept and shown. Name the customer by its id")
    return text


def _id(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str) and _OF_PROVIDER.fullmatch(value):
        raise ValueError(
            f"must be the database's id, and {value} is the provider's: take the number from the provider's log, and "
            "give it to `smsretry explain -`"
        )
    if isinstance(value, str) and info.context == TERMINAL and holds_number(value):
        raise ValueError(
            "must be an id: a number that is typed here stays in the shell's history. Give -, and the number on "
            "standard input"
        )
    if isinstance(value, str) and not re.fullmatch(_UUID, value):
        raise ValueError(f"must be {_AN_ID}")
    return value


def _moment(value: object) -> object:
    """A date is the start of its day, and a time without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"must be {A_MOMENT}") from None
    return moment.replace(tzinfo=UTC) if isinstance(moment, datetime) and moment.tzinfo is None else moment


def _number(text: str, info: ValidationInfo) -> str:
    """A number in E.164. A refusal does not quote it."""
    if info.context != TERMINAL:
        raise ValueError("must not be given here, where it would be kept: name the customer by its id")
    return read_phone(text)


class _Schema:
    """Lets Prefect refuse, before it is kept, what the field's own check refuses.

    Prefect quotes the part of the schema that is not fulfilled. So that part is a constant that says what is wanted,
    and the pattern is only its condition: "Failure reason: 'words without a phone number …' was expected".
    """

    def __init__(self, wanted: str, condition: dict[str, Any], **schema: str) -> None:
        self._schema = {"type": "string", **schema, "if": {"type": "string", **condition}, "then": {"const": wanted}}

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(core).items() if name != "format"} | self._schema


class _Matching(_Schema):
    """Words of a pattern; at a terminal, a number in their place, where that is allowed."""

    def __init__(self, pattern: str, wanted: str, *, or_number: bool = False) -> None:
        super().__init__(wanted, {"not": {"pattern": pattern}})
        self._pattern, self._wanted, self._or_number = pattern, wanted, or_number

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def _check(self, text: str, info: ValidationInfo) -> str:
        if re.fullmatch(self._pattern, text):
            return text
        if self._or_number and info.context == TERMINAL and not re.search("[A-Za-z]", text):
            return read_phone(text)
        raise ValueError(f"must be {self._wanted}")


_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_MOMENT: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$"
_OF_PROVIDER: Final = re.compile("[A-Z]{2}[0-9a-f]{32}")
_AN_ID: Final = "an id of 36 characters, such as 5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"
A_MOMENT: Final = "a time with its zone, such as 2026-11-24T08:15:00-05:00"
_A_PROVIDER_ID: Final = "an id, as the provider shows it, and no number"
_A_SENDER: Final = "the sender's id, or the provider's id of it; no number"

Id = Annotated[UUID, BeforeValidator(_id), _Schema(_AN_ID, {"not": {"pattern": _UUID}})]
"""An id. Prefect refuses anything else before it is kept: a number pasted into the wrong field, say."""
Moment = Annotated[
    AwareDatetime, BeforeValidator(_moment), _Schema(A_MOMENT, {"not": {"pattern": _MOMENT}}, format="date-time")
]
"""An instant. Prefect asks for its zone."""
MessageId = Annotated[str, _Matching(MESSAGE_ID, "the id of a message, as the provider shows it")]
"""A provider's id of a message."""
ProviderId = Annotated[str, _Matching(PROVIDER_ID, _A_PROVIDER_ID)]
"""A provider's id of an account."""
Address = Annotated[str, _Matching(PROVIDER_ID, _A_PROVIDER_ID, or_number=True)]
"""What texts go out from: a messaging service; at a terminal, a number, too."""
SenderName = Annotated[str, _Matching(f"{_UUID}|{PROVIDER_ID}", _A_SENDER, or_number=True)]
"""A sender, by its id or the provider's; at a terminal, by its number, too."""
LastDigits = Annotated[str, _Matching("^[0-9]{3,6}$", "3 to 6 digits")]
"""The end of a phone number."""
Number = Annotated[str, AfterValidator(_number)]
"""A phone number, as people write it. Prefect's form lacks the field."""
Words = Annotated[
    str,
    AfterValidator(_without_number),
    _Schema("words without a phone number: name the customer by its id", {"pattern": USUAL}),
]
"""Words that are kept and shown, without a phone number. Prefect knows the usual shapes of one, the check all."""
AT_THE_FOOT: Final = ("limit", "dry_run", "who", "because")
"""Fields that a form ends with."""


class Form(BaseModel):
    """One question or order."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    FUNCTION: ClassVar[str] = ""
    """Its SQL function."""
    ASKS: ClassVar[bool] = False
    """Whether it is a question, which a key that only reads may ask."""
    ASKS_PROVIDER: ClassVar[bool] = False
    """Whether it is a question to the provider, too, which needs its credentials."""
    LOOK: ClassVar[str] = "explain"
    """The command that shows whether it was recorded, if its answer was lost."""

    @classmethod
    def at_terminal(cls, **values: object) -> Self:
        """Fill it in where nothing is kept of what is typed, so that numbers may be."""
        return cls.model_validate(values, context=TERMINAL)

    @property
    def is_question(self) -> bool:
        """Whether it changes nothing."""
        return self.ASKS or bool(getattr(self, "dry_run", False))

    def values(self) -> dict[str, object]:
        """The arguments of its SQL function."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema that Prefect's UI draws well: fields in their order here, and an optional one is simply empty.

        Prefect keeps the schema in a column that forgets the order, and draws `X | None` as a choice of two types.
        """
        reference = handler(core)
        schema = handler.resolve_ref_schema(reference)
        fields: dict[str, Any] = schema.get("properties", {})
        for name, field in cls.model_fields.items():
            if TERMINAL in field.metadata:
                fields.pop(name, None)
        for position, name in enumerate(sorted(fields, key=lambda name: name in AT_THE_FOOT)):
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


def who(*, needed: bool = True) -> Any:
    """The field of who gives an order."""
    words = "Your name. It is kept." if needed else "Your name; needed unless it is only tried. It is kept."
    return Field(... if needed else None, title="Who", description=words, min_length=1, max_length=200)


def because(words: str = "Why. It is kept.", *, needed: bool = True) -> Any:
    """The field of why an order is given."""
    words = words if needed else f"{words.removesuffix('.')}; needed unless it is only tried."
    return Field(... if needed else None, title="Because", description=words, min_length=1, max_length=500)
