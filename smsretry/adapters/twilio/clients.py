"""The SDK's clients: one an account, over one HTTP session. The SDK is loaded by the first request."""

import threading
from typing import TYPE_CHECKING, Any

from smsretry.adapters.twilio.accounts import Accounts
from smsretry.settings import Settings

if TYPE_CHECKING:
    from smsretry.adapters.twilio.http import TwilioHttp


class Clients:
    """Any thread may use it."""

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts
        self._loading = threading.Lock()
        self._http: TwilioHttp | None = None
        self._made = dict[str, Any]()

    @property
    def http(self) -> "TwilioHttp":
        """The session. Raises whatever a broken installation does."""
        with self._loading:
            if self._http is None:
                from smsretry.adapters.twilio.http import connect

                self._http = connect(self._settings)
            return self._http

    def of(self, account: str | None) -> Any:
        """The client of an account; None: of the environment's.

        Raises:
            NoCredentialsError: there are none for it. Besides, whatever a broken installation does.
        """
        sid = account or self._accounts.main
        if sid in self._made:
            return self._made[sid]
        http, login = self.http, self._accounts.login(sid)
        from smsretry.adapters.twilio.http import client

        made = client(http, login, sid)
        with self._loading:
            return self._made.setdefault(sid, made)

    def close(self) -> None:
        """Close the pooled connections."""
        if self._http:
            self._http.close()
