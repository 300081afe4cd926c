"""A storage of results that is slow keeps a run waiting for some seconds in all, and not at each text."""

from types import SimpleNamespace
from uuid import uuid4

import pytest
from prefect.states import Completed

from flows.support import results


@pytest.mark.parametrize(("seconds", "stored", "told"), [(2.0, 3, 1), (0.9, 20, 0)])
def test_a_run_waits_for_a_slow_storage_only_so_often(
    seconds: float, stored: int, told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each of 200 texts it had waited nearly five seconds. What takes less than one is borne."""
    now, places, warnings = [0.0], list[str](), list[str]()

    def store(_store: object, _what: object, place: str) -> str:
        places.append(place)
        now[0] += seconds
        return place

    run = SimpleNamespace(id=uuid4())
    log = SimpleNamespace(warning=lambda words, why: warnings.append(words % why))
    for name, instead in {
        "_store": store, "monotonic": lambda: now[0], "this_run": lambda: run, "get_result_store": lambda: None,
        "_sweep_results": lambda: None, "get_run_logger": lambda: log,
    }.items():  # fmt: skip
        monkeypatch.setattr(results, name, instead)
    states = [results.with_result(Completed(), {"text": number}) for number in range(20)]
    assert len(places) == stored
    assert [state.data for state in states[:stored]] == places
    assert [state.data for state in states[stored:]] == [{"text": number} for number in range(stored, 20)]
    assert len(warnings) == told
