"""The command about the rules: may a text go out to this number now?"""

import os
import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import AfterValidator, Field

from smsretry.cli.running import now
from smsretry.desk.actions.form import POSITIONAL, Moment, Question
from smsretry.desk.questions.answers import Answer
from smsretry.vocabulary import RuleSet
from smsretry.written_numbers import read_phone

if TYPE_CHECKING:
    from smsretry.quiet_hours.check import QuietHoursCheck

EXIT_CODES: Final = {"open": 0, "closed": 2, "held": 3, "refused": 3}
"""The exit code of `quiet-hours`, by the answer."""


def _read_number(number: str) -> str:
    # In E.164 it is checked as it is, even one that nobody may have: then the answer is that it is refused.
    return number if re.fullmatch(r"\+[0-9]+", number) else read_phone(number)


def _check_hours(hours: str) -> str:
    from smsretry.quiet_hours.hours import parse_week

    parse_week(hours)
    return hours


class AskHours(Question):
    """Explain whether a text may go out, by which rules, and when next."""

    number: Annotated[str, POSITIONAL, AfterValidator(_read_number)] = Field(
        description="The recipient's number; - reads it from standard input."
    )
    zone: str | None = Field(None, description="The customer's time zone, as stored.")
    business_zone: str | None = Field(None, description="The business's time zone.")
    business_hours: Annotated[str, AfterValidator(_check_hours)] | None = Field(
        None, description="The business's sms_hours."
    )
    at: Moment | None = Field(
        None, description="A date or a date and time, UTC unless it says; now."
    )
    transactional: bool = Field(False, description="Not marketing: no state's rule.")
    rules: RuleSet = Field(
        default_factory=lambda: os.environ.get(
            "SMSRETRY_QUIET_HOURS_RULES", "us_states"
        ),
        description="All rules, or 08:00–21:00; SMSRETRY_QUIET_HOURS_RULES by default.",
        validate_default=True,
    )


class HoursAnswer(Answer):
    """Whether a text may go out, and why."""

    at: datetime
    check: Any
    """A `QuietHoursCheck`."""

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.check.answer]

    def tell(self) -> Iterator[str]:
        from smsretry.quiet_hours.explain import explain_hours

        return explain_hours(self.check, at=self.at)

    def to_dict(self) -> dict[str, Any]:
        from smsretry.quiet_hours.hours import hours_text

        check: QuietHoursCheck = self.check
        fields = ("answer", "rule", "refused", "why_held", "closes_at", "next_send_at")
        rules = check.window.rules
        return {
            "at": self.at,
            **{name: getattr(check, name) for name in fields},
            "zones": {zone.name: zone.origin for zone in check.zones},
            "states": {state.name: state.origin for state in check.states},
            "rules": {rule.rule_id: hours_text(rule.week) for rule in rules},
        }


def answer_hours(form: AskHours) -> HoursAnswer:
    """Check the quiet hours."""
    from smsretry.quiet_hours.check import check_quiet_hours
    from smsretry.quiet_hours.hours import parse_week

    at = form.at or now()
    check = check_quiet_hours(
        form.zone,
        at=at,
        phone=form.number,
        fallback=form.business_zone,
        rules=form.rules,
        message_class="transactional" if form.transactional else "marketing",
        own_window=parse_week(form.business_hours) if form.business_hours else None,
    )
    return HoursAnswer(at=at, check=check)
