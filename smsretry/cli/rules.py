"""Commands about rules and consent: may a text go out, which states are stopped, who opted out."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from smsretry.cli.parsing import Json, parse_id, parse_instant, read_number, read_valid_number
from smsretry.cli.printing import patient, print_json, print_lines, print_text
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
        str, typer.Argument(metavar="NUMBER", help="The recipient's number, E.164; - reads it from standard input.")
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
    moment = at or now()
    check = check_quiet_hours(
        zone,
        at=moment,
        phone=read_number(phone),
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
    as_json: Json = False,
) -> None:
    """Let no marketing text go to a US state, from the next run on, until the stop is lifted."""
    from smsretry.quiet_hours.rules import US_STATES
    from smsretry.wiring import operators

    state = state.upper()
    if state not in US_STATES:
        raise typer.BadParameter(f"{state} is no US state; give two letters such as LA")
    if lift is (because is not None):
        raise typer.BadParameter("say --because '…' to stop, or --lift")
    with operators(patience=patient()) as connected:
        connected.set_state_stop(state, because)
    if as_json:
        print_json({"state": state, "stopped": not lift, "because": because})
    else:
        print_text(f"Marketing texts to {state} {'go again' if lift else 'wait until the stop is lifted'}.")


def consent(
    phone: Annotated[str, typer.Argument(metavar="NUMBER", help="The number, E.164; - reads it from standard input.")],
    opt_out: Annotated[bool, typer.Option("--opt-out/--opt-in", help="They said stop, or they said yes.")],
    source: Annotated[str, typer.Option(metavar="WORDS", help="How that is known, such as 'telephone 2026-11-24'.")],
    business: Annotated[
        UUID | None, typer.Option(metavar="ID", parser=parse_id, help="Its id; without one, an opt-out is from all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Record that a person opted out, or in, by number; an opt-out cancels the texts that wait for them."""
    from smsretry.wiring import operators

    number = read_valid_number(phone)
    if not (opt_out or business):
        raise typer.BadParameter("--opt-in needs --business: consent is given to one business")
    with operators(patience=patient()) as connected:
        recorded = connected.record_consent(
            number, consent="opted_out" if opt_out else "opted_in", source=source, business_id=business
        )
    if as_json:
        print_json(recorded)
        return
    print_text(f"Customers with this number: {recorded.customers}; waiting texts cancelled: {recorded.cancelled}.")
    if recorded.unmarked:
        print_text(
            f"Not marked yet, because somebody holds their rows locked: {recorded.unmarked}. No text goes out to them. "
            "Give the same command again later."
        )
    if not opt_out:
        print_text("If they had texted STOP, the provider still refuses: they must text START to your number.")
