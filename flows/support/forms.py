"""What a run may be asked, and how it refuses what it may not: in words, on a red run.

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

from flows.support.run_display import refused
from smsretry.errors import SmsRetryError

_Flow = TypeVar("_Flow", bound=Callable[..., State[Any]])
FORM: Final = "ask"
"""The parameter that is a form; any other is a field."""
_QUIET: Final = ConfigDict(hide_input_in_errors=True)


def form(fn: _Flow) -> _Flow:
    """Check the parameters of a flow by its annotations, and say on a red run what does not fit or cannot be done.

    For a flow with `validate_parameters=False`.
    """
    known = signature(fn).parameters
    checks = {name: TypeAdapter(one.annotation, config=_config(one.annotation)) for name, one in known.items()}

    @wraps(fn)
    def asked(*args: Any, **given: Any) -> State[Any]:
        given |= dict(zip(known, args, strict=False))
        if strangers := sorted(given.keys() - known.keys()):
            return refused(f"There is no parameter {', '.join(strangers)}. There are: {', '.join(known)}")
        problems, values = list[str](), dict[str, Any]()
        for name, value in given.items():
            try:
                values[name] = checks[name].validate_python(value)
            except ValidationError as error:
                problems += _told(name, error)
        if problems:
            return refused(". ".join(problems))
        try:
            return fn(**values)
        except SmsRetryError as error:
            return refused(str(error), word="failed")

    # The engine crashes the run if a parameter's name is not in the signature. In a run's own process the signature
    # has the names that this run was given; anywhere else, the form's alone.
    strange = [_Stranger(name) for name in runtime.flow_run.parameters or {} if name not in known]
    asked.__signature__ = signature(fn).replace(parameters=[*known.values(), *strange])  # type: ignore[attr-defined]
    return asked  # type: ignore[return-value]


class _Stranger(Parameter):
    """A parameter of any name, `customer-id` included."""

    def __init__(self, name: str) -> None:
        super().__init__("stranger", Parameter.KEYWORD_ONLY, default=None)
        self._strange = name

    @property
    def name(self) -> str:
        return self._strange


def _config(annotation: Any) -> ConfigDict | None:
    """A model brings a config of its own."""
    return None if hasattr(annotation, "model_config") else _QUIET


def _told(parameter: str, error: ValidationError) -> list[str]:
    """What does not fit, place by place. No value is quoted: it may be a customer's number."""
    problems = error.errors(include_input=False, include_url=False, include_context=False)
    return [_place(parameter, problem["loc"]) + problem["msg"].removeprefix("Value error, ") for problem in problems]


def _place(parameter: str, place: tuple[int | str, ...]) -> str:
    """Where in the form it is. The form as a whole needs no name."""
    path = ".".join(map(str, place if parameter == FORM else (parameter, *place)))
    return f"{path}: " if path else ""
