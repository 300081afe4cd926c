"""Short requests to Prefect's API. A failure is a sentence that names the host."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any, Final, Self, TypeAlias

import httpx
from pydantic import Field, HttpUrl, Json, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from smsretry.adapters.answering import cause_of, describe_redirect
from smsretry.adapters.certificates import trusted
from smsretry.errors import SmsRetryError

JsonObject: TypeAlias = dict[str, Any]
_MOST_SECONDS: Final = 25.0
"""Once requests took this long together, no other one is made: a person waits for the answer."""
ADDRESS_RULE: Final = "must be the address of Prefect's API: http://<host>:4200/api"
"""What to set PREFECT_API_URL to."""


class PrefectSettings(BaseSettings):
    """The address of Prefect's API, by the variables that Prefect itself reads. smsretry runs without them, too."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", hide_input_in_errors=True, env_ignore_empty=True
    )

    prefect_api_url: HttpUrl | None = None
    """The API's address, `http://<host>:4200/api`."""
    prefect_api_auth_string: SecretStr | None = None
    """`user:password`; the server's is PREFECT_SERVER_API_AUTH_STRING."""
    prefect_api_key: SecretStr | None = None
    """Prefect Cloud's API key."""
    prefect_client_custom_headers: Json[dict[str, str]] | None = Field(None, repr=False)
    """Headers for a proxy before the server, as JSON."""


class PrefectError(SmsRetryError):
    """Prefect's API did not answer, or refused. The message says what to do."""


class PrefectRefused(PrefectError):
    """The server wants another auth string or key."""


class PrefectLacks(PrefectError):
    """The server has nothing at that path (404)."""


class PrefectApi:
    """A connection to the API. Close it, or use it as a context manager."""

    def __init__(self, settings: PrefectSettings) -> None:
        self.url = str(settings.prefect_api_url or "").rstrip("/")
        self._auth: httpx.BasicAuth | None = None
        if credentials := settings.prefect_api_auth_string:
            user, _, password = credentials.get_secret_value().partition(":")
            self._auth = httpx.BasicAuth(user, password)
        key = settings.prefect_api_key
        self._key = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._http = httpx.Client(
            verify=trusted(), timeout=10, headers=settings.prefect_client_custom_headers
        )
        self._seconds_spent = 0.0
        self.server_time: datetime | None = None
        """The server's time in its last answer with a date."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def host(self) -> str:
        """Host and port, without whatever else the URL holds."""
        return httpx.URL(self.url).netloc.decode()

    def ask(self, path: str, body: JsonObject | None = None) -> Any:
        """The answer to a GET, or with a body to a POST.

        Raises:
            PrefectError: no answer came, or one that is not the API's.
        """
        answer = self._answer(path, body)
        if answer.status_code in (401, 403):
            raise PrefectRefused(f"{self.host} {self._refusal()}")
        if answer.has_redirect_location:
            raise PrefectError(
                f"{describe_redirect(answer)}: set PREFECT_API_URL to the API's address there, because runs cannot be "
                "reported through it"
            )
        if "date" in answer.headers:
            self.server_time = parsedate_to_datetime(answer.headers["date"])
        try:
            return answer.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError):
            kind = PrefectLacks if answer.status_code == 404 else PrefectError
            raise kind(self._no_api(answer.status_code, path)) from None

    def _answer(self, path: str, body: JsonObject | None) -> httpx.Response:
        method = "GET" if body is None else "POST"
        if self._seconds_spent > _MOST_SECONDS:
            raise PrefectError(
                f"{self.host} took {self._seconds_spent:.0f} s for what was asked, so the rest was not asked"
            )
        asked_at = monotonic()
        try:
            return self._http.request(
                method,
                f"{self.url}/{path}",
                json=body,
                auth=self._auth,
                headers=self._key,
            )
        except httpx.HTTPError as error:
            raise PrefectError(
                f"{self.host} does not answer ({cause_of(error, self.url)}): check PREFECT_API_URL, and that the "
                "Prefect server runs and can be reached from here"
            ) from None
        finally:
            self._seconds_spent += monotonic() - asked_at

    def _refusal(self) -> str:
        if self._auth:
            return "refuses PREFECT_API_AUTH_STRING: it must be the server's PREFECT_SERVER_API_AUTH_STRING"
        if self._key:
            return "refuses PREFECT_API_KEY: make a new one in Prefect Cloud, for PREFECT_API_URL's workspace"
        return "asks for an auth string: set PREFECT_API_AUTH_STRING to the server's, here and on the runner"

    def _no_api(self, status: int, path: str) -> str:
        if status >= 500:
            return f"{self.host} answers HTTP {status} to {path}: see its log, and whether its database is up"
        return (
            f"{self.host} answers HTTP {status} to {path}, which is not Prefect's API: "
            f"PREFECT_API_URL {ADDRESS_RULE}"
        )
