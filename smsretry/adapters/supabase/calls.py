"""How one of the queue's SQL functions is called: over `rpc`, repeated where that is harmless, its failures explained.

A claim is never repeated: if its answer is lost, its rows come back by recovery, untouched. A call about a claimed row
is repeated when no answer came, which its SQL allows. A person's order is given once: whoever gave it looks on, and is
told whether it was recorded. Errors name the function and PostgREST's code, and never a value, because a database's
messages quote rows.
"""

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final, Self

import httpx
from postgrest.exceptions import APIError
from pydantic_core import to_jsonable_python
from supabase import create_client
from supabase.lib.client_options import SyncClientOptions

from smsretry.adapters.certificates import trusted
from smsretry.adapters.supabase.advice import (
    NEXT_RUN,
    NextStep,
    explain_refusal,
    explain_silence,
    raise_if_refused,
    with_next_step,
)
from smsretry.adapters.supabase.reply import Reply
from smsretry.errors import QueueUnreachable, SmsRetryError
from smsretry.settings import ReadingSettings

_PAUSES: Final = (0.5, 2.0)
"""Seconds before the second and third try of a call that may be repeated."""


class SupabaseCalls:
    """A connection to the project. Close it, or use it as a context manager."""

    def __init__(self, settings: ReadingSettings, *, reads: bool = False) -> None:
        """Prepare the connection, which the first call makes.

        Args:
            reads: it only asks questions, with the reader's key if there is one.
        """
        self.url: Final = str(settings.supabase_url).rstrip("/")
        self.address: Final = settings.address
        """The address of the database: `smsretry.mark` compares it with production's."""
        reader = settings.supabase_reader_key if reads else None
        self._as_reader = reader is not None
        key_secret = reader or settings.supabase_service_role_key
        key = key_secret.get_secret_value() if key_secret else ""
        # Supabase's gateway knows the project's own keys alone. https://github.com/orgs/supabase/discussions/1925
        gateway_key = settings.supabase_anon_key if reader else None
        self._http = httpx.Client(
            verify=trusted(),
            timeout=settings.supabase_timeout_seconds,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            event_hooks={
                "request": [_keep_key_from_authorization],
                "response": [partial(raise_if_refused, as_reader=self._as_reader)],
            },
        )
        options = SyncClientOptions(
            httpx_client=self._http, auto_refresh_token=False, persist_session=False
        )
        if gateway_key:
            options.headers["Authorization"] = f"Bearer {key}"
            key = gateway_key.get_secret_value()
        self._client = create_client(self.url, key, options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def call_until_answered(
        self,
        function: str,
        arguments: Mapping[str, object],
        next_step: NextStep = NEXT_RUN,
        *,
        give_up_on: tuple[type[QueueUnreachable], ...] = (),
    ) -> Reply:
        """Call a function up to three times, until an answer comes.

        Args:
            give_up_on: errors that end the tries.
        """
        undone = True
        values = to_jsonable_python(arguments)
        for pause in (*_PAUSES, None):
            try:
                return Reply(function, self.url, self._request(function, values))
            except QueueUnreachable as error:
                trouble = error
                undone = undone and error.undone
            if pause is None or isinstance(trouble, give_up_on):
                break
            time.sleep(pause)
        raise with_next_step(trouble, next_step, undone=undone)

    def call_once(
        self,
        function: str,
        arguments: Mapping[str, object],
        next_step: NextStep = NEXT_RUN,
    ) -> Reply:
        """Call a function once."""
        return self.call_until_answered(
            function, arguments, next_step, give_up_on=(QueueUnreachable,)
        )

    def is_known(self, function: str, parameters: Iterable[str]) -> bool:
        """Whether the API finds this function with these parameters, by its schema cache as it is now.

        GET has it called in a transaction that may write nothing, and most functions refuse empty values.
        """
        empty_values = dict.fromkeys(parameters, "")
        try:
            self._client.rpc(function, empty_values, get=True).execute()
        except APIError as error:
            return error.code != "PGRST202"
        except httpx.RequestError as error:
            silence = explain_silence(function, error, url=self.url)
        except (ValueError, RecursionError):
            return True
        else:
            return True
        raise silence

    def _request(self, function: str, arguments: Mapping[str, object]) -> Any:
        trouble: SmsRetryError
        try:
            return self._client.rpc(function, dict(arguments)).execute().data
        except httpx.RequestError as error:
            # The transport failed, or the answer cannot be unpacked.
            trouble = explain_silence(function, error, url=self.url)
        except APIError as error:
            trouble = explain_refusal(function, error, url=self.url)
        except (ValueError, RecursionError):
            trouble = Reply(function, self.url, None).shape_error()
        # Outside the handler: an exception raised inside would carry the original, which may quote the row.
        raise trouble


def _keep_key_from_authorization(request: httpx.Request) -> None:
    """A secret or publishable key is no token, and belongs in `apikey` alone; the SDK sends it in both headers.

    https://supabase.com/docs/guides/api/api-keys, "Known limitations".
    """
    if request.headers.get("authorization", "").startswith("Bearer sb_"):
        del request.headers["authorization"]
