"""The automations in a hurry, and whether each alert had its reason and each reason its alert."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.automations import install, read_definitions
from tests.support.receiver import Receiver
from tests.support.records import Record

Completed = Mapping[str, Sequence[datetime]]
"""When runs of each schedule completed."""
LAG = timedelta(seconds=20)
"""Prefect looks every five seconds, after the whole time has passed, and under load it takes its time."""
SILENT = {
    "process-sms-retries": "no run has completed",
    "process-scheduled-sends": "no run has queued scheduled sends",
}
"""What an alert says of each schedule that is silent. The other schedule's runs are no answer to it."""
ENDED = "ended"


def install_in_a_hurry(api_url: str, block: UUID, silence: timedelta) -> None:
    """All of them: `silence` instead of five minutes without a run, and three times that instead of 15."""
    with (
        temporary_settings({PREFECT_API_URL: api_url}),
        get_client(sync_client=True) as client,
    ):
        install(
            client, block, [_hurried(entry, silence) for entry in read_definitions()]
        )


def _hurried(entry: Record, silence: timedelta) -> Record:
    seconds = {
        "smsretry: no run completes": silence.total_seconds(),
        "smsretry: no scheduled sends are queued": silence.total_seconds(),
        "smsretry: still no run completes": 3 * silence.total_seconds(),
        "smsretry: a run failed": 0,
    }
    within = seconds.get(entry["name"], entry["trigger"]["within"])
    return {**entry, "trigger": {**entry["trigger"], "within": within}}


def unexplained(
    receiver: Receiver, completed: Completed, crashed: int, silence: timedelta
) -> Iterator[str]:
    """Alerts without a reason: a run of the schedule completed shortly before, or more runs "ended" than did."""
    for name, words in SILENT.items():
        for alert in receiver.about(words):
            lately = [
                completion
                for completion in completed[name]
                if alert.at - silence < completion < alert.at - timedelta(seconds=1)
            ]
            if lately and not _after_a_silence(alert.at, completed[name], silence):
                yield f"{alert.at:%X} {alert.subject}, and runs completed at {', '.join(f'{at:%X}' for at in lately)}"
    ended = [f"{alert.subject} ({alert.body})" for alert in receiver.about(ENDED)]
    if len(ended) > crashed:
        yield f"{len(ended)} alerts about runs that ended, and {crashed} did: {'; '.join(ended)}"
    subjects = (*SILENT.values(), ENDED)
    yield from (
        alert.subject
        for alert in receiver.alerts
        if not any(words in alert.subject for words in subjects)
    )


def _after_a_silence(
    at: datetime, completed: Sequence[datetime], silence: timedelta
) -> bool:
    """Prefect counts in windows of its own; an alert may come while the silence has just ended."""
    return any(
        later - earlier >= silence and later < at < later + LAG
        for earlier, later in pairwise(sorted(completed))
    )


def unnoticed(
    receiver: Receiver, completed: Completed, until: datetime, silence: timedelta
) -> Iterator[str]:
    """Silences of a schedule that nobody was told of."""
    for name, words in SILENT.items():
        for earlier, later in pairwise([*sorted(completed[name]), until]):
            was_alerted = any(
                earlier < alert.at < later + LAG for alert in receiver.about(words)
            )
            if later - earlier > silence + LAG and not was_alerted:
                yield f"{name}, {earlier:%X} to {later:%X}"
