"""The desk's answers as pages: a name for the runs list, one line that says it, and the whole in markdown.

Each has the lines that the command line prints, with links.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from smsretry.desk.actions.doors import RUN, filled_in
from smsretry.desk.actions.requests import AfterRestore, Cancel, ListTexts, RecordConsent, WhichText
from smsretry.desk.pages.markdown import FormAddress, bars, link, linked, outline, page, plain, table
from smsretry.desk.questions.explanation import Explanation, Found
from smsretry.desk.questions.levers import Lever
from smsretry.desk.questions.queue_status import Need, QueueStatus
from smsretry.desk.questions.records import Answer, Change, ConsentRecorded, Done, Listed, TextLine
from smsretry.instants import on_clock

IDLE: Final = "idle"
"""The name of a scheduled run that found nothing to do."""
_COLORS: Final = {"delivered": "#2e9e5b", "open": "#8fb8de", "unknown": "#b0b0b0", "undelivered": "#d64545"}


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
    """All of it as lines for the log, if the message is not all of it."""
    changed_nothing: bool = False
    """Whether it was an order, and nothing came of it."""

    def told(self) -> dict[str, Any]:
        """For programs."""
        return {"name": self.name, "message": self.message, "lines": self.lines}


def page_of(answer: Answer, forms: FormAddress) -> Page:
    """An answer as a page; it leads to what comes next."""
    headline, *lines = answer.lines()
    match answer:
        case Found():
            markdown = page(*(explained(one, forms) for one in answer.texts)) or outline([headline, *lines])
        case QueueStatus():
            markdown = _status(answer, forms)
        case Listed():
            markdown = page(f"# {plain(headline)}", _texts(answer.texts, forms))
        case Change():
            told = [line for line in lines if line not in {line for row in answer.sample for line in row.lines()}]
            markdown = page(f"# {plain(headline)}", _next(answer, forms), _texts(answer.sample, forms), outline(told))
        case ConsentRecorded(asked=RecordConsent(customer_id=customer)):
            texts = link("Their texts", _form(forms, WhichText, {"customer_id": str(customer)}))
            markdown = page(f"# {plain(headline)}", outline(lines), texts)
        case _:
            markdown = page(f"# {plain(headline)}", outline(lines))
    nothing = isinstance(answer, Done) and answer.changed_nothing
    return Page(answer.name, headline, markdown, (headline, *lines), changed_nothing=nothing)


def _form(forms: FormAddress, form: Any, values: Mapping[str, Any]) -> str | None:
    return forms(*filled_in(form, values))


def lever_link(lever: Lever, forms: FormAddress) -> str | None:
    """The address of a lever's form."""
    return forms(lever.form, lever.ask) if lever.form else None


def action_links(explanation: Explanation, forms: FormAddress) -> dict[str, str]:
    """The address of the form for each action on a text. Actions whose form is not known are left out."""
    addresses = {lever.words: lever_link(lever, forms) for lever in explanation.levers}
    return {words: address for words, address in addresses.items() if address}


def explained(explanation: Explanation, forms: FormAddress) -> str:
    """What became of a text, with a link for each thing that a person can do."""
    headline, *lines = explanation.lines()
    heading = f"{explanation.text.number or 'No number'}: {headline}"
    return page(f"## {plain(heading)}", outline(lines, action_links(explanation, forms)))


def _texts(texts: tuple[TextLine, ...], forms: FormAddress) -> str:
    """Texts, a row each; from each number a link to its story."""
    if not texts:
        return ""
    rows = [
        (
            link(one.number or "no number", _form(forms, WhichText, {"retry_id": str(one.retry_id)})),
            plain(one.business or ""),
            plain(one.state.replace("_", " ")),
            plain(on_clock(one.at)) if one.at else "",
            linked(one.why or ""),
            plain(one.skipped or one.warned or ""),
        )
        for one in texts
    ]
    return table(("number", "business", "state", "when", "why", ""), rows)


def _next(change: Change, forms: FormAddress) -> str:
    """From a trial to doing it, and then to the next run."""
    asked = change.asked
    if asked.dry_run and not isinstance(asked, AfterRestore):
        values = asked.model_dump(mode="json", exclude_unset=True) | {"dry_run": False}
        do_it = link("Do it", _form(forms, type(asked), values))
        return f"**Nothing was changed: it was only tried.** {do_it}: run it again with *Only try* off."
    if isinstance(asked, Cancel | AfterRestore) or not change.changed:
        return ""
    return (
        f"The next run takes what is due, within a minute. {link('Start one now', forms(RUN, {'drain_seconds': 0}))}."
    )


def _status(status: QueueStatus, forms: FormAddress) -> str:
    """What needs somebody, with its lever; then what is due, waits and was sent, and the last day."""

    def listed(which: Mapping[str, Any] | None, words: str) -> str:
        return link(words, _form(forms, ListTexts, which)) if which else plain(words)

    def need(one: Need) -> str:
        """As lines, because Prefect's UI breaks a line of a list and cuts off a wide table."""
        first = f"{plain(one.lever.first)}, then " if one.lever.first else ""
        do = first + link(one.lever.words, lever_link(one.lever, forms))
        texts = listed(one.list, f"texts {one.texts}") if one.texts else ""
        about = [f"**{plain(one.whose)}**" if one.whose else "", texts, status.ago(one.since).strip(" ()")]
        return f"- {', '.join(filter(None, about))}: {linked(one.what)}\n    - {do}"

    needs = [need(one) for one in status.needs()]
    parts = [f"# {plain(status.name)}"]
    if status.mark:
        parts.append(f"The database is marked as {plain(status.mark.name)}.")
    if needs:
        parts += ["## Needs somebody", "\n".join(needs)]
    for title, columns, rows in status.tables():
        cells = []
        for row in rows:
            shown = [linked(cell) for cell in row.cells]
            if row.list:
                shown[1] = listed(row.list, row.cells[1])
            cells.append(shown)
        parts += [f"## {title.capitalize()}", table(columns, cells)]
        if title.startswith("delivery"):
            parts.append(_last_day(status))
    return page(*parts, f"As of {on_clock(status.at)} on the database's clock.")


def _last_day(status: QueueStatus) -> str:
    """The last day's accepted texts, hour by hour."""
    last = status.at.replace(minute=0, second=0, microsecond=0)
    hours = [last - timedelta(hours=ago) for ago in range(23, -1, -1)]
    counted = status.hours
    drawn = [
        (f"{hour:%H}", [(color, counted.get(hour, Counter())[fate]) for fate, color in _COLORS.items()])
        for hour in hours
    ]
    legend = "Accepted by hour (UTC): green arrived, blue not reported yet, grey never reported, red did not arrive."
    return page(bars(drawn, legend), legend)
