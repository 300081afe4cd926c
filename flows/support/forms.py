"""How a run begins: its parameters are checked, and what does not fit is refused in words, on a red run.

Prefect checks parameters against the form's schema before it makes a run, but it accepts names that the form lacks and
malformed times, and a caller may switch the check off. Then its engine crashes the run with a traceback, and what was
filled in stays with the run: a number that somebody typed is taken out of it here.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import reduce, wraps
from inspect import Parameter, Signature, signature
from operator import or_
from typing import Any, Final, TypeVar

from prefect import runtime
from prefect.client.schemas.objects import State
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from smsretry.desk.actions.form import Form
from smsretry.desk.actions.refusals import in_words
from smsretry.errors import SmsRetryError

from .hidden_numbers import hide_numbers, without_numbers
from .log_lines import shorten_logs
from .run_display import failed, refused, this_run

_Flow = TypeVar("_Flow", bound=Callable[..., State[Any]])
FORM: Final = "ask"
"""The name of a parameter that is a whole form. Any other parameter is one field."""
_HIDE_INPUT: Final = ConfigDict(hide_input_in_errors=True)
"""For a single field. A form has a config of its own."""
_ONE: Final = ConfigDict(extra="forbid", hide_input_in_errors=True)


def one_of(forms: Mapping[str, type[Form]]) -> Any:
    """A parameter of several forms: Prefect's UI lets a person choose one by its word, and draws it."""
    ways = [
        create_model(word.capitalize().replace("-", " "), __config__=_ONE, **{word: (form, ...)})  # type: ignore[call-overload]
        for word, form in forms.items()
    ]
    return reduce(or_, ways)


def form(fn: _Flow, forms: Mapping[str, type[Form]] | None = None) -> _Flow:
    """Check the parameters of a flow by its annotations, and say on a red run what does not fit or cannot be done.

    For a flow with `validate_parameters=False`.

    Args:
        forms: those that its form may be one of, by their words.
    """
    known = signature(fn).parameters

    @wraps(fn)
    def checked(*args: Any, **given: Any) -> State[Any]:
        shorten_logs(this_run().id)
        given |= dict(zip(known, args, strict=False))
        problems, values = _unknown(given.keys() - known.keys(), known), dict[str, Any]()
        for name, value in given.items() if not problems else ():
            kind: Any = known[name].annotation
            if name == FORM and forms:
                kind, value = _chosen(forms, value)
            if kind is None:
                problems.append(f"Say one thing to do: {', '.join(forms or ())}")
                continue
            try:
                values[name] = TypeAdapter(kind, config=None if name == FORM else _HIDE_INPUT).validate_python(value)
            except ValidationError as error:
                problems += _problems(name, kind, error)
        if problems:
            return refused(". ".join([*problems, *hide_numbers()]))
        try:
            return fn(**values)
        except SmsRetryError as error:
            return failed(error)

    if runtime.flow_run.id is not None:
        checked.__signature__ = _of_this_run(signature(fn))  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


def _chosen(forms: Mapping[str, type[Form]], value: object) -> tuple[type[Form] | None, object]:
    """The form that was chosen, and what it is filled in with; no form if that is not clear."""
    given = value.model_dump(mode="json", exclude_unset=True) if isinstance(value, BaseModel) else value
    if isinstance(given, Mapping) and len(given) == 1:
        [(word, filled)] = given.items()
        return forms.get(word), filled
    return None, value


def _of_this_run(form: Signature) -> Signature:
    """The signature with the names that this run was given, and nothing that must be given.

    Otherwise the engine would crash the run with a traceback that repeats the names. Anywhere but in a run's own
    process, the form's own signature counts.
    """
    given = runtime.flow_run.parameters or {}
    own = [
        one.replace(default=None) if one.default is Parameter.empty and name not in given else one
        for name, one in form.parameters.items()
    ]
    return form.replace(parameters=[*own, *(_AnyName(name) for name in given if name not in form.parameters)])


class _AnyName(Parameter):
    """A parameter of any name, `customer-id` included."""

    def __init__(self, name: str) -> None:
        super().__init__("any_name", Parameter.KEYWORD_ONLY, default=None)
        self._any_name = name

    @property
    def name(self) -> str:
        return self._any_name


def _unknown(names: Iterable[str], known: Iterable[str]) -> list[str]:
    shown = sorted(without_numbers(name) for name in names)
    return [f"There is no parameter {', '.join(shown)}. There are: {', '.join(known)}"] if shown else []


def _problems(parameter: str, form: Any, error: ValidationError) -> list[str]:
    """What does not fit, by the words on the form."""
    if parameter != FORM:
        return [f"{parameter}: {words}" for words in in_words(error, {})]
    return in_words(error, {name: field.title or name for name, field in form.model_fields.items()})
