"""What is said of a database that cannot be reached."""

import pytest

from smsretry.adapters.migrations.connecting import advice

_HOST = "db.abcdefghijklmnopqrst.supabase.co"
_UNREACHABLE = f'connection to server at "{_HOST}" (2a05::1), port 5432 failed: Network is unreachable'


@pytest.mark.parametrize(
    "reason",
    [
        _UNREACHABLE,
        f"failed to resolve host '{_HOST}': [Errno -2] Name or service not known",
        "connection timeout expired",
    ],
)
def test_a_project_s_own_host_has_ipv6_only_and_the_pooler_is_named(reason: str) -> None:
    """With its port, and where Supabase shows it."""
    assert "Session pooler, port 5432" in advice(_HOST, reason)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("aws-0-eu-central-1.pooler.supabase.com", "connection timeout expired"),
        ("127.0.0.1", "connection refused"),
        ("", "connection refused"),
        (_HOST, 'FATAL:  password authentication failed for user "postgres"'),
        (f"{_HOST}.example.org", "connection refused"),
    ],
)
def test_of_another_host_and_of_one_that_answered_it_is_not(host: str, reason: str) -> None:
    """There it would lead astray."""
    assert advice(host, reason) == ""
