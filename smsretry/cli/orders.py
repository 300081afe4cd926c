"""Commands that change what is queued: requeue, cancel, after-restore, resolve, prune. The first three need --yes."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from smsretry.cli.parsing import Json, fill_form, login_name, parse_id, parse_instant
from smsretry.cli.printing import NOT_FOUND, patient, print_json, print_lines, print_note, print_text
from smsretry.vocabulary import Reason, WhyCode

if TYPE_CHECKING:
    from smsretry.desk.actions.requests import Order
    from smsretry.desk.questions.records import Change


Ended = StrEnum("Ended", ["failed", "cancelled"])  # EndedState and LiveState, as typer takes several of them
Live = StrEnum("Live", ["scheduled", "due", "waiting", "held"])

_Rows = Annotated[
    list[UUID] | None, typer.Option("--row", metavar="ID", parser=parse_id, help="A row; may be repeated.")
]
_Business = Annotated[UUID | None, typer.Option(metavar="ID", parser=parse_id, help="Texts of this business.")]
_Customer = Annotated[UUID | None, typer.Option(metavar="ID", parser=parse_id, help="Texts to this customer.")]
_Code = Annotated[int | None, typer.Option(metavar="N", help="The provider's error code, such as 30003.")]
_Reason = Annotated[
    Reason | None, typer.Option(metavar="REASON", help="Why it waited: quiet_hours, twilio_error or rate_limit.")
]
_Why = Annotated[
    WhyCode | None,
    typer.Option(metavar="CODE", help="Why it ended or waits, in a word, such as expired; `explain` names it."),
]
_Containing = Annotated[str | None, typer.Option(metavar="WORDS", help="Words of its error, or of why it waits.")]
_Since = Annotated[
    datetime | None,
    typer.Option(parser=parse_instant, metavar="WHEN", help="Last changed then or later. A date is its start, in UTC."),
]
_Until = Annotated[
    datetime | None, typer.Option(parser=parse_instant, metavar="WHEN", help="Last changed before then. Likewise.")
]
_Limit = Annotated[int, typer.Option(metavar="N", help="At most so many, the newest first; up to 10000.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without this nothing is changed.")]
_Who = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who does it; your login name by default. Kept with each text.")
]
_Because = Annotated[str | None, typer.Option(metavar="WORDS", help="Why. Needed with --yes; kept with each text.")]


def requeue(
    row: _Rows = None,
    business: _Business = None,
    customer: _Customer = None,
    code: _Code = None,
    reason: _Reason = None,
    why: _Why = None,
    containing: _Containing = None,
    since: _Since = None,
    until: _Until = None,
    state: Annotated[
        list[Ended] | None,
        typer.Option(metavar="STATE", help="failed (the default) or cancelled; may be repeated."),
    ] = None,
    more_attempts: Annotated[int, typer.Option(metavar="N", help="Further sends that each may have, 1 to 100.")] = 3,
    limit: _Limit = 1000,
    yes: _Yes = False,
    who: _Who = None,
    because: _Because = None,
    as_json: Json = False,
) -> None:
    """Put texts that failed back into the queue, due at once. Every check is made again.

    Which texts: those that match everything that is given.
    """
    from smsretry.desk.actions.requests import Requeue

    _change(Requeue, locals())


def cancel(
    row: _Rows = None,
    business: _Business = None,
    customer: _Customer = None,
    code: _Code = None,
    reason: _Reason = None,
    why: _Why = None,
    containing: _Containing = None,
    since: _Since = None,
    until: _Until = None,
    state: Annotated[
        list[Live] | None,
        typer.Option(metavar="STATE", help="scheduled, due, waiting or held; may be repeated. All four by default."),
    ] = None,
    limit: _Limit = 1000,
    yes: _Yes = False,
    who: _Who = None,
    because: _Because = None,
    as_json: Json = False,
) -> None:
    """End texts that wait. What the customer may have already is left alone.

    Which texts: those that match everything that is given.
    """
    from smsretry.desk.actions.requests import Cancel

    _change(Cancel, locals())


def look_again(
    row: _Rows = None,
    business: _Business = None,
    customer: _Customer = None,
    code: _Code = None,
    reason: _Reason = None,
    why: _Why = None,
    containing: _Containing = None,
    since: _Since = None,
    until: _Until = None,
    limit: _Limit = 1000,
    yes: _Yes = False,
    who: _Who = None,
    because: _Because = None,
    as_json: Json = False,
) -> None:
    """Have texts looked at now that wait for something which is fixed. What waits for its hour is left alone.

    Which texts: those that match everything that is given.
    """
    from smsretry.desk.actions.requests import LookAgain

    _change(LookAgain, locals())


def after_restore(
    backup_of: Annotated[
        datetime,
        typer.Option(parser=parse_instant, metavar="WHEN", help="When the backup was taken. UTC unless it says."),
    ],
    limit: _Limit = 1000,
    yes: _Yes = False,
    who: _Who = None,
    because: _Because = None,
    as_json: Json = False,
) -> None:
    """After a restore, before any run: put in doubt the due texts that may have gone out since the backup.

    They are looked for at the provider, not resent. Call it again until it changes none. All others from before the
    restore, scheduled sends too, are looked for before they go out, whenever that is.
    """
    from smsretry.desk.actions.requests import AfterRestore

    _change(AfterRestore, locals())


def resolve(
    retry_id: Annotated[UUID, typer.Argument(metavar="ROW", parser=parse_id, help="Id of the row.")],
    went_out_as: Annotated[
        str | None,
        typer.Option(metavar="SID", help="It went out: the provider's id of the message."),
    ] = None,
    send_again: Annotated[bool, typer.Option("--send-again", help="It did not go out: send it again.")] = False,
    who: _Who = None,
    because: Annotated[
        str | None, typer.Option(metavar="WORDS", help="How you know. Kept with the text; needed for an answer.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what became of a text in doubt. Without an answer, show what was found."""
    from smsretry.desk.actions.requests import Resolve, WhichText
    from smsretry.wiring import desk

    if not (went_out_as or send_again):
        with desk() as connected:
            explanations = connected.explain(WhichText(retry_id=retry_id))
        if not explanations:
            print_note(NOT_FOUND)
            raise typer.Exit(1)
        if as_json:
            print_json(explanations[0])
        else:
            print_lines(explanations[0].lines())
            doubtful = "resolve_sms_doubt" in explanations[0].text.can
            answer = "To answer, add --went-out-as with the message's id, or --send-again, and --because '…'."
            print_text(answer if doubtful else "It is not in doubt: there is nothing to answer.", style="bold")
        return
    given = {"retry_id": retry_id, "went_out_as": went_out_as, "send_again": send_again, "because": because}
    request = fill_form(Resolve, given, who=who or login_name())
    with desk(patience=patient()) as connected:
        resolved = connected.resolve(request)
    if as_json:
        print_json({"retry_id": retry_id, "resolved": resolved})
    elif resolved:
        print_text("It will be sent again, with every check." if send_again else f"Recorded as sent: {went_out_as}.")
    if not resolved:
        print_note("The row is not in doubt, or a worker is looking for it at this moment: try again in a minute.")
        raise typer.Exit(1)


def prune(
    keep_days: Annotated[int, typer.Option(metavar="N", help="Days of finished texts to keep, 7 to 3650.")] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; say what would be deleted.")] = False,
    as_json: Json = False,
) -> None:
    """Delete finished texts, their attempts, and runs that are older than that. What opted out stays so."""
    from smsretry.desk.actions.requests import Prune
    from smsretry.wiring import desk

    request = fill_form(Prune, {"keep_days": keep_days, "dry_run": dry_run})
    with desk(patience=patient()) as connected:
        pruned = connected.prune(request)
    if as_json:
        print_json(pruned)
    else:
        done = "Would delete" if dry_run else "Deleted"
        print_text(f"{done}: texts {pruned.texts}, attempts {pruned.attempts}, runs {pruned.runs}.")


def _change(form: "type[Order]", given: Mapping[str, object]) -> None:
    """Give an order, and print what was changed. Exit code 1 if it is nothing, unless a restore is on record now.

    Args:
        given: the command's options.
    """
    from smsretry.desk.actions.requests import AfterRestore
    from smsretry.wiring import desk

    who = given["who"] or (login_name() if given["yes"] else None)
    order = fill_form(form, given, who=who, dry_run=not given["yes"])
    with desk(patience=patient()) as connected:
        change = connected.order(order)
    on_record = isinstance(order, AfterRestore) and not order.dry_run
    if given["as_json"]:
        print_json({"dry_run": order.dry_run, **change.model_dump(mode="json")})
    else:
        if change.matched or change.skipped:
            _print_change(change, order)
        if on_record:
            kept = "The restore is on record: every text from before it is looked for before it goes out."
            print_text(kept, style="bold")
    if not (change.matched or change.skipped or on_record):
        print_note(
            "No text matches everything that was given. `smsretry explain` shows one text, `smsretry status` the queue."
        )
    if not (change.changed or on_record):
        raise typer.Exit(1)


def _print_change(change: "Change", order: "Order") -> None:
    headline, *lines = change.lines(order.done)
    print_text(headline, style="bold")
    print_lines(lines)
    if change.matched == order.limit:
        print_text(f"These are the newest {order.limit}; there may be more: call again, or --limit.", style="bold")
    if order.dry_run and change.changed:
        print_text("Nothing was changed. To do it, add --yes --because '…'.", style="bold")
