"""How far a run has come, as an artifact in Prefect."""

from time import monotonic
from typing import Final, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact

from flows.support.run_display import display_only

_SECONDS: Final = 5.0
"""How often it is shown."""


class Progress:
    """How many of the texts that were due at its start a run has taken. A run of a few seconds shows none."""

    def __init__(self, due: int) -> None:
        self._due = due
        self._shown_at = monotonic()
        self._artifact: UUID | None = None

    @display_only()
    def show(self, taken: int) -> None:
        """Show it every few seconds."""
        if monotonic() - self._shown_at < _SECONDS:
            return
        self._shown_at = monotonic()
        percent, text = min(100.0, 100 * taken / max(self._due, 1)), f"{taken} of {self._due} texts taken"
        if self._artifact:
            update_progress_artifact(self._artifact, percent, text)
        else:
            self._artifact = cast(UUID, create_progress_artifact(percent, "sms-run-progress", text))
