"""What a refusal of PostgREST or the database means, and what to do about it. No message quotes a value.

If the trouble passes, what comes next depends on the caller: the next run repeats a worker's call, and nothing repeats
an order of a person or the application.
"""

import re
from dataclasses import dataclass
from typing import Final

import httpx
from postgrest.exceptions import APIError

from smsretry.adapters.answering import cause_of, describe_redirect
from smsretry.errors import (
    InputError,
    QueueBusy,
    QueueCancelled,
    QueueError,
    QueueSlow,
    QueueUnreachable,
    SmsRetryError,
)


@dataclass(frozen=True, slots=True)
class Ending:
    """The consequence of passing trouble, for the caller."""

    undone: str
    """The consequence if the call certainly did nothing."""
    unknown: str
    """The consequence if the call may have been made, and its answer was lost."""


RUN: Final = Ending("The next run tries again.", "The next run tries again.")
"""The consequences for a worker's call."""
QUESTION: Final = Ending("Ask again.", "Ask again.")
"""The consequences for calls that change nothing."""
_NOTHING: Final = "Nothing was recorded, and nothing repeats it: give the order again"
_UNKNOWN: Final = "It is not known whether it was recorded, and nothing repeats it:"
_LOOK: Final = "look with `smsretry explain`, `status` or `senders`"
QUEUEING: Final = Ending(f"{_NOTHING}.", f"{_UNKNOWN} give the same order again.")
"""The consequences for the application's orders, which carry an id: twice is the same as once."""
ORDER: Final = Ending(
    f"{_NOTHING}.", f"{_UNKNOWN} {_LOOK}, and give it again if it was not."
)
"""The consequences for a person's orders, some of which do more when they are given twice."""
OPT_IN: Final = Ending(
    f"{_NOTHING}, unless they have said stop since.",
    f"{_UNKNOWN} {_LOOK}. Give it again if it was not, and if they have not said stop since.",
)
"""The consequences for a person's opt-in, which would undo a STOP that came meanwhile."""

_PASSING: Final = re.compile(r"(08|40|53|55|57|58)...|25P03|PGRST00[0-3]|429|5..")
"""SQLSTATE classes, PostgREST codes and HTTP statuses of troubles that pass by themselves.
https://docs.postgrest.org/en/stable/references/errors.html"""
_DONE_NOTHING: Final = re.compile(r"(40(?!003)|53|55|57)...|PGRST00[023]|429")
"""Those after which nothing was done for certain: the transaction was undone, or none was begun. After a broken
connection (08, PGRST001) or a gateway's answer (5xx) that is not certain."""
MIGRATE: Final = "Run `smsretry migrate` with this version."
_NO_GRANT: Final = "42501"
_GONE: Final = (
    "Something that {function} needs is gone from the database, or it itself is, or has other parameters ({code}), or "
    "SUPABASE_URL ({url}) is another project's. `smsretry doctor` names it. Run `smsretry migrate` with this version, "
    "with --again if it says that there is nothing to do, which has the API look anew; or install the version that the "
    "database was migrated with."
)
_SERVICE_KEY: Final = (
    "SUPABASE_SERVICE_ROLE_KEY must be the service_role (or secret) key of this project, not expired, and not the anon "
    "key."
)
_READERS_KEY: Final = (
    "SUPABASE_READER_KEY must be a token of the role smsretry_reader, signed with this project's JWT secret and not "
    "expired. If it is, run `smsretry migrate --again`: it makes the role and its grants, or says who can."
)
_GATEWAYS_KEY: Final = (
    "SUPABASE_ANON_KEY, beside SUPABASE_READER_KEY, must be the project's anon (or publishable) key: Supabase's "
    "gateway knows no other."
)
_FORBIDDEN: Final = (
    "The database refused what {function} writes ({code}): a trigger or a constraint forbids it. The database's log "
    "names it."
)
_MAY_NOT: Final = {
    "to set role": "PostgREST's login may not become service_role. Run: grant service_role to authenticator",
    "for schema public": "service_role may not use the schema public. Run: grant usage on schema public to "
    "service_role",
}
"""The advice about a missing grant that no migration gives."""
_NO_RIGHT: Final = (
    f"the key is not service_role's, or service_role lacks a grant. {_SERVICE_KEY} If it is, run `smsretry migrate "
    "--again`. If that changes nothing, what is PostgreSQL's own was revoked: the database's log names it."
)
_WHAT_TO_DO: Final = {
    # no such function at the API; undefined function, table, schema and object
    **dict.fromkeys(("PGRST202", "42883", "42P01", "3F000", "42704"), _GONE),
    "42703": (  # undefined_column
        "A column that {function} needs is gone or renamed ({code}). `smsretry doctor` names it."
    ),
    "PGRST203": (
        "The database has several functions {function}: drop those that are not smsretry's, then run "
        "`smsretry migrate --again`."
    ),
    "25006": (  # read_only_sql_transaction
        "The database takes no writes ({code}, {function}): its disk is full, or it is a replica. Make room or enlarge "
        "the disk (Supabase: Database, Settings) and switch its read-only mode off, or give the primary's SUPABASE_URL."
    ),
    "P0002": (  # no_data_found: raised by `smsretry.number_key`
        "The table smsretry.secret is empty ({code}, {function}): without its key nobody who opted out can be "
        "recognized, so nothing is sent. Restore its row from a backup. `smsretry migrate --again` makes another key, "
        "and forgets who opted out."
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
_OF_PROJECT: Final = {
    402: "Supabase has restricted the project: see its organization's usage and bills in the dashboard.",
    540: "The project is paused: restore it in the dashboard.",
}
"""Statuses of Supabase's own, and what to do: https://supabase.com/docs/guides/platform/http-status-codes"""


def error_of(function: str, error: APIError, *, url: str) -> SmsRetryError:
    """This package's error for one of PostgREST's or the database's, with what to do about it."""
    code = error.code or ""
    if code.startswith(
        "SR"
    ):  # raised by our own functions, whose messages hold ids only
        return InputError(
            ". ".join(part for part in (error.message, error.hint) if part)
        )
    if code == "55P03":  # lock_not_available
        return QueueBusy(
            f"{function} waited too long for a lock that another transaction holds.",
            undone=True,
        )
    if code in ("57014", "25P04"):  # query_canceled, transaction_timeout
        return QueueCancelled(
            f"Supabase could not answer {function} in its time ({code}): it is busy, another transaction locks what it "
            "needs, or a statement_timeout or transaction_timeout is short.",
            undone=True,
        )
    if not code or _PASSING.fullmatch(code):
        trouble = f"Supabase could not answer {function} now ({code or 'no code'})."
        if code in ("PGRST000", "PGRST003"):
            trouble = (
                f"Supabase's API could not reach its database for {function} ({code}). The database is down or paused, "
                "or refuses the API's login: may the role authenticator log in and connect, is its password right and "
                "not expired, are there connections left? The database's log says which."
            )
        return QueueUnreachable(trouble, undone=bool(_DONE_NOTHING.fullmatch(code)))
    if code == _NO_GRANT:
        advice = next(
            (
                advice
                for words, advice in _MAY_NOT.items()
                if words in (error.message or "")
            ),
            _NO_RIGHT,
        )
        return QueueError(f"The database refused {function} with {code}: {advice}")
    # Class 23: integrity_constraint_violation.
    default_advice = (
        _FORBIDDEN
        if code.startswith("23")
        else f"The database refused {{function}} with {{code}}. {MIGRATE}"
    )
    # How a replica refuses PostgREST's transaction, before any function is called.
    error_key = "25006" if "read-write mode" in (error.message or "") else code
    return QueueError(
        _WHAT_TO_DO.get(error_key, default_advice).format(
            function=function, code=code, url=url
        )
    )


def unanswered(
    function: str, error: httpx.RequestError, *, url: str
) -> QueueUnreachable:
    """The error for a request to which no answer came, or none that can be unpacked."""
    name = cause_of(error, url)
    if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
        return QueueSlow(
            f"Supabase did not answer {function} in time ({name}). Check that the project ({url}) is up."
        )
    return QueueUnreachable(
        f"Supabase did not answer {function} ({name}). Check SUPABASE_URL ({url}) and that the project is up.",
        undone=isinstance(
            error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout
        ),
    )


def ended(
    trouble: QueueUnreachable, ending: Ending, *, undone: bool
) -> QueueUnreachable:
    """The same error, with what follows. `undone`: no try can have had an effect."""
    next_step = ending.undone if undone else ending.unknown
    return type(trouble)(f"{trouble} {next_step}", undone=undone)


def refuse(response: httpx.Response, *, as_reader: bool) -> None:
    """Raise for an answer that refuses the key, or that is not PostgREST's: what the gateway says quotes no row."""
    status = response.status_code
    if response.is_success:
        return
    response.read()
    code, reply_text = _error_of(response)
    if response.has_redirect_location:
        raise QueueError(
            f"{describe_redirect(response)} (HTTP {status}): set SUPABASE_URL to the project's own address."
        )
    is_json = "json" in response.headers.get(
        "content-type", ""
    )  # else it is a firewall's page, which knows no key
    if status in (401, 403) and is_json and (code != _NO_GRANT or as_reader):
        words = reply_text if code is None or code.startswith("PGRST3") else code
        advice = _SERVICE_KEY
        if as_reader:
            advice = _GATEWAYS_KEY if code is None else _READERS_KEY
        raise QueueError(f"Supabase refused the key (HTTP {status}: {words}). {advice}")
    function, url = (
        response.url.path.rpartition("/")[2],
        f"{response.url.scheme}://{response.url.netloc.decode()}",
    )
    if code is None and status == 404:
        detail = f"it answered 404 to {function}: {reply_text or 'no words'}"
        raise QueueError(f"There is no Supabase API at SUPABASE_URL ({url}): {detail}.")
    if code is None and reply_text and status >= 401:
        trouble = f"Supabase answers {function} with HTTP {status}: {reply_text}. {_OF_PROJECT.get(status, '')}".strip()
        raise QueueUnreachable(trouble, undone=status == 429)


def _error_of(response: httpx.Response) -> tuple[str | None, str]:
    """PostgREST's or the database's code, and the words of whoever answered, without a page's markup."""
    try:
        body = response.json()
        words = " ".join(
            str(body[name])
            for name in ("message", "msg", "error", "hint")
            if body.get(name)
        )
        code = str(body["code"]) if body.get("code") else None
    except (ValueError, AttributeError, RecursionError):
        title = re.search("<title>(.*?)</title>", response.text, re.I | re.S)
        code, words = None, title[1] if title else re.sub("<[^>]*>", " ", response.text)
    return code, " ".join(words.split())[:200].rstrip(".")
