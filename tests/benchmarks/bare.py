"""A flow that does nothing: what any minute costs in Prefect. `python -m tests.benchmarks.bare`."""

from typing import Annotated

from prefect import flow, task
from pydantic import Field


@task(persist_result=False)
def nothing() -> list[int]:
    """As recovery and a claim are tasks."""
    return []


@flow(name="bare", persist_result=False)
def bare(
    limit: Annotated[int, Field(ge=1)] = 50,
    stale_minutes: Annotated[int, Field(ge=1)] = 10,
) -> None:
    """Two tasks and a form, as an idle run of ours has them."""
    nothing()
    nothing()


if __name__ == "__main__":
    bare()
