"""Commands that ask the desk: one text's story, how things stand, what goes out next."""

import sys
from typing import TYPE_CHECKING, Annotated, Final
from uuid import UUID

import typer

from smsretry.cli.parsing import Json, an_id, filled_in, whole_number_from
from smsretry.cli.printing import NOT_FOUND, note, tell, tell_all, tell_json, width

if TYPE_CHECKING:
    from smsretry.desk.questions.forecast import BusinessAhead, Forecast

_BAR: Final = 40
"""Columns of the longest bar, where there are as many."""


def explain(
    number: Annotated[
        str | None, typer.Argument(metavar="-", help="- reads the number, E.164, from standard input.")
    ] = None,
    customer: Annotated[UUID | None, typer.Option(metavar="ID", parser=an_id, help="Customer: all its texts.")] = None,
    send_log: Annotated[
        UUID | None, typer.Option(metavar="ID", parser=an_id, help="Send log of the application.")
    ] = None,
    row: Annotated[UUID | None, typer.Option(metavar="ID", parser=an_id, help="Row in sms_retry_queue.")] = None,
    business: Annotated[
        UUID | None,
        typer.Option(metavar="ID", parser=an_id, help="Business: narrows the others; needed with --last-digits."),
    ] = None,
    last_digits: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="The last 3 to 6 digits of the number.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many texts, the newest first; up to 50.")] = 10,
    as_json: Json = False,
) -> None:
    """Tell the story of a text: what happened, by which rule, what comes next, and what you can do.

    Say which text in one way.
    """
    from smsretry.desk.actions.requests import WhichText
    from smsretry.wiring import desk

    if number not in (None, "-"):
        raise typer.BadParameter(
            "a number as an argument stays in the shell's history: give - and the number on standard input"
        )
    which = {
        "customer_id": customer,
        "send_log_id": send_log,
        "retry_id": row,
        "business_id": business,
        "last_digits": last_digits,
    }
    if number and any(which.values()):
        raise typer.BadParameter("say which text in one way: - alone, or options")
    ask = None if number else filled_in(WhichText, **which, limit=limit)
    phone = whole_number_from(number) if number else None
    with desk() as asked:
        stories = asked.explain(ask, phone=phone)
    if as_json:
        tell_json(stories)
    for place, story in enumerate([] if as_json else stories):
        headline, *lines = story.lines()
        tell(f"\n{headline}" if place else headline, style="bold")
        tell_all(lines)
    if len(stories) == limit and not as_json:
        tell(f"\nThese are the newest {limit}; there may be more: --limit.", style="bold")
    if not stories:
        note(NOT_FOUND)
        raise typer.Exit(1)


def status(
    as_json: Json = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print gauges in Prometheus' text format; exit code 0.")
    ] = False,
) -> None:
    """Tell how things stand: what is queued and how late, held and for whom, in doubt, stopped; sends and runs."""
    from smsretry.desk.pages.gauges import exposition, gauges
    from smsretry.wiring import desk

    if as_json and prometheus:
        raise typer.BadParameter("give one of --json and --prometheus")
    with desk() as asked:
        standing = asked.status()
    if prometheus:
        sys.stdout.writelines(f"{line}\n" for line in exposition(gauges(standing)))
        return
    needs = standing.needs_somebody
    if as_json:
        tell_json({"needs_somebody": needs, "depth": standing.depth, **standing.model_dump(mode="json")})
    else:
        tell_all(standing.lines())
        if needs:
            tell(f"Needs somebody: {' · '.join(needs)}", style="bold red")
    if needs:
        raise typer.Exit(1)


def preview(
    hours: Annotated[int, typer.Option(metavar="N", help="How far ahead to look, 1 to 168 hours.")] = 24,
    business: Annotated[
        UUID | None, typer.Option(metavar="ID", parser=an_id, help="Only this business's texts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell what goes out in the next hours, what does not, and why. Nothing is claimed or written."""
    from smsretry.desk.actions.requests import Preview
    from smsretry.wiring import desk

    ask = filled_in(Preview, hours=hours, business_id=business)
    with desk() as asked:
        ahead = asked.preview(ask)
    if as_json:
        tell_json({"go_out": ahead.go_out, **ahead.model_dump(mode="json")})
        return
    tell(f"In the next {hours} hours {_texts(ahead.go_out)} {'goes' if ahead.go_out == 1 else 'go'} out.", style="bold")
    if ahead.stopped:
        stopped = f"Sending is stopped: {ahead.stopped}. One text of each run tries whether it works again."
        tell(stopped, style="bold red")
    _draw(ahead)
    for one in ahead.businesses:
        _tell_business(one)
    for row in ahead.unreadable:
        tell(f"cannot be read: row {row}", style="yellow")
    if not ahead.complete:
        tell("More texts wait than a preview looks at: those that are due last are not in it.", style="yellow")


def _draw(ahead: "Forecast") -> None:
    """A bar an hour. Hours without a text are drawn once, in the place of all that follow each other."""
    most = max((hour.texts for hour in ahead.hours), default=0)
    room = min(_BAR, (width() or 80) - 32)
    idle = 0
    for hour in ahead.hours:
        if not hour.texts:
            idle += 1
            continue
        _pass(idle)
        idle = 0
        bar = "█" * max(1, round(hour.texts / most * room))
        tell(f"  from {hour.starts_at:%a %d %b %H:%M} UTC  {bar} {hour.texts}")
    if most:
        _pass(idle)


def _pass(hours: int) -> None:
    if hours:
        tell(f"  {'· ' * min(hours, 12)}{hours} h without a text")


def _tell_business(one: "BusinessAhead") -> None:
    tell(f"business {one.business_id}")
    numbers = {"go out": one.go_out, "wait longer": one.wait_longer, "held": one.held, "end": one.end}
    tell("  " + ", ".join(f"{name} {texts}" for name, texts in numbers.items() if texts))
    tell_all(f"  {texts}: {why}" for why, texts in one.why.items())
    if one.why_codes:
        tell("  why: " + ", ".join(f"{code} {texts}" for code, texts in one.why_codes.items()))


def _texts(number: int) -> str:
    return f"{number} text" if number == 1 else f"{number} texts"
