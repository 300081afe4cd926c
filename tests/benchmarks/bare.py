"""A flow that does nothing: what any minute costs in Prefect. `python -m tests.benchmarks.bare`."""

from typing import Annotated

from prefect import flow, task
from pydantic import Field


@task(persist_result=False)
def recover() -> list[int]:
    """Nothing."""
    return []


@task(persist_result=False)
def claim() -> list[int]:
    """Nothing."""
    return []


@flow(name="bare", persist_result=False)
def bare(limit: Annotated[int, Field(ge=1)] = 50, stale_minutes: Annotated[int, Field(ge=1)] = 10) -> None:
    """Two tasks and a form, as an idle run of ours has them.

    Args:
        limit: not used.
        stale_minutes: not used.
    """
    recover()
    claim()


if __name__ == "__main__":
    bare()
