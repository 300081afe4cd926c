"""Short requests to Prefect's API. A failure is a sentence that names the host."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Self

import httpx

from smsretry.adapters.certificates import trusted
from smsretry.errors import SmsRetryError
from smsretry.settings import PrefectSettings


class PrefectError(SmsRetryError):
    """Prefect's API did not answer, or refused. The message says what to do."""


class PrefectRefused(PrefectError):
    """The server wants another auth string."""


class PrefectApi:
    """A connection to the API. Close it, or use it as a context manager."""

    def __init__(self, settings: PrefectSettings) -> None:
        self.url = str(settings.prefect_api_url or "").rstrip("/")
        credentials = settings.prefect_api_auth_string
        user, _, password = credentials.get_secret_value().partition(":") if credentials else ("", "", "")
        self._auth = httpx.BasicAuth(user, password) if credentials else None
        key = settings.prefect_api_key
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._http = httpx.Client(verify=trusted(), timeout=10, headers=headers, follow_redirects=True)
        self.now = datetime.fromtimestamp(0, UTC)
        """The server's time in its last answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    @property
    def host(self) -> str:
        """Host and port, without whatever else the URL holds."""
        url = httpx.URL(self.url)
        return f"{url.host}:{url.port}" if url.port else url.host

    def ask(self, path: str, body: dict[str, Any] | None = None, *, as_anyone: bool = False) -> Any:
        """The answer to a GET, or with a body to a POST. `as_anyone`: without the auth string.

        Raises:
            PrefectError: no answer came, or one that is not the API's.
        """
        method, auth = "GET" if body is None else "POST", None if as_anyone else self._auth
        try:
            answer = self._http.request(method, f"{self.url}/{path}", json=body, auth=auth)
        except httpx.HTTPError as error:
            raise PrefectError(
                f"{self.host} does not answer ({type(error).__name__}): check PREFECT_API_URL, and that the Prefect "
                "server runs and can be reached from here"
            ) from None
        if answer.status_code in (401, 403):
            if self._auth:
                advice = "refuses PREFECT_API_AUTH_STRING: it must be the server's PREFECT_SERVER_API_AUTH_STRING"
            else:
                advice = "asks for an auth string: set PREFECT_API_AUTH_STRING to the server's, here and on the runner"
            raise PrefectRefused(f"{self.host} {advice}")
        if "date" in answer.headers:
            self.now = parsedate_to_datetime(answer.headers["date"])
        try:
            return answer.raise_for_status().json()
        except (httpx.HTTPStatusError, ValueError):
            raise PrefectError(
                f"{self.host} answers HTTP {answer.status_code} to {path}, which is not Prefect's API: "
                "PREFECT_API_URL must be the API's address, http://<host>:4200/api"
            ) from None
