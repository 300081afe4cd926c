"""What can go wrong, by what the caller can do about it.

    SmsRetryError             the base of all; the message says what is wrong and what to do
    ├── SettingsError         a setting is missing or malformed: names the variable
    ├── InputError            the caller asked for something that cannot be: names the value's place
    ├── QueueError            a call to the database failed, and a person must mend that: key, URL, grant or version
    │   └── QueueUnreachable  no answer, or a passing one: try again later
    │       ├── QueueBusy     another transaction holds what this row needs: this row later, the others now
    │       └── QueueSlow     it took too long
    │           └── QueueCancelled  the same, and the database undid it
    ├── UnforeseenError       a bug met a row, and the row failed; or this machine had trouble, and the row is held
    ├── MigrationError        a migration failed or does not fit, or there was no connection: nothing was changed
    ├── LocalStackError       a part of the embedded stack did not start, or ended
    └── PrefectError          Prefect's API did not answer, or refused; with its kinds in `adapters.prefect.api`

A provider's answers are outcomes and a lost claim is a return value; neither is an exception. No message holds a
phone number or a body.
"""

import re


class SmsRetryError(Exception): ...


class SettingsError(SmsRetryError): ...


class InputError(SmsRetryError): ...


class QueueError(SmsRetryError): ...


class QueueUnreachable(QueueError):
    """Try again later.

    Args:
        undone: whether it is certain that the call did nothing. Otherwise it may have taken effect.
    """

    def __init__(self, message: str, *, undone: bool = False) -> None:
        super().__init__(message)
        self.undone = undone


class QueueBusy(QueueUnreachable): ...


class QueueSlow(QueueUnreachable): ...


class QueueCancelled(QueueSlow): ...


class UnforeseenError(SmsRetryError): ...


class MigrationError(SmsRetryError): ...


class LocalStackError(SmsRetryError): ...


def plain_problem(message: str) -> str:
    """What pydantic says of a value that does not fit, in words that follow the value's name."""
    return re.sub(
        "^(Input|String) should", "must", message.removeprefix("Value error, ")
    )
