"""What is said of a database that cannot be reached."""

from smsretry.adapters.migrations.connecting import advice

_HOST = "db.abcdefghijklmnopqrst.supabase.co"
_UNREACHABLE = f'connection to server at "{_HOST}" (2a05::1), port 5432 failed: Network is unreachable'
_UNKNOWN = f"failed to resolve host '{_HOST}': [Errno -2] Name or service not known"


def test_a_project_s_own_host_has_ipv6_only_and_the_pooler_is_named() -> None:
    """With its port. Of another host, and of one that answered, it would lead astray."""
    for reason in (_UNREACHABLE, _UNKNOWN, "connection timeout expired"):
        assert "Session pooler, port 5432" in advice(_HOST, reason)
    for host, reason in (
        ("aws-0-eu-central-1.pooler.supabase.com", "connection timeout expired"),
        ("127.0.0.1", "connection refused"),
        ("", "connection refused"),
        (_HOST, 'FATAL:  password authentication failed for user "postgres"'),
        (f"{_HOST}.example.org", "connection refused"),
    ):
        assert advice(host, reason) == ""
