"""A run's parameters without the phone numbers that somebody filled in where the form's check was switched off."""

import re
from collections.abc import Mapping
from typing import Any, Final

import httpx
from prefect.client.orchestration import get_client

from smsretry.written_numbers import holds_number

from .run_display import this_run

_HIDDEN: Final = "…"
_SHORTEST: Final = 10**6
"""A whole number of seven digits may be a phone number. No field of a form needs one."""
_DIGITS: Final = re.compile(r"(?<![0-9A-Za-z-])[0-9]{7,}(?![0-9A-Za-z])")


def hide_numbers() -> list[str]:
    """Replace what may be a phone number in this run's parameters, and say so; nothing if there is none."""
    run = this_run()
    hidden = without_numbers(run.parameters)
    if hidden == run.parameters:
        return []
    try:
        get_client(sync_client=True).update_flow_run(run.id, parameters=hidden)
    except httpx.HTTPError:
        return [f"Delete this run, because its parameters hold a phone number: /runs/flow-run/{run.id}"]
    return ["A phone number was taken out of this run's parameters"]


def without_numbers(value: Any) -> Any:
    """A parameter's value, with `…` for each text and each integer in it that may be a phone number."""
    match value:
        case str():
            return _HIDDEN if holds_number(value) or _DIGITS.search(value) else value
        case bool():
            return value
        case int() | float():
            return _HIDDEN if abs(value) >= _SHORTEST else value
        case Mapping():
            return {without_numbers(name): without_numbers(one) for name, one in value.items()}
        case list() | tuple():
            return [without_numbers(one) for one in value]
        case _:
            return value
