"""What a form is made of: its base, the kinds of its fields, and how Prefect's UI draws it.

A form states its fields with their words, and its SQL function. The command, Prefect's form and the call are made from
it. An unknown field is refused, and so is a value out of bounds. Prefect keeps parameters in plain text, so a phone
number may be given at a terminal alone.
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
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

from smsretry.errors import plain_problem
from smsretry.quiet_hours.rules import US_STATES
from smsretry.vocabulary import MESSAGE_ID
from smsretry.written_numbers import USUAL_SHAPES, holds_number, read_phone

TERMINAL: Final = "terminal"
"""The context in which a form is filled in at a terminal."""
POSITIONAL: Final = "positional"
"""Marks the field that a command takes without the name of an option."""
_LAST_FIELDS: Final = ("limit", "dry_run", "who", "because")
"""Fields that a form ends with."""
_PUBLIC_NAMES: Final = {
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
    "sent_by": "sender",
}
"""The names of fields that people call otherwise."""
_PROBLEMS: Final = {
    "missing": "must be given",
    "extra_forbidden": "is no field of this form",
    "string_too_short": "must not be empty",
}
"""What is wrong, by pydantic's kind of problem, where its own words are not a person's."""


LAST_DIGITS: Final = 4
"""How many digits of a number people are shown."""
UUID_PATTERN: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_DATE: Final = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$"
_AN_ID: Final = "an id of 36 characters, such as 5b0c5f0e-6b0a-4a53-9d0c-0f5c1f6f2a11"
_A_NAME: Final = "an id, as the provider shows it, and no number"
_NO_NUMBER: Final = "words without a phone number: name the customer by its id"


def public_name(field: str) -> str:
    """What people call a field: the name of its option and, in other letters, its title."""
    return _PUBLIC_NAMES.get(field, field.replace("_", "-"))


def display_order(names: Collection[str]) -> list[str]:
    """The order in which a form and a command's help show these fields."""
    first_fields = [name for name in names if name not in _LAST_FIELDS]
    return [*first_fields, *(name for name in names if name in _LAST_FIELDS)]


class Shape:
    """The shape of a text, which Prefect checks before it keeps what was filled in.

    Prefect quotes the part of the schema that is not fulfilled. So that part is a constant that says what is wanted,
    and the shape is only its condition: "Failure reason: 'words without a phone number …' was expected".
    """

    def __init__(
        self,
        description: str,
        pattern: str,
        *,
        or_number: bool = False,
        or_name: bool = False,
        **attributes: str,
    ) -> None:
        """Define the shape.

        Args:
            description: what the text must be, within a sentence.
            pattern: the regular expression that the whole text must match.
            or_number: at a terminal a phone number may take its place, and is read as E.164.
            or_name: at a terminal a name may take its place.
            attributes: further keys of the JSON schema.
        """
        self.or_number = or_number
        self.or_name = or_name
        self._requirement = f"must be {description}"
        self._pattern = pattern
        wrong = {"type": "string", "not": {"pattern": pattern}}
        # Of the keys that the UI does not draw, it hands on allOf alone.
        self._schema = {
            "type": "string",
            **attributes,
            "allOf": [{"if": wrong, "then": {"const": description}}],
        }

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_before_validator_function(
            self._check, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        schema = dict(handler(core))
        schema.pop("format", None)
        schema.pop("anyOf", None)
        return schema | self._schema

    def _check(self, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str) or re.fullmatch(self._pattern, value):
            return value
        if info.context == TERMINAL:
            if self.or_name:
                return value
            if self.or_number and not re.search("[A-Za-z]", value):
                return read_phone(value)
        raise ValueError(self._requirement)


def _with_zone(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _refuse_number(words: str) -> str:
    if holds_number(words):
        raise ValueError(f"must be {_NO_NUMBER}")
    return words


Id = Annotated[UUID, Shape(_AN_ID, UUID_PATTERN)]
"""An id. Prefect refuses anything else before it is kept: a number pasted into the wrong field, say."""
AnyId = Annotated[
    UUID | str,
    Shape(
        f"{_AN_ID}, a message's SID, or a number's last four digits",
        rf"{UUID_PATTERN}|{MESSAGE_ID}|^\d{{4}}$",
        or_number=True,
    ),
]
"""What a text is found by; at a terminal a phone number, too."""
BusinessId = Annotated[UUID | str, Shape(_AN_ID, UUID_PATTERN, or_name=True)]
"""The id of a business; at a terminal its name, which the desk looks up."""
IdOrNumber = Annotated[UUID | str, Shape(_AN_ID, UUID_PATTERN, or_number=True)]
"""An id, or at a terminal a phone number."""
Moment = Annotated[
    datetime,
    AfterValidator(_with_zone),
    Shape(
        "a date, or a time such as 2026-11-24T08:15:00-05:00", _DATE, format="date-time"
    ),
]
"""An instant. A date is its start, and without a zone it is in UTC."""
IdOrAll = Annotated[str, Shape(f"{_AN_ID}, or all", f"{UUID_PATTERN}|^all$")]
"""An id, or all that there are."""
ProviderId = Annotated[str, Shape(_A_NAME, MESSAGE_ID)]
"""A provider's id of an account. The adapter knows its exact shape."""
MessageId = Annotated[str, Shape(f"{_A_NAME}, or nothing", f"{MESSAGE_ID}|^nothing$")]
"""A provider's id of a message, or that there is none."""
SenderName = Annotated[
    str, Shape(_A_NAME, f"{UUID_PATTERN}|{MESSAGE_ID}", or_number=True)
]
"""A sender, by its id or the provider's; at a terminal, by its number, too."""
UsState = Annotated[
    str,
    Shape(
        "the two letters of a US state, such as LA",
        f"^({'|'.join(sorted(US_STATES))})$",
    ),
]
"""A US state or territory."""
NumberlessWords = Annotated[
    str,
    Field(min_length=1, max_length=500),
    AfterValidator(_refuse_number),
    Shape(_NO_NUMBER, rf"^(?![\s\S]*(?:{USUAL_SHAPES}))[\s\S]*$"),
]
"""Words without a phone number, which are kept and shown. Prefect checks the usual shapes of a number, the form all."""


class Form(BaseModel):
    """One question or order."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        field_title_generator=lambda name, _: (
            public_name(name).replace("-", " ").capitalize()
        ),
    )

    FUNCTION: ClassVar[str] = ""
    """Its SQL function."""
    COMMAND: ClassVar[str] = ""
    """The command that fills it in: the name of a desk command, and a word if there are several things to do."""
    EXAMPLES: ClassVar[tuple[str, ...]] = ()
    """Arguments of that command, as examples."""
    WOULD: ClassVar[str] = ""
    """What it would do, such as requeue."""
    DID: ClassVar[str] = ""
    """What it did, such as requeued, with a field's value by the field's name."""
    ONE_OF: ClassVar[tuple[str, ...]] = ()
    """Fields of which one must be filled in, if there are any."""
    WANTED: ClassVar[str] = ""
    """What these fields say."""

    @classmethod
    def at_terminal(cls, **values: object) -> Self:
        """Fill the form in at a terminal. It keeps nothing of what is typed, so that a number is accepted."""
        return cls.model_validate(values, context=TERMINAL)

    @property
    def changes_nothing(self) -> bool:
        """Whether it is a question, or an order that is only tried."""
        return isinstance(self, Question) or bool(getattr(self, "dry_run", False))

    @property
    def deed(self) -> str:
        """What it did, or would do, within a sentence."""
        if self.changes_nothing:
            return f"would {self.WOULD}"
        return self.DID.format(**dict(self))

    def values(self) -> dict[str, object]:
        """The arguments of its SQL function."""
        return self.model_dump(mode="json", by_alias=True)

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        fields = [getattr(self, name) for name in self.ONE_OF]
        if fields and all(value is None or value is False for value in fields):
            *first_names, last_name = (f"{{{name}}}" for name in self.ONE_OF)
            names = f"{', '.join(first_names)} or {last_name}"
            raise ValueError(f"say {self.WANTED} {names}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The schema, so that Prefect's UI draws it well.

        Prefect keeps the schema in a column that forgets the order of fields, so each says its position. And it draws
        `X | None` as a choice of two types, so such a field is an X that may be empty.
        """
        reference = handler(core)
        schema = handler.resolve_ref_schema(reference)
        fields: dict[str, Any] = schema.get("properties", {})
        for position, name in enumerate(display_order(fields)):
            field = fields[name]
            field["position"] = position
            for kind in field.pop("anyOf", []):
                if kind != {"type": "null"}:
                    field |= {**kind, **field}
            if "default" in field and field["default"] is None:
                del field["default"]
        return reference


class Question(Form):
    """A form that changes nothing. A key that only reads may ask it."""


class Signed(Form):
    """An order that is carried out at once. It is kept on record who gave it, and why."""

    who: NumberlessWords = Field(description="Your name. It is kept.")
    because: NumberlessWords = Field(description="Why. It is kept.")


def describe_problems(
    error: ValidationError, name: Callable[[str], str], *, colon: str = ": "
) -> list[str]:
    """Say what does not fit. No value is quoted: it may be a customer's number.

    A problem that concerns several fields has their names in braces.

    Args:
        name: what a field is called where it was filled in.
        colon: what stands between a field and what is wrong with it.
    """
    problems = list[str]()
    for detail in error.errors(include_input=False, include_url=False):
        problem = _PROBLEMS.get(detail["type"]) or plain_problem(detail["msg"])
        if detail["loc"]:
            problem = f"{name(str(detail['loc'][0]))}{colon}{problem}"
        problems.append(re.sub(r"\{(\w+)\}", lambda field: name(field[1]), problem))
    return problems
