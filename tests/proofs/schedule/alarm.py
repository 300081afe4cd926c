"""The automations in a hurry, and whether each alert had its reason and each reason its alert."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import defined, install
from tests.support.receiver import Receiver

LAG: Final = timedelta(seconds=20)
"""Prefect looks every five seconds, after the whole time has passed, and under load it takes its time."""
SILENT: Final = "no run has completed"
ENDED: Final = "ended"


def install_in_a_hurry(api_url: str, block: UUID, silence: timedelta) -> None:
    """All of them: `silence` instead of five minutes without a run, and three times that instead of 15."""
    with temporary_settings({PREFECT_API_URL: api_url}), get_client(sync_client=True) as client:
        install(client, block, [_hurried(entry, silence) for entry in defined()])


def _hurried(entry: dict[str, Any], silence: timedelta) -> dict[str, Any]:
    seconds = {
        "smsretry: no run completes": silence.total_seconds(),
        "smsretry: still no run completes": 3 * silence.total_seconds(),
        "smsretry: a run failed": 0,
    }
    within = seconds.get(entry["name"], entry["trigger"]["within"])
    return {**entry, "trigger": {**entry["trigger"], "within": within}}


def unexplained(receiver: Receiver, completed: Sequence[datetime], crashed: int, silence: timedelta) -> list[str]:
    """Alerts without a reason: a run completed shortly before "no run", or more runs "ended" than did."""
    found = [
        f"{alert.at:%X} {alert.subject}"
        for alert in receiver.about(SILENT)
        if any(alert.at - silence < done < alert.at - timedelta(seconds=1) for done in completed)
        and not _after_a_silence(alert.at, completed, silence)
    ]
    others = [alert.subject for alert in receiver.alerts if SILENT not in alert.subject and ENDED not in alert.subject]
    ended = [f"{alert.subject} ({alert.body})" for alert in receiver.about(ENDED)]
    if len(ended) > crashed:
        found.append(f"{len(ended)} alerts about runs that ended, and {crashed} did: {'; '.join(ended)}")
    return found + others


def _after_a_silence(at: datetime, completed: Sequence[datetime], silence: timedelta) -> bool:
    """Prefect counts in windows of its own; an alert may come while the silence has just ended."""
    return any(
        later - earlier >= silence and later < at < later + LAG for earlier, later in pairwise(sorted(completed))
    )


def unnoticed(receiver: Receiver, completed: Sequence[datetime], until: datetime, silence: timedelta) -> list[str]:
    """Silences that nobody was told of."""
    found = []
    for earlier, later in pairwise([*sorted(completed), until]):
        if later - earlier > silence + LAG and not any(
            earlier < alert.at < later + LAG for alert in receiver.about(SILENT)
        ):
            found.append(f"{earlier:%X} to {later:%X}")
    return found
