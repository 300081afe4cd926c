"""What can go wrong, by what the caller can do about it.

    SmsRetryError
    ├── SettingsError         a setting is missing or malformed: names the variable
    ├── InputError            the caller asked for something that cannot be: names the value's place
    ├── QueueError            a call to the database failed
    │   ├── QueueUnreachable  no answer, or a passing one: try again later
    │   │   ├── QueueBusy     another transaction holds what this row needs: this row later, the others now
    │   │   └── QueueSlow     it took too long
    │   │       └── QueueCancelled  and the database undid it
    │   ├── QueueRefused      the key is wrong or may not do this
    │   └── QueueMismatch     it answers, but not as this version expects: migrate, or the URL is another service's
    ├── UnforeseenError       a bug met one row; the row ended `failed` with this message
    ├── MigrationError        a migration failed or does not fit, or there was no connection: nothing was changed
    └── LocalStackError       a part of the embedded stack did not start, or ended

A provider's answers are outcomes and a lost claim is a return value; neither is an exception. No message holds a
phone number or a body.
"""


class SmsRetryError(Exception):
    """Base of all errors of this package. The message says what is wrong and what to do."""


class SettingsError(SmsRetryError):
    """A setting is missing or malformed."""


class InputError(SmsRetryError):
    """The call names something that does not exist or cannot be texted."""


class QueueError(SmsRetryError):
    """A call to the database failed."""


class QueueUnreachable(QueueError):
    """No answer came, or one that says try later.

    Args:
        undone: whether it is certain that the call did nothing. Otherwise it may have taken effect.
    """

    def __init__(self, message: str, *, undone: bool = False) -> None:
        super().__init__(message)
        self.undone = undone


class QueueBusy(QueueUnreachable):
    """Another transaction holds something locked that this one row needs."""


class QueueSlow(QueueUnreachable):
    """No answer came in time."""


class QueueCancelled(QueueSlow):
    """The database cancelled the call when its time was over, and undid it."""


class QueueRefused(QueueError):
    """Supabase refused the key, or the key's role may not call the function."""


class QueueMismatch(QueueError):
    """The answer is not what this version of the package expects."""


class UnforeseenError(SmsRetryError):
    """Something nobody foresaw happened to one row. Where, and of what kind, is in the message."""


class MigrationError(SmsRetryError):
    """The database could not be reached, does not fit, or a migration failed. Nothing was changed."""


class LocalStackError(SmsRetryError):
    """A part of the embedded stack could not be started or stopped. The message says which, and what to do."""
