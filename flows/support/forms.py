"""How a run begins: its parameters are checked. What does not fit is refused in words, on a red run.

Prefect checks parameters against the form's schema before it makes a run, but it knows no rule about several fields,
and a caller may switch the check off. Then its engine crashes the run with a traceback, and keeps what was filled in.
Here what does not fit is taken out of the run: it may be a number, which Prefect keeps in plain text.
"""

from collections.abc import Callable, Mapping
from functools import reduce, wraps
from inspect import Parameter, signature
from operator import or_
from typing import Any, Final, TypeVar

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from smsretry.desk.actions.form import Form, describe_problems
from smsretry.errors import SmsRetryError

from .show import end_red, silence_repetitions, this_run

_Flow = TypeVar("_Flow", bound=Callable[..., State[Any]])
FORM: Final = "ask"
"""The name of a parameter that is a whole form. Any other parameter is one field."""
_STRICT: Final = ConfigDict(extra="forbid", hide_input_in_errors=True)


def form_union(forms: Mapping[str, type[Form]]) -> Any:
    """The type of a parameter that is one of several forms. In Prefect's UI a person chooses one by its word."""
    choices = [
        create_model(
            word.capitalize().replace("-", " "),
            __config__=_STRICT,
            **{word: (form, ...)},
        )  # type: ignore[call-overload]
        for word, form in forms.items()
    ]
    return reduce(or_, choices)


def check_parameters(fn: _Flow, forms: Mapping[str, type[Form]] | None = None) -> _Flow:
    """Check the parameters of a flow by its annotations, and say on a red run what does not fit or cannot be done.

    For a flow with `validate_parameters=False`.

    Args:
        forms: those that its form may be one of, by their words.
    """
    flow_signature = signature(fn)

    @wraps(fn)
    def checked(*args: Any, **keywords: Any) -> State[Any]:
        silence_repetitions()
        values = flow_signature.bind(*args, **keywords).arguments
        misfits = list[_Misfit]()
        for name, value in values.items():
            try:
                values[name] = _read(flow_signature.parameters[name], value, forms)
            except _Misfit as misfit:
                misfits.append(misfit)
        if any(misfit.is_private for misfit in misfits):
            get_client(sync_client=True).update_flow_run(this_run().id, parameters={})
        if misfits:
            return end_red(". ".join(map(str, misfits)), state_name="Refused")
        try:
            return fn(**values)
        except SmsRetryError as error:
            return end_red(str(error), state_name="Failed")

    return checked  # type: ignore[return-value]


class _Misfit(Exception):
    """A parameter does not fit.

    Args:
        is_private: whether the parameter must be taken out of the run, because it may hold a number.
    """

    def __init__(self, problem: str, *, is_private: bool = True) -> None:
        super().__init__(problem)
        self.is_private = is_private


def _read(
    parameter: Parameter, value: object, forms: Mapping[str, type[Form]] | None
) -> Any:
    """The value of a parameter as the flow gets it."""
    kind = parameter.annotation
    is_form = parameter.name == FORM
    if is_form and forms:
        kind, value = _choose(forms, value)
    try:
        # A form has a configuration of its own.
        adapter = TypeAdapter(kind, config=None if is_form else _STRICT)
        return adapter.validate_python(value)
    except ValidationError as error:
        # A rule about several fields is asked only where each of them fits, and so is no number.
        is_private = not is_form or any(detail["loc"] for detail in error.errors())
        problem = ". ".join(_problems(parameter.name, kind, error))
        raise _Misfit(problem, is_private=is_private) from None


def _choose(
    forms: Mapping[str, type[Form]], value: object
) -> tuple[type[Form], object]:
    """The form that was chosen, and what it is filled in with."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Mapping) and len(value) == 1:
        [(word, content)] = value.items()
        if word in forms:
            return forms[word], content
    raise _Misfit(f"Say one thing to do: {', '.join(forms)}")


def _problems(parameter: str, kind: Any, error: ValidationError) -> list[str]:
    """The values that do not fit, by the words on the form."""
    if parameter != FORM:
        return [f"{parameter}: {words}" for words in describe_problems(error, str)]
    titles = {
        name: str(field.title or name) for name, field in kind.model_fields.items()
    }

    def title(name: str) -> str:
        return titles.get(name, name if name.isidentifier() else "what is no name")

    return describe_problems(error, title)
