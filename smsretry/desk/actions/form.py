"""What a form is made of: its base, the kinds of its fields, and how Prefect's UI draws it.

A form states its fields with their words, and its SQL function. The command, Prefect's form and the call are made from
it. An unknown field is refused, and so is a value out of bounds. Prefect keeps parameters in plain text, so a phone
number may be given at a terminal alone.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from smsretry.vocabulary import MESSAGE_ID
from smsretry.written_numbers import USUAL, holds_number, read_phone

TERMINAL: Final = "terminal"
"""The context in which a form is filled in at a terminal. Marks a field that Prefect's form lacks."""
POSITIONAL: Final = "positional"
"""Marks the field that a command takes without the name of an option."""
AT_THE_FOOT: Final = ("limit", "dry_run", "who", "because")
"""Fields that a form ends with."""
_CALLED: Final = {
    "customer_id": "customer",
    "retry_id": "row",
    "retry_ids": "row",
    "business_id": "business",
    "states": "state",
    "why_code": "why",
    "message_class": "class",
    "segments_per_second": "rate",
    "segments_per_day": "cap",
    "consent": "said",
}
"""Fields that people call otherwise."""


def called(field: str) -> str:
    """What people call a field: the name of its option and, in other letters, its title."""
    return _CALLED.get(field, field.replace("_", "-"))


class _Kind:
    """A kind of text: what Prefect takes, and how other text is read here.

    Prefect quotes the part of the schema that is not fulfilled. So that part is a constant that says what is wanted,
    and the shape is only its condition: "Failure reason: 'words without a phone number …' was expected".
    """

    def __init__(
        self, wanted: str, shape: dict[str, Any], read: Callable[[str, bool], object] | None = None, **more: str
    ) -> None:
        """`read` is given what has not this shape, and whether it was typed at a terminal. None: it does not fit."""
        self._wanted, self._pattern, self._read = wanted, shape.get("pattern"), read
        self._schema = {"type": "string", **more, "if": {"type": "string", "not": shape}, "then": {"const": wanted}}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if source is str:  # what the field says of its length comes first
            return core_schema.with_info_after_validator_function(self._check, handler(source))
        return core_schema.with_info_before_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(core).items() if name != "format"} | self._schema

    def _check(self, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str) or (self._pattern and re.fullmatch(self._pattern, value)):
            return value
        read = self._read(value, info.context == TERMINAL) if self._read else None
        if read is None:
            raise ValueError(f"must be {self._wanted}")
        return read


def _no_id(text: str, at_terminal: bool) -> None:
    if re.fullmatch("[A-Z]{2}[0-9a-f]{32}", text):
        raise ValueError(
            f"must be the database's id, and {text} is the provider's: take the number from the provider's log, and "
            "give it to `smsretry explain -`"
        )
    if at_terminal and holds_number(text):
        raise ValueError(
            "must be an id: a number that is typed here stays in the shell's history. Give -, and the number on "
            "standard input"
        )


def _moment(text: str, _at_terminal: bool) -> datetime | None:
    """A date is the start of its day, and a time without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _words(text: str, _at_terminal: bool) -> str:
    if holds_number(text):
        raise ValueError("must hold no phone number: it is kept and shown. Name the customer by its id")
    return text


def _number(text: str, at_terminal: bool) -> str | None:
    """A number in E.164. A refusal does not quote it."""
    return read_phone(text) if at_terminal else None


def _number_of_sender(text: str, at_terminal: bool) -> str | None:
    return None if re.search("[A-Za-z]", text) else _number(text, at_terminal)


_UUID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_NAME: Final = {"pattern": f"{_UUID}|{MESSAGE_ID}"}
_ZONED: Final = r"^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$"
A_MOMENT: Final = "a time with its zone, such as 2026-11-24T08:15:00-05:00"
_AN_ID: Final = "an id of 36 characters, such as 5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"
_A_NAME: Final = "an id, as the provider shows it, and no number"
_A_NUMBER: Final = "a phone number, and is taken at a terminal alone: name the customer by its id"
_NO_NUMBER: Final = "words without a phone number: name the customer by its id"

Id = Annotated[UUID, _Kind(_AN_ID, {"pattern": _UUID}, _no_id)]
"""An id. Prefect refuses anything else before it is kept: a number pasted into the wrong field, say."""
Moment = Annotated[AwareDatetime, _Kind(A_MOMENT, {"pattern": _ZONED}, _moment, format="date-time")]
"""An instant. Prefect asks for its zone."""
ProviderId = Annotated[str, _Kind(_A_NAME, _NAME)]
"""A provider's id of a message or an account. The adapter knows its exact shape."""
SenderName = Annotated[str, _Kind(_A_NAME, _NAME, _number_of_sender)]
"""A sender, by its id or the provider's; at a terminal, by its number, too."""
LastDigits = Annotated[str, _Kind("3 to 6 digits", {"pattern": "^[0-9]{3,6}$"})]
"""The end of a phone number."""
Number = Annotated[str, _Kind(_A_NUMBER, {}, _number)]
"""A phone number, as people write it. Prefect's form lacks the field."""
_NUMBERLESS: Final = _Kind(_NO_NUMBER, {"not": {"pattern": USUAL}}, _words)
Words = Annotated[str, Field(min_length=1, max_length=200), _NUMBERLESS]
"""Words that are kept and shown, without a phone number. Prefect knows the usual shapes of one, the check all."""
Because = Annotated[str, Field(min_length=1, max_length=500), _NUMBERLESS]
"""The same, and more of them."""


class Form(BaseModel):
    """One question or order."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _: called(name).replace("-", " ").capitalize(),
    )

    FUNCTION: ClassVar[str] = ""
    """Its SQL function."""
    COMMAND: ClassVar[str] = ""
    """The command that fills it in: the name of a door, and a word if there are several things to do."""
    EXAMPLES: ClassVar[tuple[str, ...]] = ()
    """Of that command."""
    ASKS: ClassVar[bool] = False
    """Whether it is a question, which a key that only reads may ask."""
    ASKS_PROVIDER: ClassVar[bool] = False
    """Whether it is a question to the provider, too, which needs its credentials."""
    LOOK: ClassVar[str] = "explain"
    """The command that shows whether it was recorded, if its answer was lost."""
    ONE_WAY: ClassVar[tuple[str, tuple[str, ...]]] = ("", ())
    """What must be said by just one of some fields, and these fields."""

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
        return self.model_dump(mode="json", by_alias=True)

    @model_validator(mode="after")
    def _in_one_way(self, info: ValidationInfo) -> Self:
        what, names = self.ONE_WAY
        if what and sum(getattr(self, name) not in (None, False) for name in names) != 1:
            marks = {name: self.__class__.model_fields[name].metadata for name in names}
            here = POSITIONAL if info.context == TERMINAL else None
            ways = [name for name in names if TERMINAL not in marks[name] or here in marks[name]]
            raise ValueError(f"say {what} in one way: {', '.join(ways)}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema that Prefect's UI draws well: fields in their order here, and an optional one is simply empty.

        Prefect keeps the schema in a column that forgets the order, and draws `X | None` as a choice of two types.
        """
        reference = handler(core)
        fields: dict[str, Any] = handler.resolve_ref_schema(reference).get("properties", {})
        for name in [name for name, field in cls.model_fields.items() if TERMINAL in field.metadata]:
            fields.pop(name, None)
        for position, name in enumerate(sorted(fields, key=lambda name: name in AT_THE_FOOT)):
            field = fields[name]
            field["position"] = position
            for kind in field.pop("anyOf", []):
                field |= {} if kind == {"type": "null"} else {**kind, **field}
            if field.get("default", ...) is None:
                del field["default"]
            if "if" in field:  # the UI hands on what is in allOf, and nothing else that it does not draw
                field["allOf"] = [{name: field.pop(name) for name in ("if", "then")}]
        return reference


class Signed(Form):
    """An order that is carried out at once. It is kept on record who gave it, and why."""

    who: Words = Field(description="Your name. It is kept.")
    because: Because = Field(description="Why. It is kept.")


def in_words(error: ValidationError, names: Mapping[str, str], *, colon: str = ": ") -> list[str]:
    """Each thing that does not fit. No value is quoted: it may be a customer's number.

    Args:
        names: what each field is called where it was filled in. Empty: it is one value, and no form.
        colon: what stands between a field and what is wrong with it.
    """
    told = list[str]()
    for problem in error.errors(include_input=False, include_url=False):
        words = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
        words = {"missing": "must be given", "extra_forbidden": "is no field of this form"}.get(problem["type"], words)
        field, *place = map(str, problem["loc"] or [""])
        if names and field:
            name = names.get(field, field if field.isidentifier() else "what is no name")
            nth = f" (number {int(place[0]) + 1})" if place and place[0].isdigit() else ""
            words = f"{name}{nth}{colon}{words}" if name else words
        elif names:
            fields = re.compile(rf"\b({'|'.join(sorted(names, key=len, reverse=True))})\b")
            words = fields.sub(lambda found: names[found[1]], words)
        told.append(words)
    return told
