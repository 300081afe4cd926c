"""Twilio's error codes, and what each means for a text.

The table is `data/twilio_errors.tsv`: code, HTTP status, name, level, kind, whether one refusal of the account proves
that it is the account and not this destination, what the code says of the number, the source of each row, and for some
what to do, or another kind where the sender is toll-free. Twilio publishes no retryability flag; the kinds are ours,
from Twilio's causes and solutions.

Twilio adds codes without notice, and splits old ones. A refusal whose code is not in the table is more likely about the
account, the sender or the destination than about one text, so it holds the text until somebody has looked.

Only codes about a recipient have a `phone_status`. What concerns the account, the sender or the text says nothing about
a number. Some of the codes come after Twilio accepted a text, when a carrier did not deliver it (`delivery_time`).
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final, Literal, cast

from smsretry.data import refused_area_codes, table
from smsretry.desk.questions.remedies import CodeMeaning
from smsretry.errors import InputError
from smsretry.retry.delivery import FAILURES, DeliveryReport
from smsretry.retry.outcome import Refusal, RefusalKind, RefusalLevel
from smsretry.vocabulary import DeliveryStatus

_PAGE: Final = "https://www.twilio.com/docs/api/errors/{}"
"""Twilio has a page for each of its codes."""
_PASSING: Final = ("refused_for_now", "rate_limited", "day_spent", "quiet_hours")
_ABOUT: Final[dict[int, Literal["country", "number"]]] = {
    21408: "country",
    21606: "country",
    21608: "number",
    21657: "country",
    21659: "country",
    21703: "country",
}
"""The destination that a code is about, of those that may not concern the whole account."""
_TO_DO: Final[dict[RefusalLevel, str]] = {
    "account": "Fix the account with the provider (`smsretry doctor`)",
    "carrier": "The carrier did not take it: ask the customer for another number if it goes on",
    "content": "Change the words of the text in the application (send_logs.subject)",
    "provider": "Wait: the provider fixes it",
    "recipient": "Check the number with the customer, and correct it",
    "request": "Look at the provider's page of this code",
}
"""General advice for a person, by the scope of the refusal."""


def refusals(rows: Iterable[Mapping[str, str]]) -> dict[int, Refusal]:
    """The refusal that each row of the table describes, by its code."""
    return {
        int(row["code"]): Refusal(
            kind=cast(RefusalKind, row["kind"]),
            why=f"Twilio {row['code']}: {row['short_name']}",
            code=int(row["code"]),
            level=cast(RefusalLevel, row["level"]),
            certain=row["certain"] != "no",
            about=_ABOUT.get(int(row["code"])),
            phone_status=row["phone_status"] or None,
            to_do=row["to_do"] or _TO_DO[cast(RefusalLevel, row["level"])],
        )
        for row in rows
    }


_ROWS: Final = table("twilio_errors")
_TABLE: Final = refusals(_ROWS)
_OF_TOLL_FREE: Final = refusals(
    {**row, "kind": row["toll_free_kind"]} for row in _ROWS if row["toll_free_kind"]
)


def twilio_refusal(
    code: int | None, http_status: int | None = None, *, sent_by: str | None = None
) -> Refusal:
    """Look a code up. The kind of an unlisted code follows from the HTTP status, and is `refused` without one.

    Args:
        sent_by: the number that the message went out from, if it is known.
    """
    if code in _OF_TOLL_FREE and _is_toll_free(sent_by):
        return _OF_TOLL_FREE[code]
    if code is not None and code in _TABLE:
        return _TABLE[code]
    kind = _kind(http_status)
    level: RefusalLevel = "account" if kind == "account_refused" else "request"
    reason = f"not in our table of errors (HTTP {http_status or 'status unknown'})"
    to_do = _TO_DO[level]
    if code is not None:
        reason = f"Twilio {code}: {reason}"
        to_do = f"See {_PAGE.format(code)}, and fix what it says"
    return Refusal(
        kind=kind,
        why=reason,
        code=code,
        level=level,
        certain=http_status in (401, 407),
        to_do=to_do,
    )


def twilio_report(
    status: DeliveryStatus,
    code: int | None,
    *,
    sent_by: str | None = None,
    at: datetime | None = None,
) -> DeliveryReport:
    """How far a message has come that Twilio accepted. If it did not arrive, the code says why."""
    if status in FAILURES and code is not None:
        return DeliveryReport(status, twilio_refusal(code, sent_by=sent_by), at)
    return DeliveryReport(status, at=at)


def _is_toll_free(number: str | None) -> bool:
    area_code = (number or "").removeprefix("+1")[:3]
    return refused_area_codes().get(area_code) == "toll-free"


def _kind(http_status: int | None) -> RefusalKind:
    if http_status is None:
        return "refused"
    if http_status == 429:
        return "rate_limited"
    if http_status >= 500 or http_status == 408:
        return "refused_for_now"
    return "account_refused"


def is_retryable_error(
    code: int | str | None, http_status: int | str | None = None
) -> bool:
    """Whether a text that Twilio refused with this code should be tried again, unchanged, later.

    A code may be a string of digits, as a status callback has it (`ErrorCode`).

    It is so after passing troubles and rate limits, after refusals of the account (a wrong credential is not the text's
    fault), and after a refusal (4xx) whose code is not in the table. It is not so after what will be refused every
    time, opt-outs included, and after an unknown code without its HTTP status. After a 5xx the text may be tried again
    only once it is known that it did not go out: see `answers`.

    Raises:
        InputError: the code or the status is no number. As an unknown code it would end the text.
    """
    number = _number(
        code, "code must be Twilio's number of an error, such as 30008, or None"
    )
    status = _number(http_status, "http_status must be a number such as 503, or None")
    return twilio_refusal(number, status).retryable


def _number(value: object, requirement: str) -> int | None:
    match value:
        case None:
            return None
        case int() if not isinstance(value, bool) and value >= 0:
            return value
        case str() if re.fullmatch(r"\s*[0-9]{1,9}\s*", value):
            return int(value)
        case _:
            raise InputError(requirement)


def code_meaning(code: int) -> CodeMeaning:
    """The meaning of a code for a person, with advice."""
    refusal = twilio_refusal(code)
    return CodeMeaning(
        meaning=refusal.why,
        to_do=refusal.to_do or "",
        link=_PAGE.format(code),
        passes=refusal.kind in _PASSING,
        opted_out=refusal.kind == "opted_out",
    )
