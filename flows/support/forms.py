"""How a run begins: its parameters are checked, and what does not fit is refused in words, on a red run.

Prefect checks parameters against the form's schema before it makes a run, but it accepts names that the form lacks and
malformed times, and a caller may switch the check off. Then its engine crashes the run with a traceback, and what was
filled in stays with the run: a number that somebody typed is taken out of it here.
"""

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, Final, TypeVar

from prefect import runtime
from prefect.client.schemas.objects import State
from pydantic import ConfigDict, TypeAdapter, ValidationError

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


def form(fn: _Flow) -> _Flow:
    """Check the parameters of a flow by its annotations, and say on a red run what does not fit or cannot be done.

    For a flow with `validate_parameters=False`.
    """
    known = signature(fn).parameters
    checks = {
        name: TypeAdapter(one.annotation, config=None if name == FORM else _HIDE_INPUT) for name, one in known.items()
    }

    @wraps(fn)
    def checked(*args: Any, **given: Any) -> State[Any]:
        shorten_logs(this_run().id)
        given |= dict(zip(known, args, strict=False))
        problems, values = _unknown(given.keys() - known.keys(), known), dict[str, Any]()
        for name, value in given.items() if not problems else ():
            try:
                values[name] = checks[name].validate_python(value)
            except ValidationError as error:
                problems += _problems(name, known[name].annotation, error)
        if problems:
            return refused(". ".join([*problems, *hide_numbers()]))
        try:
            return fn(**values)
        except SmsRetryError as error:
            return failed(error)

    if runtime.flow_run.id is not None:
        checked.__signature__ = _of_this_run(signature(fn))  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


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
