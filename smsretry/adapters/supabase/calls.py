"""How one of the queue's SQL functions is called: over `rpc`, repeated where that is harmless, its failures explained.

A claim is never repeated: if its answer is lost, its rows come back by recovery, untouched. A call about a claimed row
is repeated when no answer came, which its SQL allows. Errors name the function and PostgREST's code, and never a
value, because a database's messages quote rows.
"""

import re
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, Self, TypeVar

import httpx
from postgrest.exceptions import APIError
from pydantic import BaseModel, ValidationError
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from smsretry.errors import InputError, QueueMismatch, QueueRefused, QueueUnreachable, SmsRetryError
from smsretry.settings import Settings

_Row = TypeVar("_Row", bound=BaseModel)
_PAUSES: Final = (0.5, 2.0)
"""Seconds before the second and third try of a call that may be repeated."""
_PASSING: Final = re.compile(r"(08|40|53|55|57|58)...|PGRST00[0-3]|429|5..")
"""SQLSTATE classes, PostgREST codes and HTTP statuses of troubles that pass by themselves.
https://docs.postgrest.org/en/stable/references/errors.html"""
_MIGRATE: Final = "Run `smsretry migrate` with this version."


class SupabaseCalls:
    """A connection to the project. Close it, or use it as a context manager."""

    def __init__(self, settings: Settings) -> None:
        self._url = str(settings.supabase_url).rstrip("/")
        self._http = httpx.Client(
            timeout=settings.supabase_timeout_seconds,
            event_hooks={"response": [_refuse]},
        )
        options = SyncClientOptions(httpx_client=self._http, auto_refresh_token=False, persist_session=False)
        self._client = create_client(self._url, settings.supabase_service_role_key.get_secret_value(), options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def truth(self, function: str, values: Mapping[str, object]) -> bool:
        """Call a function that answers true or false. May be repeated."""
        answer = self.repeated(function, values)
        if not isinstance(answer, bool):
            raise self.not_ours(function)
        return answer

    def row(self, kind: type[_Row], function: str, values: Mapping[str, object]) -> _Row:
        """Call a function that answers one row. May be repeated."""
        rows = self._parse(kind, function, self.repeated(function, values))
        if len(rows) != 1:
            raise QueueMismatch(f"{function} answered with {len(rows)} rows instead of one. {_MIGRATE}")
        return rows[0]

    def rows(self, kind: type[_Row], function: str, values: Mapping[str, object]) -> list[_Row]:
        """Call a function that answers rows. Called once."""
        return self._parse(kind, function, self._once(function, values))

    def repeated(self, function: str, values: Mapping[str, object]) -> object:
        """Call a function up to three times, until an answer comes."""
        for pause in _PAUSES:
            try:
                return self._once(function, values)
            except QueueUnreachable:
                time.sleep(pause)
        return self._once(function, values)

    def not_ours(self, function: str) -> QueueMismatch:
        """The error for an answer of another shape than the function's."""
        return QueueMismatch(
            f"{function} answered with something that is not its JSON. Check that SUPABASE_URL ({self._url}) is "
            "the project's URL, not a web page's or the database's."
        )

    def _parse(self, kind: type[_Row], function: str, answer: object) -> list[_Row]:
        if not isinstance(answer, list):
            raise self.not_ours(function)
        try:
            return [kind.model_validate(row) for row in answer]
        except ValidationError as error:
            columns = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        # Outside the handler: an exception raised inside would carry the original, which may quote the row.
        raise QueueMismatch(f"{function} answered with unusable columns: {', '.join(columns)}. {_MIGRATE}")

    def _once(self, function: str, values: Mapping[str, object]) -> Any:
        trouble: SmsRetryError
        try:
            return self._client.rpc(function, dict(values)).execute().data
        except httpx.TransportError as error:
            trouble = QueueUnreachable(
                f"Supabase did not answer {function} ({type(error).__name__}). Check SUPABASE_URL ({self._url}) "
                "and that the project is up; the next run tries again."
            )
        except APIError as error:
            trouble = self._explain(function, error)
        except ValueError:
            trouble = self.not_ours(function)
        # Outside the handler: an exception raised inside would carry the original, which may quote the row.
        raise trouble

    def _explain(self, function: str, error: APIError) -> SmsRetryError:
        code = error.code or ""
        if code.startswith("SR"):  # raised by our own functions, whose messages hold ids only
            return InputError(". ".join(part for part in (error.message, error.hint) if part))
        if code == "PGRST202":
            return QueueMismatch(
                f"The database has no function {function} with these parameters: it is older or newer than this "
                f"version. {_MIGRATE.removesuffix('.')}, or install the version it was migrated with."
            )
        if not code or _PASSING.fullmatch(code):
            return QueueUnreachable(
                f"Supabase could not answer {function} now ({code or 'no code'}). The next run tries again."
            )
        if code == "404":
            return QueueMismatch(
                f"There is no Supabase API at SUPABASE_URL ({self._url}): it answered 404 to {function}."
            )
        return QueueMismatch(f"The database refused {function} with {code}. {_MIGRATE}")


def _refuse(response: httpx.Response) -> None:
    if response.status_code in (401, 403):
        raise QueueRefused(
            f"Supabase refused the key (HTTP {response.status_code}). SUPABASE_SERVICE_ROLE_KEY must be the "
            "service_role (or secret) key of this project, not the anon key."
        )


def interval(duration: timedelta) -> str:
    """A duration as PostgreSQL reads one."""
    return f"{duration.total_seconds()} seconds"
