"""Commands about rules and consent: may a text go out, which states are stopped, who opted out."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

import typer

from smsretry.cli.parsing import Json, fill_form, login_name, parse_id, parse_instant, read_line, read_number
from smsretry.cli.printing import patient, print_json, print_lines
from smsretry.cli.running import now
from smsretry.vocabulary import RuleSet

if TYPE_CHECKING:
    from smsretry.quiet_hours.check import QuietHoursCheck

CLOSED: Final = 2
"""Exit code of `quiet-hours`: not now, but later."""
NEVER: Final = 3
"""Exit code of `quiet-hours`: never to this number, or not before a person has looked."""


def quiet_hours(
    phone: Annotated[
        str, typer.Argument(metavar="NUMBER", help="The recipient's number; - reads it from standard input.")
    ],
    zone: Annotated[str | None, typer.Option(metavar="ZONE", help="The customer's time zone, as stored.")] = None,
    business_zone: Annotated[str | None, typer.Option(metavar="ZONE", help="The business's time zone.")] = None,
    business_hours: Annotated[str | None, typer.Option(metavar="HOURS", help="The business's sms_hours.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option(parser=parse_instant, metavar="WHEN", help="A date or a date and time, UTC unless it says; now."),
    ] = None,
    transactional: Annotated[bool, typer.Option("--transactional", help="Not marketing: no state's rule.")] = False,
    rules: Annotated[
        RuleSet, typer.Option(envvar="SMSRETRY_QUIET_HOURS_RULES", help="The profile: all rules, or 08:00–21:00.")
    ] = "us_states",
    as_json: Json = False,
) -> None:
    """Explain whether a text may go out, by which rules, and when next; and draw the recipient's week."""
    from smsretry.quiet_hours.check import check_quiet_hours
    from smsretry.quiet_hours.explain import explain
    from smsretry.quiet_hours.hours import parse_week

    try:
        own = parse_week(business_hours) if business_hours else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--business-hours") from error
    moment, number = at or now(), read_line(phone)
    check = check_quiet_hours(
        zone,
        at=moment,
        phone=number if re.fullmatch(r"\+[0-9]+", number) else read_number(number, zone=business_zone or zone),
        fallback=business_zone,
        rules=rules,
        message_class="transactional" if transactional else "marketing",
        own_window=own,
    )
    if as_json:
        print_json(_answer(check, at=moment))
    else:
        print_lines(explain(check, at=moment), hang=7)
    raise typer.Exit(0 if check.can_send else NEVER if check.refused or check.held else CLOSED)


def _answer(check: "QuietHoursCheck", *, at: datetime) -> dict[str, Any]:
    from smsretry.quiet_hours.hours import hours_text

    return {
        "at": at.isoformat(),
        "answer": "open" if check.can_send else "refused" if check.refused else "held" if check.held else "closed",
        "why": check.refused or check.held or check.rule,
        "closes_at": check.closes_at.isoformat() if check.closes_at else None,
        "next_send_at": check.next_send_at.isoformat() if check.next_send_at else None,
        "zones": {zone.name: zone.origin for zone in check.zones},
        "states": {state.name: state.origin for state in check.states},
        "notes": check.notes,
        "rules": [
            {"id": rule.rule_id, "hours": hours_text(rule.week), "holidays": rule.calendars, "source": rule.source}
            for rule in check.window.rules
        ],
        "cap": check.window.cap.cap_text if check.window.cap else None,
    }


def stop(
    state: Annotated[str, typer.Argument(metavar="STATE", help="Two letters, such as LA.")],
    because: Annotated[str | None, typer.Option(metavar="WORDS", help="The declared emergency.")] = None,
    lift: Annotated[bool, typer.Option("--lift", help="Let texts go there again.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; say how many of the texts that wait it concerns.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Let no marketing text go to a US state, from the next run on, until the stop is lifted."""
    from smsretry.desk.actions.states import LiftState, StopState
    from smsretry.wiring import desk

    if lift is (because is not None):
        raise typer.BadParameter("say --because '…' to stop, or --lift")
    given = {"state": state, "because": because, "dry_run": dry_run}
    order = fill_form(LiftState, given) if lift else fill_form(StopState, given)
    with desk(patience=patient()) as connected:
        told = connected.order_state(order)
    if as_json:
        print_json(told)
    else:
        print_lines(told.lines())


def consent(
    source: Annotated[str, typer.Option(metavar="WORDS", help="How that is known, such as 'telephone 2026-11-24'.")],
    opt_out: Annotated[bool, typer.Option("--opt-out", help="They said stop.")] = False,
    opt_in: Annotated[bool, typer.Option("--opt-in", help="They said yes.")] = False,
    unchanged: Annotated[bool, typer.Option("--unchanged", help="A text that may mean stop means neither.")] = False,
    phone: Annotated[
        str | None, typer.Argument(metavar="NUMBER", help="The number, E.164; - reads it from standard input.")
    ] = None,
    customer: Annotated[
        UUID | None,
        typer.Option(metavar="ID", parser=parse_id, help="In place of the number: a customer, at their business."),
    ] = None,
    business: Annotated[
        UUID | None, typer.Option(metavar="ID", parser=parse_id, help="Its id; without one, an opt-out is from all.")
    ] = None,
    who: Annotated[
        str | None, typer.Option(metavar="NAME", help="With --customer: who records it; your login name by default.")
    ] = None,
    because: Annotated[
        str | None, typer.Option(metavar="WORDS", help="With --customer: what they said. Kept with their texts.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Record that a person opted out, or in, by number or customer; an opt-out cancels the texts that wait for them."""
    from smsretry.desk.actions.requests import RecordConsent
    from smsretry.wiring import operators

    if (phone is None) is (customer is None):
        raise typer.BadParameter("say who in one way: a number (- reads it from standard input), or --customer")
    if customer is None and (who or because):
        raise typer.BadParameter("--who and --because go with --customer; with a number, --source says it all")
    if customer and business:
        raise typer.BadParameter("--customer has a business already: leave --business out")
    if opt_in and not (business or customer):
        raise typer.BadParameter("--opt-in needs --business: consent is given to one business")
    if opt_out + opt_in + unchanged != 1:
        raise typer.BadParameter("say one of --opt-out, --opt-in and --unchanged")
    said: Literal["opted_in", "opted_out", "unchanged"] = (
        "opted_out" if opt_out else "opted_in" if opt_in else "unchanged"
    )
    form = None
    if customer:
        given = {"customer": customer, "consent": said, "source": source, "because": because}
        form = fill_form(RecordConsent, given, who=who or login_name())
    number = read_number(phone) if phone else ""
    with operators(patience=patient()) as connected:
        if form:
            recorded = connected.record_consent_of(form)
        else:
            recorded = connected.record_consent(number, consent=said, source=source, business_id=business)
    if as_json:
        print_json(recorded)
    else:
        print_lines(recorded.lines(said))
