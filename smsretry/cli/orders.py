"""Commands that change what is queued: requeue, cancel, doubt, resolve, prune. The first three need --yes."""

import getpass
from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from smsretry.cli.changes import tell_change
from smsretry.cli.parsing import Json, an_id, filled_in, instant
from smsretry.cli.printing import NOT_FOUND, note, tell, tell_all, tell_json
from smsretry.vocabulary import Reason, WhyCode

Ended = StrEnum("Ended", ["failed", "cancelled"])  # EndedState and LiveState, as typer takes several of them
Live = StrEnum("Live", ["scheduled", "due", "waiting", "held"])

_Rows = Annotated[list[UUID] | None, typer.Option("--row", metavar="ID", parser=an_id, help="A row; may be repeated.")]
_Business = Annotated[UUID | None, typer.Option(metavar="ID", parser=an_id, help="Texts of this business.")]
_Customer = Annotated[UUID | None, typer.Option(metavar="ID", parser=an_id, help="Texts to this customer.")]
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
    typer.Option(parser=instant, metavar="WHEN", help="Last changed then or later. A date is its start, in UTC."),
]
_Until = Annotated[
    datetime | None, typer.Option(parser=instant, metavar="WHEN", help="Last changed before then. Likewise.")
]
_Limit = Annotated[int, typer.Option(metavar="N", help="At most so many, the newest first; up to 10000.")]
_Yes = Annotated[bool, typer.Option("--yes", help="Do it. Without this nothing is changed.")]
_Who = Annotated[
    str | None, typer.Option(metavar="NAME", help="Who does it; your login name by default. Kept with each text.")
]
_RESTORED = "The restore is on record: every text from before it is looked for at the provider before it goes out."
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

    Which texts: all that fit everything that is given.
    """
    from smsretry.desk.actions.requests import Requeue
    from smsretry.wiring import desk

    ask = filled_in(
        Requeue,
        retry_ids=row,
        business_id=business,
        customer_id=customer,
        code=code,
        reason=reason,
        why_code=why,
        containing=containing,
        since=since,
        until=until,
        states=[one.value for one in state or []],
        more_attempts=more_attempts,
        limit=limit,
        dry_run=not yes,
        who=_somebody(who) if yes else who,
        because=because,
    )
    with desk() as asked:
        tell_change(asked.requeue(ask), limit=limit, done="requeued", did=yes, as_json=as_json)


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
    """End texts that wait. What may be with the customer already is left alone.

    Which texts: all that fit everything that is given.
    """
    from smsretry.desk.actions.requests import Cancel
    from smsretry.wiring import desk

    ask = filled_in(
        Cancel,
        retry_ids=row,
        business_id=business,
        customer_id=customer,
        code=code,
        reason=reason,
        why_code=why,
        containing=containing,
        since=since,
        until=until,
        states=[one.value for one in state or []],
        limit=limit,
        dry_run=not yes,
        who=_somebody(who) if yes else who,
        because=because,
    )
    with desk() as asked:
        tell_change(asked.cancel(ask), limit=limit, done="cancelled", did=yes, as_json=as_json)


def doubt(
    since: Annotated[
        datetime, typer.Option(parser=instant, metavar="WHEN", help="When the backup was taken. UTC unless it says.")
    ],
    limit: _Limit = 1000,
    yes: _Yes = False,
    who: _Who = None,
    because: _Because = None,
    as_json: Json = False,
) -> None:
    """After the database was restored, and before a run: look for what may have gone out since, and do not resend it.

    Texts that are due are put in doubt: call it again until it changes none. All others from before the restore,
    scheduled sends too, are looked for before they go out, whenever that is.
    """
    from smsretry.desk.actions.requests import Doubt
    from smsretry.wiring import desk

    signed = {"dry_run": not yes, "who": _somebody(who) if yes else who, "because": because}
    ask = filled_in(Doubt, since=since, limit=limit, **signed)
    with desk() as asked:
        tell_change(asked.doubt(ask), limit=limit, done="put in doubt", did=yes, as_json=as_json, on_record=_RESTORED)


def resolve(
    retry_id: Annotated[UUID, typer.Argument(metavar="ROW", parser=an_id, help="Id of the row.")],
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
        with desk() as asked:
            stories = asked.explain(WhichText(retry_id=retry_id))
        if not stories:
            note(NOT_FOUND)
            raise typer.Exit(1)
        if as_json:
            tell_json(stories[0])
        else:
            tell_all(stories[0].lines())
            doubtful = "resolve_sms_doubt" in stories[0].text.can
            answer = "To answer, add --went-out-as with the message's id, or --send-again, and --because '…'."
            tell(answer if doubtful else "It is not in doubt: there is nothing to answer.", style="bold")
        return
    ask = filled_in(
        Resolve, retry_id=retry_id, went_out_as=went_out_as, send_again=send_again, who=_somebody(who), because=because
    )
    with desk() as asked:
        resolved = asked.resolve(ask)
    if as_json:
        tell_json({"retry_id": retry_id, "resolved": resolved})
    elif resolved:
        tell("It will be sent again, with every check." if send_again else f"Recorded as sent: {went_out_as}.")
    if not resolved:
        note("The row is not in doubt, or a worker is looking for it at this moment: try again in a minute.")
        raise typer.Exit(1)


def prune(
    keep_days: Annotated[int, typer.Option(metavar="N", help="Days of finished texts to keep, 7 to 3650.")] = 90,
    as_json: Json = False,
) -> None:
    """Delete finished texts, their attempts, and runs that are older than that. What opted out stays so."""
    from smsretry.desk.actions.requests import Prune
    from smsretry.wiring import desk

    ask = filled_in(Prune, keep_days=keep_days)
    with desk() as asked:
        pruned = asked.prune(ask)
    if as_json:
        tell_json(pruned)
    else:
        tell(f"Deleted: texts {pruned.texts}, attempts {pruned.attempts}, runs {pruned.runs}.")


def _somebody(who: str | None) -> str:
    if who:
        return who
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        raise typer.BadParameter("this account has no login name: say --who") from None
