"""Commands that ask the desk: what became of a text, the state of the queue, what goes out next."""

import re
import sys
from typing import Annotated
from uuid import UUID

import typer

from smsretry.cli.parsing import Json, fill_form, parse_id, read_number
from smsretry.cli.printing import print_json, print_lines, print_note, print_text

_Id = UUID | None


def explain(
    number: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Any id; or -, which reads a number from standard input.")
    ] = None,
    customer: Annotated[_Id, typer.Option(metavar="ID", parser=parse_id, help="Customer: all its texts.")] = None,
    send_log: Annotated[_Id, typer.Option(metavar="ID", parser=parse_id, help="Send log of the application.")] = None,
    row: Annotated[_Id, typer.Option(metavar="ID", parser=parse_id, help="Row in sms_retry_queue.")] = None,
    business: Annotated[
        _Id,
        typer.Option(metavar="ID", parser=parse_id, help="Business: narrows the others; needed with --last-digits."),
    ] = None,
    last_digits: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="The last 3 to 6 digits of the number.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="At most so many texts, the newest first; up to 50.")] = 10,
    as_json: Json = False,
) -> None:
    """Explain a text: what happened, by which rule, what comes next, and what you can do.

    Say which text in one way. An id is found whichever kind it is of. Where the queue has no text, say what is known:
    the application sent it itself, the customer had none.
    """
    from smsretry.desk.actions.requests import WhichText
    from smsretry.desk.questions.known import NOTHING
    from smsretry.wiring import reading_desk

    which = {"customer": customer, "send_log": send_log, "row": row, "business": business, "last_digits": last_digits}
    if number and any(which.values()):
        raise typer.BadParameter("say which text in one way: an id or - alone, or options")
    from_input = number == "-"
    any_id = _any_id(number) if number and not from_input else None
    request = None if from_input else fill_form(WhichText, {**which, "id": any_id, "limit": limit})
    phone = read_number("-") if from_input else None
    with reading_desk() as connected:
        found = connected.find(request, phone=phone)
    told = [list(one.lines()) for one in found.texts] or [list(one.lines()) for one in found.known]
    if as_json:
        print_json([*found.texts, *({"text": None, "headline": one.headline, "known": one} for one in found.known)])
    else:
        for place, (headline, *lines) in enumerate(told):
            print_text(f"\n{headline}" if place else headline, style="bold")
            print_lines(lines)
        if len(found.texts) == limit:
            print_text(f"\nThese are the newest {limit}; there may be more: --limit.", style="bold")
    if not told:
        print_note(NOTHING)
    if not found.answers:
        raise typer.Exit(1)


def _any_id(text: str) -> UUID:
    if not re.search("[A-Za-z]", text) and len(text) < 32:
        raise typer.BadParameter(
            "a number as an argument stays in the shell's history: give - and the number on standard input"
        )
    return parse_id(text)


def status(
    as_json: Json = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print gauges in Prometheus' text format; exit code 0.")
    ] = False,
) -> None:
    """Show the queue: what waits and how late, what is held and for whom, in doubt or stopped; sends and runs."""
    from smsretry.desk.pages.gauges import exposition, gauges
    from smsretry.wiring import reading_desk

    if as_json and prometheus:
        raise typer.BadParameter("give one of --json and --prometheus")
    with reading_desk() as connected:
        queue = connected.status()
    if prometheus:
        sys.stdout.writelines(f"{line}\n" for line in exposition(gauges(queue)))
        return
    needs = queue.needs_somebody
    if as_json:
        print_json({"needs_somebody": needs, "depth": queue.depth, **queue.model_dump(mode="json")})
    else:
        print_lines(queue.lines())
        if needs:
            print_text(f"Needs somebody: {' · '.join(needs)}", style="bold red")
    if needs:
        raise typer.Exit(1)


def preview(
    hours: Annotated[int, typer.Option(metavar="N", help="How far ahead to look, 1 to 168 hours.")] = 24,
    business: Annotated[_Id, typer.Option(metavar="ID", parser=parse_id, help="Only this business's texts.")] = None,
    as_json: Json = False,
) -> None:
    """Show what goes out in the next hours, what does not, and why. Nothing is claimed or written."""
    from smsretry.desk.actions.requests import Preview
    from smsretry.wiring import reading_desk

    request = fill_form(Preview, {"hours": hours, "business": business})
    with reading_desk() as connected:
        forecast = connected.preview(request)
    if as_json:
        print_json({"go_out": forecast.go_out, **forecast.model_dump(mode="json")})
        return
    headline, *lines = forecast.lines()
    print_text(headline, style="bold")
    print_lines(lines)
