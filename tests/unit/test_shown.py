"""What a run shows of itself: badges and colors, the event of a text, the name of the run, and the page behind it."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from smsretry.desk.pages.markdown import markdown, plain
from smsretry.desk.pages.outcomes import ProcessedText
from smsretry.desk.pages.runs import SHOWN_IN_FULL, RunReport, of_texts
from smsretry.desk.questions.blocks import Table
from smsretry.desk.questions.queue_status import Count, Late, QueueStatus
from smsretry.retry.answers import InterruptedRun, Recovered
from smsretry.retry.models import AssignedSender, ItemResult
from smsretry.sending.summary import RunSummary
from smsretry.vocabulary import Fate, WhyCode
from tests.support.builders import NOON, PHONE, claim_with
from tests.support.records import Record

CHICAGO: Record = {"timezone": "America/Chicago"}


def processed_text(
    fate: Fate,
    why: str = "",
    code: int | None = None,
    later: timedelta | None = None,
    why_code: WhyCode | None = None,
    **claim: Any,
) -> ProcessedText:
    """A text that came to this at noon in New York."""
    due_at = NOON + later if later else None
    row = claim_with(**claim)
    return ProcessedText(
        row,
        ItemResult(
            retry_id=row.id,
            fate=fate,
            why=why,
            code=code,
            due_at=due_at,
            why_code=why_code,
        ),
    )


def test_an_event_names_a_businesss_own_sender() -> None:
    """It has a feed of its own. The number of one is not told."""
    for sent_by, tag in (
        ("MG" + "3" * 32, "from MG" + "3" * 32),
        (PHONE, f"from …{PHONE[-4:]}"),
    ):
        sender = AssignedSender(
            id=UUID(int=5), account="AC" + "1" * 32, sent_by=sent_by
        )
        event = processed_text("Sent", sender=sender).event
        assert event.people["sender"] == UUID(int=5)
        assert tag in event.tags
        assert PHONE not in str(event)


def came_to(
    *texts: ProcessedText,
    stopped: str | None = None,
    is_news: bool = True,
    **fields: Any,
) -> RunSummary:
    """What a run of these came to."""
    everybody = {
        "what": "sending",
        "why": stopped,
        "is_news": is_news,
        "concerns_all": True,
        "businesses": 0,
    }
    return RunSummary.of(
        results=[text.result for text in texts],
        duration_seconds=1.5,
        why_stopped=stopped,
        stopped=[everybody] if stopped else [],
        **fields,
    )


def report(
    *texts: ProcessedText,
    stopped: str | None = None,
    is_news: bool = True,
    **fields: Any,
) -> RunReport:
    """What it shows."""
    return of_texts(came_to(*texts, stopped=stopped, is_news=is_news), texts, **fields)


def test_staging_is_named_first_and_alarms_nobody_but_for_its_mark() -> None:
    """Texts that failed or are held there are only shown. Those that wait for the mark of production are told."""
    texts = (
        processed_text("Failed"),
        processed_text("Held", why_code="no_time_zone"),
        processed_text("Cancelled", why_code="not_listed"),
    )
    summary = came_to(*texts, texts_only="texts nobody")
    quiet = of_texts(summary, texts)
    assert quiet.name == "staging: texts nobody · 1 failed · 1 held · 1 cancelled"
    assert str(summary).startswith("This installation texts nobody. ")
    assert (
        of_texts(RunSummary.of(results=[], texts_only="texts nobody"), ()).name
        == "idle"
    )
    assert [event.name for event in report(*texts).events] == [
        "sms.queue.held",
        "sms.queue.dead-letters",
    ]
    assert list(quiet.events) == []
    [event] = of_texts(
        summary, [*texts, processed_text("Held", why_code="mark_mismatch")]
    ).events
    assert (event.name, event.payload["texts"]) == ("sms.queue.held", 1)


def test_what_was_recovered_into_doubt_adds_up() -> None:
    """It is not among the claimed, so it is told beside the recovered."""
    recovered = [
        Recovered(id=UUID(int=number), in_doubt_since=NOON) for number in (1, 2)
    ]
    summary = came_to(recovered=recovered)
    assert str(summary) == (
        "Took 2 texts back from silent workers (2 in doubt). Took no texts in 1.5 s"
    )
    assert (of_texts(summary, ()).name, of_texts(summary, ()).idle) == (
        "2 recovered",
        False,
    )


def test_a_run_announces_what_is_new() -> None:
    """What was held before, and a stop that was told already, are not announced again."""
    assert [event.name for event in report(stopped="It is down").events] == [
        "sms.queue.sending-stopped"
    ]
    assert list(report(stopped="It is down", is_news=False).events) == []
    holding = report(
        processed_text("Held", "No zone"),
        processed_text("Held", held=True),
        processed_text("Failed", "No number"),
    )
    assert [(event.name, event.payload) for event in holding.events] == [
        ("sms.queue.held", {"texts": 1, "why": "No zone"}),
        ("sms.queue.dead-letters", {"texts": 1, "why": "No number"}),
    ]


def test_an_alarm_hides_no_rare_reason_behind_a_common_one() -> None:
    """A reason has a line, the rarest first."""
    texts = [
        *(processed_text("Held", "No zone", why_code="no_time_zone") for _ in range(9)),
        processed_text("Held", "Not to Aruba", why_code="destination_refused"),
    ]
    [event] = report(*texts).events
    why = "1 × Not to Aruba; 9 × No zone"
    assert event.payload == {"texts": 10, "why": why}


def test_a_backlog_is_what_the_database_calls_late() -> None:
    """By the oldest due text."""
    assert list(report(status=status()).events) == []
    [backlog] = report(
        status=status(Late(name="due", texts=4, oldest=None, due_by=NOON))
    ).events
    assert (backlog.name, backlog.payload) == (
        "sms.queue.backlog",
        {"minutes": 25, "texts": 4},
    )


def status(*late: Late) -> QueueStatus:
    """A queue whose oldest due text is 25 minutes late."""
    due = Count(state="due", texts=5, oldest=NOON - timedelta(minutes=25))
    return QueueStatus(at=NOON, states=(due,), late=late)


def test_a_page_says_what_a_killed_run_came_to_and_how_many_more_need_somebody() -> (
    None
):
    """Only so many are told in full."""
    killed = InterruptedRun(
        id=UUID(int=5), started_at=NOON, accepted=3, in_doubt=1, refused=0
    )
    texts = [
        processed_text("Failed", "It | *failed*", id=UUID(int=number))
        for number in range(1, SHOWN_IN_FULL + 3)
    ]
    page = markdown(
        report(*texts, interrupted=(killed,)).page,
        lambda form, ask: f"{form}/{ask['ask']['id']}",
    )
    assert "was interrupted: 3 accepted, 1 in doubt" in page
    assert "And 2 more" in page
    assert f"[…{PHONE[-4:]}](sms-explain/{UUID(int=1)})" in page
    assert r"It \| \*failed\*" in page


def test_what_others_wrote_is_no_markup() -> None:
    """A business may call itself a link, an image or a script."""
    assert plain("[Ann's](http://x) | <script>\n![x](y)") == (
        r"\[Ann's\](http://x) \| &lt;script&gt; \!\[x\](y)"
    )


def test_a_table_that_would_be_cut_off_is_a_list() -> None:
    """Prefect's UI shows as much of a cell as fits into its column."""
    short_row, much = (
        ("failed", "3", "Opted out"),
        ("failed", "1", "Not delivered " * 9),
    )
    assert "| failed | 3 | Opted out |" in markdown(
        ["", Table("Ended", ("end", "texts", "why"), [short_row])]
    )
    assert "- failed 3: Opted out\n" in markdown(
        ["", Table("Ended", ("end", "texts", "why"), [short_row, much])]
    )
