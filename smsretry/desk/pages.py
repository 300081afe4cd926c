"""The desk's answers as pages: a name for the runs list, one line that says it, and the whole in markdown."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from smsretry.desk.asks import Resolve, WhichTexts
from smsretry.desk.clock import on_clock, span, zone_of
from smsretry.desk.foresight import Forecast
from smsretry.desk.markdown import feed, linked, listed, page, plain, table
from smsretry.desk.picture import bars
from smsretry.desk.records import Change, Pruned
from smsretry.desk.standing import Standing
from smsretry.desk.story import Story


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    name: str
    """For the list of runs."""
    message: str
    """The answer in a line."""
    markdown: str
    """All of it."""


def explained(stories: Sequence[Story]) -> Page:
    """What became of a text, or of a customer's texts."""
    if not stories:
        nothing = "No text is known under that. Check the id; texts that ended long ago are pruned"
        return Page("no text found", nothing, nothing)
    states = Counter(story.text.state.replace("_", " ") for story in stories)
    told = " · ".join(f"{state} {count}" for state, count in states.items())
    number = stories[0].text.number or "no number"
    return Page(f"{number}: {told}", stories[0].headline, page(*map(_story, stories)))


def _story(story: Story) -> str:
    text = story.text
    where = [
        feed("text", text.retry_id, f"row {text.retry_id}")
        if text.is_text
        else feed("send-log", text.retry_id, f"scheduled send {text.retry_id}"),
        f"{feed('customer', text.customer_id, f'customer {text.customer_id}')}, {text.number or 'without a number'}",
        f"{feed('business', text.business_id, plain(text.business or 'business'))} {text.business_id}",
    ]
    if text.is_text:
        where.append(f"send log {text.send_log_id}: {plain(text.send_log_status or 'it is gone')}")
    return page(
        f"## {plain(story.headline)}",
        listed(where),
        "**What happened**",
        listed(map(linked, story.happened)),
        f"**Next:** {plain(story.next)}",
        "**You can**" if story.can_do else "",
        listed(map(linked, story.can_do)),
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
            "" if forecast.complete else "**Only the first waiting texts were looked at; there are more.**",
            f"![texts by hour]({bars(hours, title='texts by hour (UTC)')})",
            table(["business", "go out", "wait longer", "held", "end", "why not"], rows) if rows else "No text waits.",
            f"As of {forecast.made_at:%Y-%m-%d %H:%M} UTC. Nothing was changed. A daily cap is not foreseen.",
        ),
    )


def changed(change: Change, ask: WhichTexts, *, verb: str, would: str) -> Page:
    """What a requeue or a cancellation did, or would do."""
    done = f"{would} {change.changed}" if ask.dry_run else f"{verb} {change.changed}"
    skipped = sum(change.skipped.values())
    told = f"{done} of {change.matched} that fit" + (f"; {skipped} were left alone" if skipped else "")
    rows = [
        [
            feed("text", row.retry_id, str(row.retry_id)),
            feed("customer", row.customer_id, str(row.customer_id)),
            row.number or "none",
            row.message_class,
            str(row.attempts),
            plain(row.was or ""),
            plain(row.skipped or row.warned or ""),
        ]
        for row in change.sample
    ]
    headings = ["text", "customer", "number", "class", "attempts", "was", "note"]
    return Page(
        done,
        told,
        page(
            f"# {told}",
            "**Nothing was changed: it was only tried.** Run it again with *Only try* off." if ask.dry_run else "",
            listed(f"left alone: {count} × {plain(why)}" for why, count in change.skipped.items()),
            listed(f"beware: {count} × {plain(why)}" for why, count in change.warned.items()),
            f"By {plain(ask.who)}: {plain(ask.because)}" if ask.who and ask.because else "",
            table(headings, rows) if rows else "",
        ),
    )


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
    late = f" · oldest due since {span(now.overdue_seconds)}" if now.overdue_seconds else ""
    stopped = "STOPPED · " if now.stopped else ""
    name = f"{stopped}{now.numbers.replace(', ', ' · ')}{late}"
    bars_of = [(state.replace("_", " "), now.queue[state]) for state in now.STATES if state in now.queue]
    return Page(
        name,
        name,
        page(
            f"# {plain(name)}",
            f"![texts in the queue]({bars(bars_of, title='texts in the queue')})" if bars_of else "",
            listed(map(linked, now.lines())),
            f"As of {on_clock(now.at, zone_of())} on the database's clock.",
        ),
    )
