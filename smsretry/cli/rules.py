"""The command about the rules: may a text go out to this number now?"""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from smsretry.cli.parsing import Json, flag, parse_instant, read_line, read_number
from smsretry.cli.printing import print_json, print_text
from smsretry.cli.running import now
from smsretry.vocabulary import RuleSet

if TYPE_CHECKING:
    from smsretry.quiet_hours.check import QuietHoursCheck

EXIT_CODES: Final = {"open": 0, "closed": 2, "held": 3, "refused": 3}
"""The exit code of `quiet-hours`, by the answer."""


def quiet_hours(
    phone: Annotated[
        str,
        typer.Argument(
            metavar="NUMBER",
            help="The recipient's number; - reads it from standard input.",
        ),
    ],
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="The customer's time zone, as stored."),
    ] = None,
    business_zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="The business's time zone.")
    ] = None,
    business_hours: Annotated[
        str | None, typer.Option(metavar="HOURS", help="The business's sms_hours.")
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option(
            parser=parse_instant,
            metavar="WHEN",
            help="A date or a date and time, UTC unless it says; now.",
        ),
    ] = None,
    transactional: Annotated[
        bool, flag("--transactional", "Not marketing: no state's rule.")
    ] = False,
    rules: Annotated[
        RuleSet,
        typer.Option(
            envvar="SMSRETRY_QUIET_HOURS_RULES",
            help="The profile: all rules, or 08:00–21:00.",
        ),
    ] = "us_states",
    as_json: Json = False,
) -> None:
    """Explain whether a text may go out, by which rules, and when next."""
    from smsretry.quiet_hours.check import check_quiet_hours
    from smsretry.quiet_hours.explain import explain_hours
    from smsretry.quiet_hours.hours import parse_week

    try:
        business_week = parse_week(business_hours) if business_hours else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--business-hours") from error
    moment = at or now()
    number = read_line(phone)
    # A number in E.164 is checked as it is, even one that nobody may have: then the answer is that it is refused.
    if not re.fullmatch(r"\+[0-9]+", number):
        number = read_number(number)
    check = check_quiet_hours(
        zone,
        at=moment,
        phone=number,
        fallback=business_zone,
        rules=rules,
        message_class="transactional" if transactional else "marketing",
        own_window=business_week,
    )
    if as_json:
        print_json(_as_json(check, at=moment))
    else:
        for line in explain_hours(check, at=moment):
            print_text(line, hang=7)
    raise typer.Exit(EXIT_CODES[check.answer])


def _as_json(check: "QuietHoursCheck", *, at: datetime) -> dict[str, Any]:
    from smsretry.quiet_hours.hours import hours_text

    return {
        "at": at,
        "answer": check.answer,
        "why": check.refused or check.why_held or check.rule,
        "closes_at": check.closes_at,
        "next_send_at": check.next_send_at,
        "zones": {zone.name: zone.origin for zone in check.zones},
        "states": {state.name: state.origin for state in check.states},
        "rules": [
            {
                "id": rule.rule_id,
                "hours": hours_text(rule.week),
                "holidays": rule.calendars,
                "source": rule.source,
            }
            for rule in check.window.rules
        ],
        "cap": check.window.cap.cap_text if check.window.cap else None,
    }
