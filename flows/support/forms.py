"""How a run begins: its parameters are checked, and what does not fit is refused in words, on a red run.

Prefect checks parameters against the form's schema before it makes a run, but it accepts names that the form lacks and
malformed times, and a caller may switch the check off. Then its engine crashes the run with a traceback.
"""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import Any, Final, TypeVar

from prefect import runtime
from prefect.client.schemas.objects import State
from pydantic import ConfigDict, TypeAdapter, ValidationError

from flows.support.log_lines import shorten_logs
from flows.support.run_display import failed, refused, this_run
from smsretry.errors import SmsRetryError

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
        if unknown := sorted(given.keys() - known.keys()):
            return refused(f"There is no parameter {', '.join(unknown)}. There are: {', '.join(known)}")
        problems, values = list[str](), dict[str, Any]()
        for name, value in given.items():
            try:
                values[name] = checks[name].validate_python(value)
            except ValidationError as error:
                problems += _problems(name, error)
        if problems:
            return refused(". ".join(problems))
        try:
            return fn(**values)
        except SmsRetryError as error:
            return failed(error)

    # The engine crashes the run if a parameter's name is not in the signature. In a run's own process the signature
    # has the names that this run was given; anywhere else, the form's alone.
    unknown_names = [_AnyName(name) for name in runtime.flow_run.parameters or {} if name not in known]
    checked.__signature__ = signature(fn).replace(parameters=[*known.values(), *unknown_names])  # type: ignore[attr-defined]
    return checked  # type: ignore[return-value]


class _AnyName(Parameter):
    """A parameter of any name, `customer-id` included."""

    def __init__(self, name: str) -> None:
        super().__init__("any_name", Parameter.KEYWORD_ONLY, default=None)
        self._any_name = name

    @property
    def name(self) -> str:
        return self._any_name


def _problems(parameter: str, error: ValidationError) -> list[str]:
    """What does not fit, place by place. No value is quoted: it may be a customer's number."""
    errors = error.errors(include_input=False, include_url=False, include_context=False)
    return [_place(parameter, problem["loc"]) + problem["msg"].removeprefix("Value error, ") for problem in errors]


def _place(parameter: str, place: tuple[int | str, ...]) -> str:
    """Where in the form it is. The form as a whole needs no name."""
    path = ".".join(map(str, place if parameter == FORM else (parameter, *place)))
    return f"{path}: " if path else ""
