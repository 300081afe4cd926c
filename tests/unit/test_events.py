"""What is announced, what the automations wait for, and what the documents name are the same."""

import re
from typing import get_args
from uuid import UUID

from flows.automations import read_definitions
from flows.process_scheduled_sends import process_scheduled_sends
from flows.process_sms_retries import process_sms_retries
from flows.support.schedule import COMPLETED, RUN_FAILED
from flows.sync_delivery_status import sync_delivery_status
from smsretry.adapters.twilio.errors import twilio_report
from smsretry.desk.pages.outcomes import OfQueue
from smsretry.desk.pages.runs import RunReport, of_deliveries, of_scheduled, of_texts
from smsretry.desk.questions.queue_status import Late
from smsretry.local.demo.run import ROOT
from smsretry.retry.answers import ScheduledSend
from smsretry.sending.scheduled import Queueing
from smsretry.sending.summary import CameTo, DeliverySummary, FollowedUp, RunSummary
from smsretry.vocabulary import Fate, ScheduledResult
from tests.support.builders import NOON
from tests.unit.test_delivery import message
from tests.unit.test_shown import processed_text, report, status

_FLOWS = (process_sms_retries, process_scheduled_sends, sync_delivery_status)
_BLAMED = twilio_report("undelivered", 30007)
"""A carrier takes the words for spam."""


def announced() -> set[str]:
    """The events of runs in which everything happens that is announced."""
    late = [
        Late(name="due", texts=4, oldest=None, due_by=NOON),
        Late(name="words", texts=4, oldest=None, due_by=NOON),
    ]
    sender = {
        "what": "MG1",
        "why": "It is suspended",
        "is_news": True,
        "concerns_all": False,
        "businesses": 1,
    }
    looks = [
        FollowedUp(message(), came_to, "Spam", _BLAMED) for came_to in get_args(CameTo)
    ]
    sends = [
        ScheduledSend(
            scheduled_id=UUID(int=1),
            business_id=UUID(int=2),
            customer_id=None,
            result=result,
            why="Expired",
            retry_id=None,
        )
        for result in get_args(ScheduledResult)
    ]
    texts = [processed_text(fate) for fate in get_args(Fate)]
    runs: list[RunReport] = [
        report(*texts, stopped="It is down", status=status(*late)),
        of_texts(RunSummary.of(results=[], stopped=[sender]), ()),
        of_deliveries(DeliverySummary(looks, None, ())),
        of_scheduled(Queueing(sends)),
    ]
    return {event.name for run in runs for event in run.events} | {
        text.event.name for text in texts
    }


def documented() -> set[str]:
    """The names on the page of the flows, where `.held` goes on from the last whole name."""
    page = (ROOT / "flows" / "README.md").read_text(encoding="utf-8")
    [paragraph] = re.findall(r"\*\*The Event Feed.*?\n\n", page, re.DOTALL)
    resource, names = "", set[str]()
    for whole, name in re.findall(r"`(sms\.[a-z-]+)?(?:\.([a-z.<>-]+))?`", paragraph):
        resource = whole or resource
        names |= {f"{resource}.{name}"} if name else set()
    return names


def test_each_event_of_a_run_is_documented_and_each_documented_one_is_announced() -> (
    None
):
    """Those of the whole queue are typed, and each is made by some run."""
    of_queue = {f"sms.queue.{event}" for event in get_args(OfQueue)}
    assert {name for name in announced() if name.startswith("sms.queue.")} == of_queue
    of_runs = {COMPLETED.format("<flow>"), RUN_FAILED}
    assert announced() | of_runs == documented()


def test_each_event_that_an_automation_waits_for_is_announced() -> None:
    """A name of ours that nobody emits would wait for ever. The others are Prefect's own."""
    triggers = [automation["trigger"] for automation in read_definitions()]
    awaited = {
        name
        for trigger in triggers
        for name in (*trigger["expect"], *trigger.get("after", ()))
        if not name.startswith("prefect.")
    }
    of_runs = {COMPLETED.format(flow.name) for flow in _FLOWS} | {RUN_FAILED}
    assert set() < awaited <= announced() | of_runs
