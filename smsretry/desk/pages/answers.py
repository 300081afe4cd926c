"""The desk's answers as pages: a name for the runs list, one line that says it, and the whole in markdown.

Each has the lines that the command line prints, with links.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from smsretry.desk.actions.requests import (
    AfterRestore,
    Cancel,
    LookAgain,
    Order,
    Prune,
    RecordConsent,
    Requeue,
    Resolve,
)
from smsretry.desk.actions.senders import SenderOrder
from smsretry.desk.pages.form_links import (
    AFTER_RESTORE,
    CANCEL,
    EXPLAIN,
    LOOK_AGAIN,
    REQUEUE,
    RUN,
    FormAddress,
    action_links,
)
from smsretry.desk.pages.markdown import link, outline, page, plain
from smsretry.desk.questions.explanation import Explanation
from smsretry.desk.questions.forecast import Forecast
from smsretry.desk.questions.known import NOTHING, Found, Known
from smsretry.desk.questions.queue_status import QueueStatus
from smsretry.desk.questions.records import Change, ConsentRecorded, Pruned
from smsretry.desk.questions.senders import CheckedSender, SenderChanged
from smsretry.desk.questions.state_stops import StateStop
from smsretry.instants import on_clock, span

IDLE: Final = "idle"
"""The name of a scheduled run that found nothing to do."""


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


_FORMS: Final[dict[type[Order], str]] = {
    Requeue: REQUEUE,
    Cancel: CANCEL,
    LookAgain: LOOK_AGAIN,
    AfterRestore: AFTER_RESTORE,
}


def explanation_page(found: Found, forms: FormAddress) -> Page:
    """What became of a text, or of a customer's texts; or what is known where there is none."""
    explanations = found.texts
    if not explanations:
        return _known_page(found.known)
    first = explanations[0]
    states = Counter(one.text.state.replace("_", " ") for one in explanations)
    counts = " · ".join(f"{state} {count}" for state, count in states.items())
    return Page(
        f"{first.text.number or 'no number'}: {counts}",
        first.headline,
        page(*(_explained(one, forms) for one in explanations)),
        tuple(line for one in explanations for line in one.lines()),
    )


def _known_page(known: Sequence[Known]) -> Page:
    if not known:
        return Page("nothing found", NOTHING, NOTHING)
    told = [list(one.lines()) for one in known]
    name = f"no text: a {known[0].kind.replace('_', ' ')}"
    markdown = page(*(page(f"## {plain(headline)}", outline(lines)) for headline, *lines in told))
    return Page(name, told[0][0], markdown, tuple(line for lines in told for line in lines))


def _explained(explanation: Explanation, forms: FormAddress) -> str:
    headline, *lines = explanation.lines()
    heading = f"{explanation.text.number or 'No number'}: {headline}"
    return page(f"## {plain(heading)}", outline(lines, action_links(explanation, forms)))


def preview_page(forecast: Forecast) -> Page:
    """The hours to come, and the businesses."""
    lines = tuple(forecast.lines())
    made = f"As of {on_clock(forecast.made_at)}. Nothing was changed. A customer who opts out before then gets no text."
    return Page(lines[0], lines[0], page(f"# {plain(lines[0])}", outline(lines[1:]), made), lines)


def change_page(change: Change, request: Order, forms: FormAddress) -> Page:
    """What an order about texts did, or would do; it leads to doing it, and to the next run."""
    headline, *lines = change.lines(request.done)
    signed = f"By {plain(request.who)}: {plain(request.because)}" if request.who and request.because else ""
    return Page(
        f"{request.done} {change.changed}" if change.changed else headline[:1].lower() + headline[1:],
        headline,
        page(f"# {plain(headline)}", _next_step(change, request, forms), outline(lines), signed),
        (headline, *lines),
        changed_nothing=not (change.changed or request.dry_run),
    )


def _next_step(change: Change, request: Order, forms: FormAddress) -> str:
    if request.dry_run:
        again = {"ask": request.model_dump(mode="json", exclude_unset=True) | {"dry_run": False}}
        form = forms(_FORMS[type(request)], again)
        return f"**Nothing was changed: it was only tried.** {link('Do it', form)}: run it again with *Only try* off."
    if isinstance(request, AfterRestore):
        return "The restore is on record: every text from before it is looked for before it goes out."
    if isinstance(request, Cancel) or not change.changed:
        return ""
    run = link("Start one now", forms(RUN, {"drain_seconds": 0}))
    text = f"The next run takes what is due, within a minute. {run}."
    if change.matched > 1:
        return text
    afterwards = forms(EXPLAIN, {"ask": {"retry_id": str(change.sample[0].retry_id)}})
    return f"{text} {link('See what became of it', afterwards)}."


def consent_page(recorded: ConsentRecorded, request: RecordConsent, forms: FormAddress) -> Page:
    """What was recorded of a customer's consent; it leads to their texts."""
    lines = tuple(recorded.lines(request.consent))
    said = f"customer {request.customer_id}: {request.consent.replace('_', ' ')}, {request.source}"
    signed = f"By {request.who}: {request.because}"
    texts = link("Their texts", forms(EXPLAIN, {"ask": {"customer_id": str(request.customer_id)}}))
    name = (
        f"{request.consent.replace('_', ' ')} · customers {recorded.customers} · texts cancelled {recorded.cancelled}"
    )
    return Page(
        name, lines[0], page(f"# {plain(name)}", outline([said, *lines, signed]), texts), (said, *lines, signed)
    )


def resolve_page(done: bool, request: Resolve) -> Page:
    """Whether a text in doubt was settled."""
    if not done:
        text = "It is not in doubt, or a worker has it at this moment: explain-sms says which"
        return Page("nothing to resolve", text, page(f"# {text}", outline([f"row {request.retry_id}"])))
    text = "It goes out again" if request.send_again else "It is recorded as sent"
    signed = f"By {request.who}: {request.because}"
    return Page(text.lower(), text, page(f"# {text}", outline([f"row {request.retry_id}", signed])))


def prune_page(pruned: Pruned, request: Prune, *, prefect: str) -> Page:
    """What was deleted, or would be, and what Prefect itself keeps."""
    did = "would prune" if request.dry_run else "pruned"
    done = f"{did} {pruned.texts} texts, {pruned.attempts} attempts, {pruned.runs} runs"
    text = f"{done}: what ended more than {request.keep_days} days ago"
    return Page(done, text, page(f"# {text}", f"Prefect itself keeps {plain(prefect)}; its own settings delete those."))


def state_page(told: StateStop) -> Page:
    """What an order about a state did, or would do."""
    headline, *lines = told.lines()
    signed = [f"Because: {told.because}"] if told.because else []
    word = "lift" if told.lifts else "stop"
    did = f"would {word}" if told.dry_run else "lifted" if told.lifts else "stopped"
    counted = "" if told.texts is None else f" · texts {'' if told.complete else 'at least '}{told.texts}"
    name = (
        f"{did} {told.state}{counted}"
        if told.changed
        else f"{told.state} was {'not' if told.lifts else 'already'} stopped"
    )
    return Page(name, headline, page(f"# {plain(headline)}", outline([*lines, *signed])), (headline, *lines, *signed))


def senders_page(senders: Sequence[CheckedSender]) -> Page:
    """The senders. Those that need somebody come first."""
    in_order = sorted(senders, key=lambda one: not one.troubled)
    troubled = sum(one.troubled for one in senders)
    name = f"senders {len(senders)}{f' · need somebody {troubled}' if troubled else ''}"
    lines = tuple(line for one in in_order for line in one.lines())
    return Page(name, name, page(f"# {plain(name)}", outline(lines)), lines)


def sender_page(changed: SenderChanged, done: str, request: SenderOrder) -> Page:
    """What became of an order about a sender."""
    headline, *lines = changed.lines(done)
    signed = f"By {request.who}: {request.because}"
    released = f" · texts due now {changed.released}" if changed.released else ""
    name = f"{done} sender {changed.sender}{released}"
    return Page(name, headline, page(f"# {plain(headline)}", outline([*lines, signed])), (headline, *lines, signed))


def status_page(status: QueueStatus) -> Page:
    """The state of the queue. A held line and a stop come first, because they need a person."""
    late = f" · oldest due for {span(status.overdue_seconds)}" if status.overdue_seconds else ""
    stopped = "STOPPED · " if status.sending_stopped else ""
    needing = f" · {status.senders_need}" if status.senders_need else ""
    staging = f"{status.staging} · " if status.staging else ""
    name = f"{staging}{stopped}{status.numbers.replace(', ', ' · ')}{late}{needing}"
    lines = tuple(status.lines())
    as_of = f"As of {on_clock(status.at)} on the database's clock."
    return Page(name, name, page(f"# {plain(name)}", outline(lines), as_of), lines)
