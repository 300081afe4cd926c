"""What the environment says of proxies holds for the host it is said of, and is read once."""

from typing import Any

import pytest
from requests import sessions

from smsretry.adapters.twilio.connection import OneEnvironment

PROXY = "http://proxy.example:3128"


def settings(session: OneEnvironment, url: str) -> Any:
    """As the SDK asks, request by request."""
    return session.merge_environment_settings(url, {}, None, None, None)


def test_the_environment_is_read_once_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading it costs a third of what a send costs."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    reads: list[str] = []
    read = sessions.get_environ_proxies

    def counted(url: str, **others: Any) -> Any:
        reads.append(url)
        return read(url, **others)

    monkeypatch.setattr(sessions, "get_environ_proxies", counted)
    session = OneEnvironment()
    answers = [settings(session, f"https://api.twilio.com/{n}") for n in range(5)]
    assert reads == ["https://api.twilio.com/0"]
    assert [answer["proxies"]["https"] for answer in answers] == [PROXY] * 5


def test_one_hosts_proxy_is_not_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever is asked for first."""
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", "messaging.twilio.com")
    session = OneEnvironment()
    assert settings(session, "https://api.twilio.com/")["proxies"].get("https") == PROXY
    assert settings(session, "https://messaging.twilio.com/")["proxies"].get("https") is None
