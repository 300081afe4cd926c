"""Tables of which every day has a part, and the long command the rest."""

from collections.abc import Iterable
from typing import Any

import pytest


def some_daily(cases: Iterable[Any], *, each: int) -> list[Any]:
    """Parameters of a test: one case in so many is tried every day. A tuple has several parameters of one case."""
    rest = [pytest.mark.long]
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=rest if number % each else [])
        for number, case in enumerate(cases)
    ]
