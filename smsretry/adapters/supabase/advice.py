"""What a refusal of PostgREST or the database means, and what to do about it.

A message quotes ids, and the words of a gateway, which knows no row. It quotes nothing else that was sent or stored. If
the trouble passes, what comes next depends on the caller: the next run repeats a worker's call, and nothing repeats an
order of a person or the application.
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
class NextStep:
    """What comes after passing trouble, in words for the caller."""

    undone: str
    unknown: str = ""
    """If the call may have been made, and its answer was lost. Empty: the same."""


NEXT_RUN: Final = NextStep("The next run tries again.")
"""The next step after a worker's call."""
ASK_AGAIN: Final = NextStep("Ask again.")
"""The next step after a call that changes nothing."""
_NOT_RECORDED: Final = (
    "Nothing was recorded, and nothing repeats it: give the order again"
)
_PERHAPS_RECORDED: Final = (
    "It is not known whether it was recorded, and nothing repeats it:"
)
_HOW_TO_LOOK: Final = "look with `smsretry explain`, `status` or `senders`"
REPEAT_QUEUEING: Final = NextStep(
    f"{_NOT_RECORDED}.", f"{_PERHAPS_RECORDED} give the same order again."
)
"""The next step after an order of the application. It carries an id, so that twice is the same as once."""
REPEAT_ORDER: Final = NextStep(
    f"{_NOT_RECORDED}.",
    f"{_PERHAPS_RECORDED} {_HOW_TO_LOOK}, and give it again if it was not.",
)
"""The next step after a person's order. Some orders do more when they are given twice."""
REPEAT_OPT_IN: Final = NextStep(
    f"{_NOT_RECORDED}, unless they have said stop since.",
    f"{_PERHAPS_RECORDED} {_HOW_TO_LOOK}. Give it again if it was not, and if they have not said stop since.",
)
"""The next step after a person's opt-in, which would undo a STOP that came meanwhile."""

_PASSING: Final = re.compile(r"(08|40|53|55|57|58)...|25P03|PGRST00[0-3]|429|5..")
"""SQLSTATE classes, PostgREST codes and HTTP statuses of troubles that pass by themselves.
https://docs.postgrest.org/en/stable/references/errors.html"""
_WITHOUT_EFFECT: Final = re.compile(r"(40(?!003)|53|55|57)...|PGRST00[023]|429")
"""Passing troubles that certainly had no effect: the transaction was undone, or none was begun. After a broken
connection (08, PGRST001) or a gateway's answer (5xx) that is not certain."""
MIGRATE: Final = "Run `smsretry migrate` with this version."
_NO_PRIVILEGE: Final = "42501"
"""PostgreSQL's code where a grant is missing."""
_FUNCTION_GONE: Final = (
    "Something that {function} needs is gone from the database, or it itself is, or has other parameters ({code}), or "
    "SUPABASE_URL ({url}) is another project's. `smsretry doctor` names it. Run `smsretry migrate` with this version, "
    "or install the version that the database was migrated with."
)
_SERVICE_KEY: Final = (
    "SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY) must be a secret (or the service_role) key of this project, "
    "not expired, and no publishable (or anon) key."
)
_READERS_KEY: Final = (
    "SUPABASE_READER_KEY must be a token of the role smsretry_reader, signed with a key of this project that is not "
    "revoked, and not expired. If it is, run `smsretry migrate --again`: it makes the role and its grants, or says who "
    "can."
)
_GATEWAYS_KEY: Final = (
    "SUPABASE_ANON_KEY, beside SUPABASE_READER_KEY, must be the project's publishable (or anon) key: Supabase's "
    "gateway knows no other."
)
_FORBIDDEN: Final = (
    "The database refused what {function} writes ({code}): a trigger or a constraint forbids it. The database's log "
    "names it."
)
_OTHER_GRANTS: Final = {
    "to set role": "PostgREST's login may not become service_role. Run: grant service_role to authenticator",
    "for schema public": "service_role may not use the schema public. Run: grant usage on schema public to "
    "service_role",
}
"""Advice about a grant that no migration gives, by words of PostgreSQL's message."""
_KEY_OR_GRANT: Final = (
    f"the key is not service_role's, or service_role lacks a grant. {_SERVICE_KEY} If it is, run `smsretry migrate "
    "--again`. If that changes nothing, what is PostgreSQL's own was revoked: the database's log names it."
)
_REFUSED: Final = "The database refused {function} with {code}. " + MIGRATE
_READ_ONLY: Final = (
    "The database takes no writes ({code}, {function}): its disk is full, or it is a replica. Make room or enlarge "
    "the disk (Supabase: Database, Settings) and switch its read-only mode off, or give the primary's SUPABASE_URL."
)
_WHAT_TO_DO: Final = {
    # no such function at the API; undefined function, table, schema and object
    **dict.fromkeys(("PGRST202", "42883", "42P01", "3F000", "42704"), _FUNCTION_GONE),
    "42703": (  # undefined_column
        "A column that {function} needs is gone or renamed ({code}). `smsretry doctor` names it."
    ),
    "PGRST203": (
        "The database has several functions {function}: drop those that are not smsretry's, then run "
        "`smsretry migrate --again`."
    ),
    "25006": _READ_ONLY,  # read_only_sql_transaction
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
_PROJECT_STATES: Final = {
    402: "Supabase has restricted the project: see its organization's usage and bills in the dashboard.",
    540: "The project is paused: restore it in the dashboard.",
}
"""Advice by a status of Supabase's own: https://supabase.com/docs/guides/platform/http-status-codes"""


def explain_refusal(function: str, error: APIError, *, url: str) -> SmsRetryError:
    """This package's error for one of PostgREST's or the database's, with what to do about it."""
    code = error.code or ""
    message = error.message or ""
    if code.startswith("SR"):
        # Our own functions raised it, and quote ids alone.
        return InputError(". ".join(filter(None, (message, error.hint))))
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
        return QueueUnreachable(trouble, undone=bool(_WITHOUT_EFFECT.fullmatch(code)))
    if code == _NO_PRIVILEGE:
        advice = _KEY_OR_GRANT
        for words, other_advice in _OTHER_GRANTS.items():
            if words in message:
                advice = other_advice
        return QueueError(f"The database refused {function} with {code}: {advice}")
    template = _WHAT_TO_DO.get(code, _REFUSED)
    if code.startswith("23"):  # integrity_constraint_violation
        template = _FORBIDDEN
    if "read-write mode" in message:
        # A replica refuses PostgREST's transaction so, before any function is called.
        template = _READ_ONLY
    return QueueError(
        template.format(
            function=function,
            code=code,
            url=url,
        )
    )


def explain_silence(
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


def with_next_step(
    trouble: QueueUnreachable, next_step: NextStep, *, undone: bool
) -> QueueUnreachable:
    """The same error, with what comes next.

    Args:
        undone: no try can have had an effect.
    """
    words = next_step.undone if undone else next_step.unknown or next_step.undone
    return type(trouble)(f"{trouble} {words}", undone=undone)


def raise_if_refused(response: httpx.Response, *, as_reader: bool) -> None:
    """Raise for an answer that refuses the key, or that is not PostgREST's."""
    status = response.status_code
    if response.is_success:
        return
    response.read()
    code, words = _read_refusal(response)
    if response.has_redirect_location:
        raise QueueError(
            f"{describe_redirect(response)} (HTTP {status}): set SUPABASE_URL to the project's own address."
        )
    # A firewall's page is no JSON, and knows no key.
    is_json = "json" in response.headers.get("content-type", "")
    if status in (401, 403) and is_json and (code != _NO_PRIVILEGE or as_reader):
        reason = words if code is None or code.startswith("PGRST3") else code
        advice = _SERVICE_KEY
        if as_reader:
            advice = _GATEWAYS_KEY if code is None else _READERS_KEY
        raise QueueError(
            f"Supabase refused the key (HTTP {status}: {reason}). {advice}"
        )
    if code is not None:
        return
    function = response.url.path.rpartition("/")[2]
    if status == 404:
        url = f"{response.url.scheme}://{response.url.netloc.decode()}"
        raise QueueError(
            f"There is no Supabase API at SUPABASE_URL ({url}): it answered 404 to {function}: {words or 'no words'}."
        )
    if words and status >= 401:
        trouble = f"Supabase answers {function} with HTTP {status}: {words}. {_PROJECT_STATES.get(status, '')}"
        raise QueueUnreachable(trouble.strip(), undone=status == 429)


def _read_refusal(response: httpx.Response) -> tuple[str | None, str]:
    """The code of PostgREST or the database, and the words of whoever answered, without a page's markup."""
    try:
        body = response.json()
        words = " ".join(
            str(body[name])
            for name in ("message", "msg", "error", "hint")
            if body.get(name)
        )
        code = str(body["code"]) if body.get("code") else None
    except (ValueError, AttributeError, RecursionError):
        code = None
        title = re.search("<title>(.*?)</title>", response.text, re.I | re.S)
        words = title[1] if title else re.sub("<[^>]*>", " ", response.text)
    return code, " ".join(words.split())[:200].rstrip(".")
