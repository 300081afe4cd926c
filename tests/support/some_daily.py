"""Tables of which every day has a part, and the long command the rest."""

from collections.abc import Iterable
from typing import Any

import pytest
from _pytest.mark import ParameterSet


def some_daily(cases: Iterable[Any], *, each: int) -> list[Any]:
    """Parameters of a test: one case in so many is tried every day. A tuple has several parameters of one case."""
    rest = [pytest.mark.long]
    given = [case if isinstance(case, ParameterSet) else pytest.param(*_values(case)) for case in cases]
    return [
        pytest.param(*case.values, id=case.id, marks=rest if number % each else []) for number, case in enumerate(given)
    ]


def _values(case: Any) -> tuple[Any, ...]:
    return case if isinstance(case, tuple) else (case,)
