"""A command made from a form: its options, its call and what it prints. A field more of a form is an option more."""

import getpass
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import partial
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from smsretry.cli.parsing import Json, flag, read_line
from smsretry.cli.printing import print_json, print_text
from smsretry.desk.actions.form import (
    AT_THE_FOOT,
    POSITIONAL,
    Form,
    Shape,
    called,
    in_words,
)
from smsretry.desk.questions.answers import Answer

_METAVARS: Final[dict[Any, str]] = {
    **dict.fromkeys(["since", "until", "backup_of"], "WHEN"),
    **dict.fromkeys(["went_out_as", "account"], "SID"),
    int: "N",
    float: "N",
    str: "WORDS",
}
"""What stands for a value in `--help`, by the field's name or its type."""
_MOST_CHOICES: Final = 4
"""A choice of so many is shown in full."""
Carry = Callable[..., Answer]
"""Carries a form out."""


def make(
    form: type[Form],
    carry_out: Carry,
    extra_parameters: Sequence[inspect.Parameter] = (),
) -> Callable[..., None]:
    """A command that fills in a form, carries it out and prints the answer.

    Args:
        extra_parameters: further parameters of the command, which `carry_out` has by their names.
    """

    def command(*, as_json: bool, **arguments: Any) -> None:
        further = {
            parameter.name: arguments.pop(parameter.name)
            for parameter in extra_parameters
        }
        _show(carry_out(fill_form(form, arguments), **further), as_json=as_json)

    parameters = [
        *extra_parameters,
        *_parameters(form),
        inspect.Parameter("as_json", _KIND, default=False, annotation=Json),
    ]
    command.__signature__ = inspect.Signature(sorted(parameters, key=_is_option))  # type: ignore[attr-defined]
    command.__annotations__ = {
        parameter.name: parameter.annotation for parameter in parameters
    }
    command.__doc__ = form.__doc__
    return command


_KIND: Final = inspect.Parameter.KEYWORD_ONLY


def fill_form(form: type[Form], arguments: Mapping[str, Any]) -> Form:
    """Fill in a form with what was given on the command line, `-` being a number from standard input.

    Raises:
        typer.BadParameter: what does not fit, in words of the options.
    """
    values = {
        name: value
        for name, value in arguments.items()
        if value is not None and value not in ([], ())
    }
    fields = form.model_fields
    for name in [
        name
        for name, value in values.items()
        if value == "-" and POSITIONAL in fields[name].metadata
    ]:
        values[name] = read_line("-")
    if "dry_run" in fields:
        values["dry_run"] = not values.pop("yes", False)
    if "who" in fields and not values.get("dry_run"):
        values.setdefault("who", _login_name())
    try:
        return form.at_terminal(**values)
    except ValidationError as error:
        raise typer.BadParameter(
            ". ".join(in_words(error, partial(_called, form), colon=" "))
        ) from None


def _show(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer.to_dict())
    else:
        headline, *lines = answer.lines()
        print_text(headline, bold=True)
        for line in lines:
            print_text(line)
    if answer.fails:
        raise typer.Exit(1)


def _is_option(parameter: inspect.Parameter) -> bool:
    return not isinstance(
        parameter.annotation.__metadata__[0], typer.models.ArgumentInfo
    )


def _parameters(form: type[Form]) -> Iterator[inspect.Parameter]:
    fields = form.model_fields
    for name, field in sorted(fields.items(), key=lambda item: item[0] in AT_THE_FOOT):
        positional = POSITIONAL in field.metadata
        if name == "dry_run":
            yes = flag("--yes", "Do it. Without this nothing is changed.")
            yield inspect.Parameter(
                "yes", _KIND, default=False, annotation=Annotated[bool, yes]
            )
            continue
        kind = _type_of(field)
        words = _words(name, field)
        metavar = _metavar(kind, name)
        if positional:
            label = _called(form, name)
            info: Any = typer.Argument(metavar=label, help=words)
        else:
            info = typer.Option(
                f"--{called(name)}", metavar=metavar, help=words, show_default=False
            )
        default: Any = False if kind is bool else None
        if positional and field.is_required():
            default = inspect.Parameter.empty
        annotation: Any = (
            kind if kind is bool or default is inspect.Parameter.empty else kind | None
        )
        yield inspect.Parameter(
            name, _KIND, default=default, annotation=Annotated[annotation, info]
        )


def _called(form: type[Form], name: str) -> str:
    """What a field is called on the command line."""
    return (
        called(name).upper()
        if POSITIONAL in form.model_fields[name].metadata
        else f"--{called(name)}"
    )


def _words(name: str, field: FieldInfo) -> str:
    """A field's description, with what the command does without it."""
    words = (field.description or "").replace("[", r"\[")
    if name == "who":
        return "Who orders it; your login name by default. It is kept."
    if any(isinstance(shape, Shape) and shape.or_number for shape in field.metadata):
        words += " - reads a number from standard input."
    if isinstance(field.default, int | float) and not isinstance(field.default, bool):
        words += f" {field.default} by default."
    return words


def _type_of(field: FieldInfo) -> Any:
    """The type that the command line reads; the form checks what it is given."""
    kind: Any = field.annotation
    for wrapping in (
        (Union, UnionType),
        (Annotated,),
    ):  # X | None, and then what is said of X
        kind = get_args(kind)[0] if get_origin(kind) in wrapping else kind
    if get_origin(kind) is list:
        item = get_args(kind)[0]
        if get_origin(item) is not Literal:
            return list[str]
        enum: Any = StrEnum
        words: Any = enum("Words", get_args(item))
        return list[words]  # which a shell completes
    return kind if kind in (bool, int, float) or get_origin(kind) is Literal else str


def _metavar(kind: Any, name: str) -> str | None:
    if kind is bool:
        return ""
    if name.endswith(("_id", "_ids")):
        return "ID"
    if get_origin(kind) is Literal:
        values = [str(value) for value in get_args(kind)]
        return "|".join(values) if len(values) <= _MOST_CHOICES else "CODE"
    return (
        "STATE" if get_origin(kind) is list else _METAVARS.get(name) or _METAVARS[kind]
    )


def _login_name() -> str:
    """Who gives an order, unless it says so."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        raise typer.BadParameter("this account has no login name: say --who") from None
