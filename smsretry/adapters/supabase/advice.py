"""What a refusal of PostgREST or the database means, and what to do about it. No message quotes a value.

If the trouble passes, what comes next depends on the caller: the next run repeats a worker's call, and nothing repeats
an order of a person or the application.
"""

import base64
import json
import re
from dataclasses import dataclass
from typing import Final

import httpx
from postgrest.exceptions import APIError

from smsretry.errors import (
    InputError,
    QueueBusy,
    QueueCancelled,
    QueueMismatch,
    QueueRefused,
    QueueSlow,
    QueueUnreachable,
    SmsRetryError,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """What follows from trouble that passes, for the caller."""

    undone: str
    """If the call certainly did nothing."""
    unknown: str
    """If the call may have been made, and its answer was lost."""


RUN: Final = Ending("The next run tries again.", "The next run tries again.")
"""For a worker's call."""
ORDER: Final = Ending(
    "Nothing was recorded, and nothing repeats it: give the order again.",
    "It is not known whether it was recorded, and nothing repeats it: give the same order again.",
)
"""For orders of a person or the application. Each order may be given twice."""
QUESTION: Final = Ending("Ask again.", "Ask again.")
"""For calls that change nothing."""

_PASSING: Final = re.compile(r"(08|40|53|55|57|58)...|PGRST00[0-3]|429|5..")
"""SQLSTATE classes, PostgREST codes and HTTP statuses of troubles that pass by themselves.
https://docs.postgrest.org/en/stable/references/errors.html"""
_LOCKED: Final = "55P03"
"""lock_not_available"""
_CANCELED: Final = "57014"
"""query_canceled: the statement's time was over."""
_UNDONE: Final = re.compile(r"(40(?!003)|53|55|57)...|PGRST00[023]|429")
"""Those after which nothing was done for certain: the transaction was undone, or none was begun. After a broken
connection (08, PGRST001) or a gateway's answer (5xx) that is not certain."""
MIGRATE: Final = "Run `smsretry migrate` with this version."
_NO_GRANT: Final = "42501"
_OTHER_VERSION: Final = (
    "The database has no function {function} with these parameters: it is older or newer than this version, or "
    "somebody dropped it. Run `smsretry migrate` with this version (with --again if it says that there is nothing to "
    "do), or install the version it was migrated with."
)
_GONE: Final = (
    "A table, view or type that {function} needs is gone from the database ({code}). Run `smsretry migrate --again`."
)
_CALLED: Final = (
    "A function that {function} calls, or it itself, is gone or has other parameters ({code}). `smsretry doctor` names "
    "it. Run `smsretry migrate` with this version, with --again if it says that there is nothing to do."
)
_MAY_NOT: Final = {
    "to set role": "PostgREST's login may not become service_role. Run: grant service_role to authenticator",
    "for schema public": "service_role may not use the schema public. Run: grant usage on schema public to "
    "service_role",
}
"""What a message about a missing grant says where no migration gives it."""
_FORBIDDEN: Final = (
    "The database refused what {function} writes ({code}): a trigger or a constraint forbids it. The database's log "
    "names it."
)
_WHAT_TO_DO: Final = {
    "PGRST202": _OTHER_VERSION,
    "42883": _CALLED,  # undefined_function
    "42P01": _GONE,  # undefined_table
    "3F000": _GONE,  # invalid_schema_name
    "42704": _GONE,  # undefined_object
    "42703": (  # undefined_column
        "A column that {function} needs is gone from the database ({code}). `smsretry doctor` names it."
    ),
    "PGRST203": (
        "The database has several functions {function}: drop those that are not smsretry's, then run "
        "`smsretry migrate --again`."
    ),
    _NO_GRANT: (
        "The database refused {function} with {code}: service_role lacks a grant. Run `smsretry migrate --again`."
    ),
    "P0002": (  # no_data_found: raised by `smsretry.number_key`
        "The table smsretry.secret is empty ({code}, {function}): without its key nobody who opted out can be "
        "recognized, so nothing is sent. Run `smsretry migrate --again`."
    ),
    "P0001": _FORBIDDEN,  # raise_exception: ours raise SR codes
    "PGRST125": (
        "SUPABASE_URL ({url}) has a path that is not the API's ({code}): it must be the project's URL alone, "
        "https://<project>.supabase.co, without /rest/v1."
    ),
    "PGRST106": (
        "The API does not expose the schema public ({code}): add it to the exposed schemas (Supabase: Project "
        "Settings, Data API; PostgREST: db-schemas)."
    ),
}
_INTEGRITY: Final = "23"
"""The class of integrity_constraint_violation."""


def explain(function: str, error: APIError, *, url: str) -> SmsRetryError:
    """This package's error for one of PostgREST's or the database's, with what to do about it."""
    code = error.code or ""
    if code.startswith("SR"):  # raised by our own functions, whose messages hold ids only
        return InputError(". ".join(part for part in (error.message, error.hint) if part))
    if code == _LOCKED:
        return QueueBusy(f"{function} waited too long for a lock that another transaction holds", undone=True)
    if code == _CANCELED:
        return QueueCancelled(f"Supabase could not answer {function} in its time ({code}).", undone=True)
    if not code or _PASSING.fullmatch(code):
        undone = bool(_UNDONE.fullmatch(code))
        return QueueUnreachable(f"Supabase could not answer {function} now ({code or 'no code'}).", undone=undone)
    if code == "404":
        return QueueMismatch(f"There is no Supabase API at SUPABASE_URL ({url}): it answered 404 to {function}.")
    for words, trouble in _MAY_NOT.items():
        if code == _NO_GRANT and words in (error.message or ""):
            return QueueMismatch(f"The database refused {function} with {code}: {trouble}")
    other = _FORBIDDEN if code.startswith(_INTEGRITY) else f"The database refused {{function}} with {{code}}. {MIGRATE}"
    return QueueMismatch(_WHAT_TO_DO.get(code, other).format(function=function, code=code, url=url))


def unanswered(function: str, error: httpx.RequestError, *, url: str) -> QueueUnreachable:
    """The error for a request to which no answer came, or none that can be unpacked."""
    name = type(error).__name__
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return QueueSlow(f"Supabase did not answer {function} in time ({name}). Check that the project ({url}) is up.")
    return QueueUnreachable(
        f"Supabase did not answer {function} ({name}). Check SUPABASE_URL ({url}) and that the project is up.",
        undone=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout),
    )


def ended(trouble: QueueUnreachable, ending: Ending, *, undone: bool) -> QueueUnreachable:
    """The same error, with what follows. `undone`: no try can have had an effect."""
    said = str(trouble)
    if isinstance(trouble, QueueBusy):
        if ending is RUN:
            return trouble  # the caller says what becomes of its row
        said += "."
    return type(trouble)(f"{said} {ending.undone if undone else ending.unknown}", undone=undone)


def refuse(response: httpx.Response, *, others: bool) -> None:
    """Raise for an answer that refuses the key. `others`: by its own payload the key is another role's."""
    if response.status_code not in (401, 403):
        return
    response.read()
    try:
        code = response.json().get("code")
    except (ValueError, AttributeError):
        code = None
    if code != _NO_GRANT or others:  # with the right key, 401 or 403 with this code is a missing grant
        raise QueueRefused(
            f"Supabase refused the key (HTTP {response.status_code}). SUPABASE_SERVICE_ROLE_KEY must be the "
            "service_role (or secret) key of this project, not the anon key."
        )


def is_of_another_role(key: str) -> bool:
    """Whether a key's own payload says that it is not service_role's. A secret key says nothing."""
    if key.startswith("sb_publishable_"):
        return True
    try:
        payload = key.split(".")[1]
        role = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["role"]
    except (ValueError, IndexError, KeyError, TypeError):
        return False
    return bool(role != "service_role")
