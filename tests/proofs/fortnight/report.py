"""A whole fortnight, and its table; and what can be spoilt, to see that the judge notices."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Final

from smsretry.local.stack import Stack
from smsretry.retry.profile import DEFAULT, Profile
from tests.proofs.fortnight.checks import (
    STOPPED,
    at_closed_hours,
    deadlines,
    is_capped,
    over_cap,
    reached,
    valid_too_long,
    waits_rightly,
)
from tests.proofs.fortnight.people import Town
from tests.proofs.fortnight.reasons import EXPIRED, unexplained
from tests.proofs.fortnight.simulation import Record, live, note_stop
from tests.proofs.town.book import Book, Story, read
from tests.proofs.town.judge import allowed, at_the_end, truths
from tests.proofs.town.report import Report, Verdict
from tests.proofs.town.safeguards import Safeguard, trigger

AUTUMN: Final = datetime(2026, 10, 29, 12, tzinfo=UTC)
"""A Thursday. Clocks change in America on Sunday 1 November; closed are Election Day (Pennsylvania) on the 3rd, and
Veterans Day and Armistice Day on the 11th."""
KINDS: Final = (
    "out of hours", "valid past its closing", "after an opt-out", "over the daily cap", "doubled", "lost",
    "misreported", "untrue end", "late", "due at a closed hour", "unexplained", "bugs",
)  # fmt: skip
"""Out of hours: accepted at an hour that some rule closes on some clock. Past its closing: Twilio might still send it
then. Late: it could go out and was not tried in time. Unexplained: not for the reason that the check gives."""


def fortnight(stack: Stack, town: Town, *, profile: Profile = DEFAULT) -> Report:
    """On an empty stack: let the time go by, then judge."""
    started = time.monotonic()
    record = live(stack, town, profile=profile)
    book = read(stack, town.texts)
    _note_stops_at_twilio(town, book)
    book = read(stack, town.texts)
    verdict, judged = Verdict(KINDS), 0
    verdict.add(("bugs", line) for line in (*record.bugs, *book.strays))
    times = reached(book.stories, town)
    for text in town.texts:
        story = book.of(text)
        for findings in (truths(story), at_the_end(story), allowed(text, story), valid_too_long(text, story, town)):
            verdict.add(findings, name=text.name)
        verdict.add(waits_rightly(text, story, town), name=text.name)
        bound = times[text.reached_at] if is_capped(text) else ()
        for since, by, on_time in deadlines(text, story, town, record.given_back[text.retry_id], bound):
            judged += 1
            if not on_time:
                verdict.add([("late", f"from {since}, to be tried by {by}")], name=text.name)
    verdict.add(over_cap(book.stories, town))
    verdict.add(at_closed_hours(town, record))
    verdict.add(("unexplained", line) for line in unexplained(town, book.stories, record))
    return Report(_numbers(town, record, book, judged) | {"took, s": round(time.monotonic() - started)}, verdict)


def _note_stops_at_twilio(town: Town, book: Book) -> None:
    """Twilio's answer to a send may tell the queue that somebody wants no more texts."""
    for text in town.texts:
        for attempt in book.of(text).attempts:
            if attempt["error_code"] == STOPPED:
                note_stop(town, text.customer, text.business_id, attempt["finished_at"])


def _numbers(town: Town, record: Record, book: Book, judged: int) -> dict[str, object]:
    rows = [row for story in book.stories.values() for row in story.rows]
    attempts = [attempt for story in book.stories.values() for attempt in story.attempts]
    status, why = Counter(row["status"] for row in rows), Counter(wait.why_code for wait in record.waits)
    return {
        "from": f"{town.start:%Y-%m-%d}",
        "days": town.days,
        "texts": len(town.texts),
        "people": len(town.customers),
        "  in so many sets of zones and rules": len({customer.who for customer in town.customers}),
        "completed": status["completed"],
        "failed": status["failed"],
        "cancelled": status["cancelled"],
        "still waiting": status["pending"],
        "deferred for quiet hours": why["quiet_hours"],
        "deferred for a daily cap": why["daily_cap"],
        "requests to Twilio": len(attempts),
        "  refused": sum(attempt["outcome"] == "rejected" for attempt in attempts),
        "  in doubt for a while": sum(attempt["settled_by"] == "reconcile" for attempt in attempts),
        "people who opted out": len({text.customer_id for text in town.texts if text.stopped_at}),
        "  texts cancelled for it": sum(row["why_code"] == "opted_out" for row in rows),
        "refused or held": sum(_is_refused_or_held(story) for story in book.stories.values()),
        "asked whether it was on time": judged,
        "runs of the worker": record.passes,
    }


def _is_refused_or_held(story: Story) -> bool:
    """Whether it was never tried for a reason of its own, or waits for a person, or did so to its end."""
    [row] = story.rows
    why = row["last_error"] or ""
    expired = why.startswith(EXPIRED) and ". " in why
    return bool(row["held_since"] or expired or (row["status"] == "failed" and not story.attempts))


SPOILS: Final[dict[str, tuple[str, Safeguard, Profile]]] = {
    "federal hours alone": ("out of hours", Safeguard(), Profile(quiet_hours_rules="federal")),
    "no daily cap": (
        "over the daily cap",
        Safeguard(
            replaces="smsretry.cap_reached_at",
            sql="""create or replace function
                       smsretry.cap_reached_at(business_id uuid, phone text, cap integer, since timestamptz)
                   returns timestamptz language sql as 'select null::timestamptz'""",
        ),
        DEFAULT,
    ),
    "three hours until everybody's turn": ("late", Safeguard(), Profile(opening_spread=timedelta(hours=3))),
    "no guard at closing": ("valid past its closing", Safeguard(), Profile(closing_guard=timedelta(minutes=-30))),
    "opt-outs are forgotten": (
        "after an opt-out",
        Safeguard(sql=trigger("new.sms_consent_status := old.sms_consent_status;", "customers")),
        DEFAULT,
    ),
    "reasons are forgotten": (
        "unexplained",
        Safeguard(sql=trigger("new.why := 'no reason'; if new.status = 'failed' then new.last_error := null; end if;")),
        DEFAULT,
    ),
    "sent texts are queued again, or called failed": (
        "doubled",
        Safeguard(
            replaces="smsretry.is_sent",
            sql=trigger(
                """if new.status = 'completed' then
                       new.status := case when new.id::text < '8' then 'pending' else 'failed' end;
                       new.scheduled_for := smsretry.clock() + interval '1 hour';
                       new.last_error := coalesce(new.last_error, 'spoilt');
                   end if;"""
            )
            + """create or replace function smsretry.is_sent(provider_message_id jsonb, status text)
                 returns boolean language sql immutable as 'select false';""",
        ),
        DEFAULT,
    ),
}
"""What is spoilt in the database or in the worker's profile, and what the judge finds then."""
