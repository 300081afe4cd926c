"""How a run begins: its parameters are checked, and what does not fit is refused in words, on a red run.

Prefect checks parameters against the form's schema before it makes a run, but it knows no rule about several fields,
and a caller may switch the check off. Then its engine crashes the run with a traceback, and what was filled in stays
with the run. Here what does not fit is taken out of the run: it may be a number, which Prefect keeps in plain text.
"""

from collections.abc import Callable, Mapping
from functools import reduce, wraps
from inspect import signature
from operator import or_
from typing import Any, Final, TypeVar

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError, create_model

from smsretry.desk.actions.form import Form, describe_problems
from smsretry.errors import SmsRetryError

from .show import log_what_is_new, refused, this_run

_Flow = TypeVar("_Flow", bound=Callable[..., State[Any]])
FORM: Final = "ask"
"""The name of a parameter that is a whole form. Any other parameter is one field."""
_ONE: Final = ConfigDict(extra="forbid", hide_input_in_errors=True)


def one_of(forms: Mapping[str, type[Form]]) -> Any:
    """A parameter of several forms: Prefect's UI lets a person choose one by its word, and draws it."""
    ways = [
        create_model(
            word.capitalize().replace("-", " "), __config__=_ONE, **{word: (form, ...)}
        )  # type: ignore[call-overload]
        for word, form in forms.items()
    ]
    return reduce(or_, ways)


def form(fn: _Flow, forms: Mapping[str, type[Form]] | None = None) -> _Flow:
    """Check the parameters of a flow by its annotations, and say on a red run what does not fit or cannot be done.

    For a flow with `validate_parameters=False`.

    Args:
        forms: those that its form may be one of, by their words.
    """
    parameters = signature(fn).parameters

    @wraps(fn)
    def checked(*args: Any, **keywords: Any) -> State[Any]:
        log_what_is_new()
        problems, values, is_private = list[str](), dict[str, Any](), False
        for name, value in {
            **keywords,
            **dict(zip(parameters, args, strict=False)),
        }.items():
            kind: Any = parameters[name].annotation
            if name == FORM and forms:
                kind, value = _chosen(forms, value)
            if kind is None:
                problems, is_private = (
                    [f"Say one thing to do: {', '.join(forms or ())}"],
                    True,
                )
                continue
            try:
                values[name] = TypeAdapter(
                    kind, config=None if name == FORM else _ONE
                ).validate_python(value)
            except ValidationError as error:
                problems += _problems(name, kind, error)
                # A rule about several fields is asked only where each of them fits, and so is no number.
                is_private = (
                    is_private
                    or name != FORM
                    or any(detail["loc"] for detail in error.errors())
                )
        if is_private:
            get_client(sync_client=True).update_flow_run(this_run().id, parameters={})
        if problems:
            return refused(". ".join(problems))
        try:
            return fn(**values)
        except SmsRetryError as error:
            return refused(str(error), word="failed")

    return checked  # type: ignore[return-value]


def _chosen(
    forms: Mapping[str, type[Form]], value: object
) -> tuple[type[Form] | None, object]:
    """The form that was chosen, and what it is filled in with; no form if that is not clear."""
    chosen = (
        value.model_dump(mode="json", exclude_unset=True)
        if isinstance(value, BaseModel)
        else value
    )
    if isinstance(chosen, Mapping) and len(chosen) == 1:
        [(word, filled)] = chosen.items()
        return forms.get(word), filled
    return None, value


def _problems(parameter: str, form: Any, error: ValidationError) -> list[str]:
    """The values that do not fit, by the words on the form."""
    if parameter != FORM:
        return [f"{parameter}: {words}" for words in describe_problems(error, str)]
    titles = {name: field.title or name for name, field in form.model_fields.items()}
    return describe_problems(
        error,
        lambda name: titles.get(
            name, name if name.isidentifier() else "what is no name"
        ),
    )
