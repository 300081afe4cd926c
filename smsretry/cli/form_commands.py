"""A command for each form: its options, its call and what it prints. A field of a form is an option of its command."""

import getpass
import inspect
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from types import UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Union,
    get_args,
    get_origin,
)

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from smsretry.cli.parsing import Csv, Json, flag, read_line
from smsretry.cli.printing import print_csv, print_json, print_text
from smsretry.desk.actions.form import (
    POSITIONAL,
    Form,
    Shape,
    describe_problems,
    display_order,
    public_name,
)
from smsretry.desk.actions.requests import Report
from smsretry.desk.questions.answers import Answer
from smsretry.desk.questions.report import Reported, cells

_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY
_METAVARS: Final[dict[Any, str]] = {bool: "", int: "N", float: "N", str: "TEXT"}
_MOST_CHOICES: Final = 4
"""A choice of so many words is shown in full."""


def make_command(
    form: type[Form],
    carry_out: Callable[..., Answer],
    extra_parameters: Sequence[inspect.Parameter] = (),
) -> Callable[..., None]:
    """Make a command that fills in a form, carries it out and prints the answer.

    Args:
        extra_parameters: further parameters of the command, which `carry_out` gets by their names.
    """

    def command(*, as_json: bool, as_csv: bool = False, **arguments: Any) -> None:
        extra = {each.name: arguments.pop(each.name) for each in extra_parameters}
        answer = carry_out(fill_form(form, arguments), **extra)
        if as_csv and isinstance(answer, Reported):
            print_csv(map(cells, answer.rows))
        elif as_json:
            print_json(answer.to_dict())
        else:
            for place, line in enumerate(answer.lines()):
                print_text(line, bold=place == 0)
        if answer.exit_code:
            raise typer.Exit(answer.exit_code)

    parameters = [
        *extra_parameters,
        *(_parameter(form, name) for name in display_order(form.model_fields)),
        inspect.Parameter("as_json", _KEYWORD, default=False, annotation=Json),
    ]
    if form is Report:
        parameters.append(
            inspect.Parameter("as_csv", _KEYWORD, default=False, annotation=Csv)
        )
    # typer shows parameters in this order, and a usage line has its arguments first.
    parameters.sort(key=_is_option)
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {
        parameter.name: parameter.annotation for parameter in parameters
    }
    command.__doc__ = form.__doc__
    return command


def fill_form(form: type[Form], arguments: Mapping[str, Any]) -> Form:
    """Fill in a form with the arguments of its command. A positional `-` stands for a number from standard input.

    Raises:
        typer.BadParameter: what does not fit, in words of the options.
    """
    fields = form.model_fields
    values = dict[str, Any]()
    for name, value in arguments.items():
        if value == "-" and POSITIONAL in fields[name].metadata:
            values[name] = read_line("-")
        elif value not in (None, [], ()):
            values[name] = value
    if "dry_run" in fields:
        values["dry_run"] = not values.pop("yes", False)
    if "who" in fields and not values.get("dry_run"):
        values.setdefault("who", _login_name())
    try:
        return form.at_terminal(**values)
    except ValidationError as error:
        problems = describe_problems(error, partial(_spelling, form), colon=" ")
        raise typer.BadParameter(". ".join(problems)) from None


def _is_option(parameter: inspect.Parameter) -> bool:
    [info] = parameter.annotation.__metadata__
    return not isinstance(info, typer.models.ArgumentInfo)


def _parameter(form: type[Form], name: str) -> inspect.Parameter:
    """A field as a parameter of the command."""
    field = form.model_fields[name]
    if name == "dry_run":
        yes = flag("--yes", "Do it. Without this nothing is changed.")
        annotation: Any = Annotated[bool, yes]
        return inspect.Parameter("yes", _KEYWORD, default=False, annotation=annotation)
    kind = _type_of(field)
    spelling, words = _spelling(form, name), _help(name, field)
    info: Any = typer.Option(
        spelling, metavar=_metavar(kind, name), help=words, show_default=False
    )
    if POSITIONAL in field.metadata:
        info = typer.Argument(metavar=spelling, help=words)
    default: Any = None
    if kind is bool:
        default = False
    elif POSITIONAL in field.metadata and field.is_required():
        default = inspect.Parameter.empty
    else:
        kind |= None
    annotation = Annotated[kind, info]
    return inspect.Parameter(name, _KEYWORD, default=default, annotation=annotation)


def _spelling(form: type[Form], name: str) -> str:
    """A field as the command line writes it: SENDER, or --rate."""
    if POSITIONAL in form.model_fields[name].metadata:
        return public_name(name).upper()
    return f"--{public_name(name)}"


def _help(name: str, field: FieldInfo) -> str:
    """A field's description, and what the command does without it."""
    if name == "who":
        return "Who orders it; your login name by default. It is kept."
    words = (field.description or "").replace("[", r"\[")
    if any(isinstance(shape, Shape) and shape.or_number for shape in field.metadata):
        words += " - reads a number from standard input."
    if isinstance(field.default, int | float) and not isinstance(field.default, bool):
        words += f" {field.default} by default."
    return words


def _type_of(field: FieldInfo) -> Any:
    """The type that the command line reads; the form checks the value."""
    kind: Any = field.annotation
    while get_origin(kind) in (Union, UnionType, Annotated):
        kind = get_args(kind)[0]
    if get_origin(kind) is list:
        item = get_args(kind)[0]
        words = get_args(item) if get_origin(item) is Literal else ()
        # A shell completes the members of an enum.
        enum: Any = StrEnum
        return list[enum("Words", words)] if words else list[str]  # type: ignore[misc]
    is_read_as_is = kind in (bool, int, float) or get_origin(kind) is Literal
    return kind if is_read_as_is else str


def _metavar(kind: Any, name: str) -> str:
    """What stands for a value in `--help`."""
    words = get_args(kind)
    if name.endswith(("_id", "_ids")):
        return "ID"
    if get_origin(kind) is Literal and len(words) <= _MOST_CHOICES:
        return "|".join(words)
    return "WORD" if words else _METAVARS[kind]


def _login_name() -> str:
    """The name of the account, for an order that does not say who gives it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # The user of a container may have no name.
        raise typer.BadParameter("this account has no login name: say --who") from None
