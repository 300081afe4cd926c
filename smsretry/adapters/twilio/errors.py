"""Twilio's error codes and what each means for the queue.

The tables are `data/twilio_errors.tsv` (code, HTTP status, name, level, class, source of each row) and
`data/phone_status.tsv` (of the codes that answer a request, those that say a number takes no texts). Twilio
publishes no retryability flag; the classes are ours, from Twilio's causes and solutions. Codes are added without
notice, so an unlisted one is judged by its HTTP status.
"""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, cast

from smsretry.data import table

ErrorClass: TypeAlias = Literal["transient", "rate_limit", "permanent", "opted_out", "provider_outage_or_account"]
"""transient: later. rate_limit: later, slower. permanent: never unchanged. opted_out: never, and they said so.
provider_outage_or_account: nothing wrong with this text; somebody must mend the account, or Twilio itself."""


@dataclass(frozen=True, slots=True)
class TwilioError:
    """One row of the table, or the stand-in for a code that is not in it."""

    code: int | None
    name: str
    error_class: ErrorClass
    level: str = "request"
    """Whom it concerns: account, carrier, content, provider, recipient, request."""
    phone_status: str | None = None
    """What it says of the number for good, as `customers.phone_status`: invalid or not_mobile. What concerns the
    account, the sender or the text says nothing of a number."""

    @property
    def retryable(self) -> bool:
        """May the same text, unchanged, go out later?"""
        return self.error_class in ("transient", "rate_limit", "provider_outage_or_account")

    def __str__(self) -> str:
        return f"Twilio {self.code}: {self.name}" if self.code is not None else self.name


_PHONE_STATUS: Final = {row["code"]: row["phone_status"] for row in table("phone_status")}
_TABLE: Final = {
    int(row["code"]): TwilioError(
        int(row["code"]),
        row["short_name"],
        cast(ErrorClass, row["classification"]),
        row["level"],
        _PHONE_STATUS.get(row["code"]),
    )
    for row in table("twilio_errors")
}


def twilio_error(code: int | None, http_status: int | None = None) -> TwilioError:
    """Look a code up; unlisted ones get a conservative class by HTTP status (none at all: permanent)."""
    if code is not None and (known := _TABLE.get(code)):
        return known
    match http_status:
        case 429:
            error_class: ErrorClass = "rate_limit"
        case 401 | 403 | 407:
            error_class = "provider_outage_or_account"
        case int() if http_status >= 500 or http_status == 408:
            error_class = "transient"
        case _:
            error_class = "permanent"
    return TwilioError(code, f"not in our table of errors (HTTP {http_status or 'status unknown'})", error_class)


def is_retryable_error(code: int | None, http_status: int | None = None) -> bool:
    """Whether a text refused with this Twilio code should be tried again, unchanged, later.

    True for passing troubles, rate limits and account-wide ones (a wrong credential is not the text's fault);
    False for what will be refused every time, opt-outs included. A 5xx is retryable only once it is known not to
    have gone out: see `outcome`.
    """
    return twilio_error(code, http_status).retryable
