"""No text waits until Prefect's UI is tidied: that searches all of its task runs, which may take a minute."""

from inspect import unwrap

import pytest
from prefect import Flow

from flows import process_scheduled_sends, process_sms_retries


class Connecting(BaseException):
    """The run gets to its texts."""


@pytest.mark.parametrize(
    ("module", "flow", "connects"),
    [
        (process_sms_retries, process_sms_retries.process_sms_retries, "load_settings"),
        (process_scheduled_sends, process_scheduled_sends.process_scheduled_sends, "services"),
    ],
)
def test_a_run_tidies_after_its_texts(
    module: object, flow: Flow[[], object], connects: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had done so before them."""
    tidied = list[str]()

    def connect() -> None:
        raise Connecting

    for name in ("crash_orphaned_task_runs", "delete_idle_runs"):
        monkeypatch.setattr(module, name, lambda name=name: tidied.append(name))
    monkeypatch.setattr(module, "LateRuns", lambda: None)
    monkeypatch.setattr(module, connects, connect)
    with pytest.raises(Connecting):
        unwrap(flow.fn)()
    assert not tidied
