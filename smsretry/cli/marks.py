"""The command that says what a database is: production, in this one place; staging; or neither."""

from enum import StrEnum
from typing import Annotated

import typer

from smsretry.cli.parsing import Json, fill_form, login_name
from smsretry.cli.printing import patient, print_json, print_text

Kind = StrEnum("Kind", ["production", "staging", "none"])


def mark(
    kind: Annotated[Kind, typer.Argument(metavar="KIND", help="production, staging, or none to take the mark away.")],
    because: Annotated[str, typer.Option(metavar="WORDS", help="Why. Kept with the mark.")],
    who: Annotated[str | None, typer.Option(metavar="NAME", help="Who says so; your login name by default.")] = None,
    as_json: Json = False,
) -> None:
    """Say what this database is, so that no copy of production texts its customers.

    From a database that is marked as production, workers text everybody only if their SUPABASE_URL has the address
    that it has here and now. From one that is marked as staging, none does.
    """
    from smsretry.desk.actions.marks import MarkDatabase
    from smsretry.settings import load_settings
    from smsretry.wiring import desk

    given = {"kind": None if kind is Kind.none else kind.value, "because": because}
    request = fill_form(MarkDatabase, given, who=who or login_name())
    settings = load_settings()
    with desk(settings, patience=patient()) as connected:
        connected.mark(request)
    place = settings.address if kind is Kind.production else None
    if as_json:
        print_json({"kind": request.kind, "address": place})
        return
    told = {
        Kind.production: f"The database is production at {place}. Anywhere else, nobody is texted from it.",
        Kind.staging: "The database is staging: only workers with SMSRETRY_SEND_TO=listed text anybody from it.",
        Kind.none: "The database is not marked: each worker's SMSRETRY_SEND_TO alone decides.",
    }
    print_text(told[kind])
