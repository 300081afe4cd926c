"""The queue's page with texts in every state: a number leads to what it counts, and is what a plain query counts."""

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from smsretry.adapters.desk import Desk
from smsretry.desk.actions.requests import ExplainText, ListTexts
from smsretry.desk.questions.blocks import Block, Remedy, Table
from smsretry.doctor.clocks import ClockOffsets
from smsretry.doctor.database import database_findings
from smsretry.settings import Settings
from tests.support.builders import ACCOUNT, SENDER, run_over
from tests.support.shop import Shop

_NOW = "smsretry.clock()"
_HELD = f"held_since = {_NOW}, why = 'No zone', why_code = 'no_time_zone'"
_LATER = f"scheduled_for = {_NOW} + interval '9 minutes'"
_ENDED = "last_error = 'Number ' || id, why_code = 'number_invalid'"
CHANGES = (
    "why_code = null",
    "recover_count = 2",
    f"recover_count = 2, {_HELD}",
    f"{_LATER}",
    f"{_LATER}, reason = 'quiet_hours', why_code = 'quiet_hours'",
    f"{_LATER}, reason = 'quiet_hours', why_code = 'daily_cap'",
    f"{_LATER}, attempt_count = 1, why_code = 'refused_for_now'",
    f"{_LATER}, {_HELD}",
    _HELD,
    _HELD.replace("No zone", "Another sentence"),
    f"status = 'processing', claimed_at = {_NOW}",
    f"status = 'failed', {_ENDED}, updated_at = {_NOW} - interval '5 hours'",
    f"status = 'failed', {_ENDED}, updated_at = {_NOW}",
    f"status = 'failed', {_ENDED}, updated_at = {_NOW} - interval '2 days'",
    f"status = 'failed', updated_at = {_NOW}",
    f"status = 'cancelled', why_code = 'operator', updated_at = {_NOW}",
    "status = 'completed'",
)
"""What was done to a text each."""
DOUBTS = (
    _LATER,
    f"{_LATER}, recover_count = 2",
    f"{_LATER}, held_since = {_NOW}, why = 'Who knows', why_code = 'no_evidence'",
    f"{_LATER}, why_code = 'no_evidence'",
    f"status = 'processing', claimed_at = {_NOW}",
)
"""What was done to a text in doubt each."""
PLANNED = (
    "why = null",
    _HELD,
    f"status = 'cancelled', why_code = 'operator', updated_at = {_NOW}",
    f"status = 'failed', why_code = 'number_invalid', updated_at = {_NOW}",
)
"""What was done to a scheduled send each."""
SENDS = (
    "'rejected', 'response', 30022, null, null, null",
    "'accepted', 'response', null, 'SM' || replace(id::text, '-', ''), null, null",
    "'accepted', 'response', null, 'SM' || replace(id::text, '-', ''), 'undelivered', 30003",
    "'accepted', 'response', null, 'SM' || replace(id::text, '-', ''), 'undelivered', null",
    "'accepted', 'response', null, 'SM' || replace(id::text, '-', ''), 'delivered', null",
)
"""What became of a text's two sends of the last hour each, of which only the last may have been accepted."""


def fill(shop: Shop) -> None:
    """Texts of one business in each state, some for reasons that others have, too."""
    for change in CHANGES:
        row = shop.due_text()
        shop.sql(f"update sms_retry_queue set {change} where id = %s", row)
    for change in DOUBTS:
        row = shop.due_text()
        doubt = f"in_doubt_since = {_NOW}, attempt_id = gen_random_uuid()"
        shop.sql(f"update sms_retry_queue set {doubt}, {change} where id = %s", row)
    for send in SENDS:
        row = shop.due_text()
        shop.sql("update sms_retry_queue set status = 'completed' where id = %s", row)
        for claim_no, became in ((1, SENDS[0]), (2, send)):
            shop.sql(
                f"""insert into sms_send_attempts
                    (id, retry_id, business_id, attempt_number, claim_no, begun_at, finished_at, outcome, settled_by,
                     error_code, twilio_sid, delivery_status, delivery_code, delivery_at)
                select id, %s, %s, %s, %s, at - interval '2 s', at, x.outcome, x.by,
                       x.code::integer, x.sid, x.status, x.delivery_code::integer,
                       case when x.status is not null then at end
                from gen_random_uuid() id, {_NOW} at,
                    lateral (select {became}) x (outcome, by, code, sid, status, delivery_code)""",
                *(row, shop.id, claim_no, claim_no),
            )
    late = shop.scheduled(due=-timedelta(hours=1))
    shop.sql("update scheduled_sends set why = null where id = %s", late)
    for change in PLANNED:
        planned = shop.scheduled(due=timedelta(hours=1))
        shop.sql(f"update scheduled_sends set {change} where id = %s", planned)


@pytest.fixture
def every_state(shop: Shop) -> Shop:
    """Two businesses with texts in each state, one of them with a sender that is paused."""
    fill(shop)
    fill(shop.neighbor())
    added = "select add_sms_sender(%s, %s, %s, who => 'Ann', because => 'Ours')"
    shop.sql(added, shop.id, ACCOUNT, SENDER)
    shop.sql(
        "select change_sms_sender(%s, paused => true, who => 'Ann', because => 'Ill')",
        SENDER,
    )
    shop.later(minutes=20)
    return shop


def words_of(part: Block) -> Iterator[Any]:
    """The words and remedies of a part of a page."""
    if isinstance(part, Table):
        for row in part.rows:
            yield from row
    elif isinstance(part, tuple):
        yield from part


def test_each_number_of_the_page_leads_to_exactly_the_texts_that_it_counts(
    every_state: Shop, desk: Desk
) -> None:
    """Of a day, an hour, a sender and scheduled sends. What names a past hour leads to the same an hour later."""
    links = [
        link
        for part in desk.status().tell()
        for link in words_of(part)
        if isinstance(link, Remedy) and link.words.isdigit()
    ]
    for hours in (0, 1):
        every_state.later(hours=hours)
        for link in links:
            form = link.ask["ask"]["list"]
            if hours == 0 or "since" in form:
                texts = desk.answer(ListTexts(**form)).to_dict()
                assert len(texts["texts"]) == int(link.words), link
    assert len(links) >= 21, [link.ask for link in links]


def test_the_numbers_are_those_of_a_plain_query(every_state: Shop, desk: Desk) -> None:
    """By state, typed anew; a text that killed its workers is in one of them, too. A list finds the same."""
    counted = every_state.sql(
        f"""select case when in_doubt_since is not null then 'in_doubt'
                        when status = 'processing' then 'under_way'
                        when held_since is not null then 'held'
                        when scheduled_for > {_NOW} then 'waiting' else 'due' end as state, count(*) as texts
            from sms_retry_queue where status in ('pending', 'processing') group by 1
            union all
            select case when held_since is null then 'scheduled' else 'held' end, count(*)
            from scheduled_sends where status = 'scheduled' group by 1"""
    )
    known = Counter[str]()
    for line in counted:
        known[line["state"]] += line["texts"]
    status = desk.status()
    assert status.queue == known
    for state, texts in known.items():
        record = desk.answer(ListTexts.model_validate({"states": [state]})).to_dict()
        assert len(record["texts"]) == texts, state
    ended = Counter[Any]()
    for reason in status.ended:
        ended[reason.state, reason.why_code] += reason.texts
    assert ended == {
        ("failed", "number_invalid"): 6,
        ("failed", "application"): 2,
        ("cancelled", "operator"): 4,
    }


def test_a_doubt_that_is_held_asks_for_a_person(every_state: Shop, desk: Desk) -> None:
    """On the page and in its story. One that is not held needs nobody yet."""
    [need] = [one for one in desk.status().needs() if one.what == "in doubt: Who knows"]
    assert (str(need.count), need.business) == ("2", "2 businesses")
    [story] = desk.explain(ExplainText.model_validate(need.remedy.ask["ask"]))
    assert "a person must say what became of it" in story.next


def test_each_text_that_waits_for_a_person_is_in_one_line_however_many_businesses_there_are(
    shop: Shop, desk: Desk
) -> None:
    """What is common hides nothing that is rare, and what a person stopped is said once."""
    stop = "select set_sms_stop('state', 'LA', 'A hurricane', 'Ann')"
    shop.sql(stop)
    held = f"held_since = {_NOW}, why = 'It waits', why_code = %s, error_code = %s"
    reasons: dict[tuple[str, int | None], int] = {
        ("state_stopped", None): 60,
        ("hours_unreadable", None): 3,
        ("destination_refused", 21408): 2,
        ("destination_refused", 21608): 1,
        ("row_refused", None): 1,
    }
    waiting = [reason for reason, texts in reasons.items() for _ in range(texts)]
    for code, error in waiting:
        shop.sql(
            f"update sms_retry_queue set {held} where id = %s",
            code,
            error,
            shop.neighbor().due_text(),
        )
    for _ in range(15):
        row = shop.neighbor().due_text()
        doubt = f"in_doubt_since = {_NOW}, attempt_id = gen_random_uuid(), {DOUBTS[2]}"
        shop.sql(f"update sms_retry_queue set {doubt} where id = %s", row)
    counts = [
        int(link.words)
        for part in desk.status().tell()
        for link in words_of(part)
        if isinstance(link, Remedy) and link.words.isdigit()
    ]
    needs = [
        int(str(need.count)) for need in desk.status().needs() if need.of == "held"
    ]
    assert needs == [1, 1, 2, 3, 15], "the rarest first"
    assert counts.count(60) == 1


@pytest.mark.parametrize(
    ("started", "finished", "late"),
    [
        ("1 minute", None, False),
        ("11 minutes", None, True),
        ("30 minutes", "5 minutes", False),
        ("30 minutes", "11 minutes", True),
    ],
)
def test_runs_are_late_if_none_ends_and_not_while_the_first_is_under_way(
    shop: Shop, desk: Desk, started: str, finished: str | None, late: bool
) -> None:
    """Ten minutes after the end of the last, or after the first began. Those that began since change nothing."""
    start = (
        f"insert into smsretry.runs (id, started_at) select %s, {_NOW} - %s::interval"
    )
    first = uuid4()
    shop.sql(start, first, started)
    if finished:
        shop.sql(
            f"update smsretry.runs set finished_at = {_NOW} - %s::interval, summary = 'idle'",
            finished,
        )
    shop.sql(start, UUID(int=2), "1 minute")
    assert ("run" in [one.name for one in desk.status().late]) == late
    if not late:
        assert str(shop.value("select check_sms_retries()")).startswith("ok, ")


def test_a_cap_that_was_reached_yesterday_keeps_nobody_today(
    shop: Shop, desk: Desk
) -> None:
    """Its day ends at midnight Pacific time."""
    shop.sql(
        "select add_sms_sender(%s, %s, %s, segments_per_day => 1, who => 'Ann', because => 'Ours')",
        *[shop.id, ACCOUNT, SENDER],
    )
    shop.due_text()
    day = f"smsretry.carriers_midnight({_NOW})"
    for ends_at, whys, used in (
        (day, ["day_spent"], 1),
        (f"{day} - interval '1 day'", [], 0),
    ):
        shop.sql(
            f"update smsretry.senders set day_segments = 1, day_ends_at = {ends_at}"
        )
        assert [sender.why_code for sender in desk.status().senders] == whys
        assert shop.value("select used_today from sms_senders()") == used


def test_a_due_text_says_that_nobody_runs(shop: Shop, desk: Desk) -> None:
    """And not that it goes out with one of the next runs."""
    shop.run()
    row = shop.due_text()
    assert "no run" not in desk.explain(ExplainText(id=row))[0].headline
    shop.later(minutes=25)
    assert "no run" in desk.explain(ExplainText(id=row))[0].headline


def test_what_is_overdue_is_bad_at_the_doctor_once_something_ran(
    shop: Shop, settings: Settings
) -> None:
    """Before the first run everything is, and nobody is to blame."""
    shop.due_text()
    for is_bad in (False, True):
        shop.later(minutes=25)
        [finding] = [
            finding
            for finding in database_findings(settings, ClockOffsets(shop.now))
            if "overdue" in finding.subject
        ]
        assert finding.ok is not is_bad
        run_over(shop.queue, shop.provider).start(10)
        shop.sql(
            "update smsretry.runs set finished_at = smsretry.clock(), summary = 'idle'"
        )
