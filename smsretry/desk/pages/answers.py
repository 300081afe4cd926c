"""The desk's answers as pages: a name for the runs list, one line that says it, and the whole in markdown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smsretry.desk.actions.requests import Cancel, Requeue, Resolve
from smsretry.desk.pages.charts import bars, stacks
from smsretry.desk.pages.form_links import CANCEL, EXPLAIN, REQUEUE, RUN, Forms, levers
from smsretry.desk.pages.markdown import feed, link, linked, listed, page, plain, table
from smsretry.desk.questions.clock import on_clock, span, zone_of
from smsretry.desk.questions.delivery_rates import HourOfDelivery
from smsretry.desk.questions.explanation import Story
from smsretry.desk.questions.forecast import Forecast
from smsretry.desk.questions.queue_status import Standing
from smsretry.desk.questions.records import Change, ChangedRow, Pruned

TOLD: Final = 20
"""Rows of a kind that one page names."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    name: str
    """For the list of runs."""
    message: str
    """The answer in a line."""
    markdown: str
    """All of it."""
    lines: tuple[str, ...] = ()
    """All of it as lines for the log, where the message is not all of it."""


def explained(stories: Sequence[Story], forms: Forms) -> Page:
    """What became of a text, or of a customer's texts."""
    if not stories:
        nothing = "No text is known under that. Check the id; texts that ended long ago are pruned"
        return Page("no text found", nothing, nothing)
    states = Counter(story.text.state.replace("_", " ") for story in stories)
    told = " · ".join(f"{state} {count}" for state, count in states.items())
    number = stories[0].text.number or "no number"
    return Page(
        f"{number}: {told}",
        stories[0].headline,
        page(*(_story(story, forms) for story in stories)),
        tuple(line for story in stories for line in story.lines()),
    )


def _story(story: Story, forms: Forms) -> str:
    text = story.text
    where = [
        feed("text", text.retry_id, f"row {text.retry_id}")
        if text.is_text
        else feed("send-log", text.retry_id, f"scheduled send {text.retry_id}"),
        f"{feed('customer', text.customer_id, f'customer {text.customer_id}')}, {text.number or 'without a number'}",
        f"{feed('business', text.business_id, plain(text.business or 'business'))} {text.business_id}",
    ]
    if text.is_text:
        where.append(f"send log {text.send_log_id}: {plain(story.log_status)}")
    if text.unreadable:
        where.append(f"cannot be read: {plain(', '.join(text.unreadable))}")
    return page(
        f"## {plain(story.headline)}",
        listed(where),
        "**What happened**",
        listed(map(linked, story.happened)),
        f"**Next:** {plain(story.next)}",
        "**You can**" if story.can_do else "",
        listed(levers(story, forms)),
    )


def previewed(forecast: Forecast) -> Page:
    """The hours to come, as a picture and by business."""
    hours = [(f"{hour.starts_at:%H}", hour.texts) for hour in forecast.hours]
    rows = [
        [
            feed("business", one.business_id, str(one.business_id)),
            *map(str, (one.go_out, one.wait_longer, one.held, one.end)),
            "<br>".join(f"{count} × {plain(why)}" for why, count in list(one.why.items())[:5]),
        ]
        for one in forecast.businesses
    ]
    kept = sum(one.wait_longer + one.held + one.end for one in forecast.businesses)
    told = f"{forecast.go_out} go out in the next {len(hours)} h, {kept} do not"
    return Page(
        told,
        told if forecast.complete else f"{told}; not all waiting texts were looked at",
        page(
            f"# {told}",
            f"**Sending is stopped: {plain(forecast.stopped)}. One text of each run tries whether it works again.**"
            if forecast.stopped
            else "",
            "" if forecast.complete else "**Only the first waiting texts were looked at; there are more.**",
            listed(f"cannot be read: {feed('text', row, f'row {row}')}" for row in forecast.unreadable[:TOLD]),
            f"![texts by hour]({bars(hours, title='texts by hour (UTC)')})",
            table(["business", "go out", "wait longer", "held", "end", "why not"], rows) if rows else "No text waits.",
            f"As of {forecast.made_at:%Y-%m-%d %H:%M} UTC. Nothing was changed. Whoever opts out by then gets none.",
        ),
    )


def changed(change: Change, ask: Requeue | Cancel, forms: Forms) -> Page:
    """What a requeue or a cancellation did, or would do; from there it is a step to doing it, and to the next run."""
    would, verb = ("would requeue", "requeued") if isinstance(ask, Requeue) else ("would cancel", "cancelled")
    done = f"{would if ask.dry_run else verb} {change.changed}"
    skipped = sum(change.skipped.values())
    told = f"{done} of {change.matched} that fit" + (f"; {skipped} were left alone" if skipped else "")
    more = change.matched - len(change.sample)
    return Page(
        done,
        told,
        page(
            f"# {told}",
            _what_now(change, ask, forms),
            listed(f"left alone: {count} × {plain(why)}" for why, count in change.skipped.items()),
            listed(f"beware: {count} × {plain(why)}" for why, count in change.warned.items()),
            f"By {plain(ask.who)}: {plain(ask.because)}" if ask.who and ask.because else "",
            "\n".join(map(_changed_row, change.sample)),
            f"And {more} more." if more else "",
        ),
    )


def _changed_row(row: ChangedRow) -> str:
    """As a list within a list, which fits any window."""
    attempts = "1 attempt was counted" if row.attempts == 1 else f"{row.attempts} attempts were counted"
    told = [
        f"{feed('customer', row.customer_id, f'customer {row.customer_id}')}, {row.number or 'without a number'}",
        f"{row.message_class}, {attempts}",
        plain(row.was or ""),
        plain(f"left alone: {row.skipped}" if row.skipped else f"beware: {row.warned}" if row.warned else ""),
    ]
    text = feed("text", row.retry_id, f"row {row.retry_id}")
    return "\n".join([f"- {text}", *(f"    - {one}" for one in told if one)])


def _what_now(change: Change, ask: Requeue | Cancel, forms: Forms) -> str:
    if ask.dry_run:
        again = {"ask": ask.model_dump(mode="json", exclude_unset=True) | {"dry_run": False}}
        form = forms(REQUEUE if isinstance(ask, Requeue) else CANCEL, again)
        return f"**Nothing was changed: it was only tried.** {link('Do it', form)}: run it again with *Only try* off."
    if not (isinstance(ask, Requeue) and change.changed):
        return ""
    told = (
        f"The next run takes what is due, within a minute. {link('Start one now', forms(RUN, {'drain_seconds': 0}))}."
    )
    if change.matched > 1:
        return told
    afterwards = forms(EXPLAIN, {"ask": {"retry_id": str(change.sample[0].retry_id)}})
    return f"{told} {link('See what became of it', afterwards)}."


def resolved(done: bool, ask: Resolve) -> Page:
    """Whether a text in doubt was settled."""
    row = feed("text", ask.retry_id, str(ask.retry_id))
    if not done:
        told = "It is not in doubt, or a worker has it at this moment: explain-sms tells how it stands"
        return Page("nothing to resolve", told, page(f"# {told}", row))
    told = "It goes out again" if ask.send_again else "It is recorded as sent"
    return Page(told.lower(), told, page(f"# {told}", row, f"By {plain(ask.who)}: {plain(ask.because)}"))


def pruned(gone: Pruned, *, keep_days: int, prefect: Sequence[str]) -> Page:
    """What was deleted, and what Prefect itself keeps."""
    done = f"pruned {gone.texts} texts, {gone.attempts} attempts, {gone.runs} runs"
    told = f"{done}: what ended more than {keep_days} days ago"
    about = "Prefect deletes its own runs and events by its settings; nothing there was deleted by this."
    return Page(done, told, page(f"# {told}", "## What Prefect itself keeps", listed(map(plain, prefect)), about))


def standing(now: Standing) -> Page:
    """How things stand. A held line and a stop come first, because they need a person."""
    late = f" · oldest due for {span(now.overdue_seconds)}" if now.overdue_seconds else ""
    stopped = "STOPPED · " if now.sending_stopped else ""
    name = f"{stopped}{now.numbers.replace(', ', ' · ')}{late}"
    bars_of = [(state.replace("_", " "), now.queue[state]) for state in now.STATES if state in now.queue]
    return Page(
        name,
        name,
        page(
            f"# {plain(name)}",
            f"![texts in the queue]({bars(bars_of, title='texts in the queue')})" if bars_of else "",
            listed(map(linked, now.lines())),
            _by_hour(now),
            f"As of {on_clock(now.at, zone_of())} on the database's clock.",
        ),
        tuple(now.lines()),
    )


def _by_hour(now: Standing) -> str:
    """What became of the last day's texts, as a picture and in numbers."""
    if not now.delivery_hours:
        return ""
    title = "texts accepted by hour (UTC): delivered blue, undelivered red, others gray"
    parts = [
        (hour.clock[:2], (hour.delivered, hour.undelivered, hour.open + hour.unknown)) for hour in now.delivery_hours
    ]
    rows = [[hour.clock, str(hour.accepted), *map(str, hour.fates.values())] for hour in now.delivery_hours]
    return page(
        f"![texts accepted by hour]({stacks(parts, title=title)})",
        table(["hour (UTC)", "accepted", *HourOfDelivery.FATES], rows),
    )
