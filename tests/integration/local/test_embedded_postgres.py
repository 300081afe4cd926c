"""The embedded PostgreSQL: it keeps its data through crashes, and to itself."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from smsretry.errors import LocalStackError
from smsretry.local.postgres import server as embedded
from smsretry.local.postgres.server import EmbeddedPostgres
from tests.support.processes import ends


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server with a table of one row; removed at the end."""
    server = EmbeddedPostgres(tmp_path_factory.mktemp("embedded") / "postgres")
    try:
        with server, psycopg.connect(server.url()) as connection:
            connection.execute("create table kept as select 'kept'::text as word")
        yield server
    finally:
        server.remove()


@pytest.fixture
def server(shared: EmbeddedPostgres) -> Iterator[EmbeddedPostgres]:
    """That server, running; what a test does to it ends with the test."""
    with shared:
        yield shared


def _word(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute("select word from kept").fetchone()
    return row[0] if row else ""


def _pid(server: EmbeddedPostgres) -> int:
    return int((server.data_dir / "pgdata" / "postmaster.pid").read_text().split()[0])


def test_a_stopped_server_is_gone_and_starts_again_on_its_port_with_its_data(server: EmbeddedPostgres) -> None:
    """It is the version Supabase is heading for, and its settings depend on nothing of this machine. Another process
    needs the directory alone.
    """
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(
            "select current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),"
            " current_setting('timezone'), current_setting('listen_addresses')"
        ).fetchone()
    assert row == (18, "UTF8", "UTC", "127.0.0.1")
    pid, port = _pid(server), server.port
    server.stop()
    assert ends(pid)
    server.start()
    assert (server.port, _word(server)) == (port, "kept")
    server.stop()
    with EmbeddedPostgres(server.data_dir) as other:
        assert _word(other) == "kept"


def test_a_server_killed_with_kill_9_keeps_what_was_committed(server: EmbeddedPostgres) -> None:
    """Also if its process's number is somebody else's by then: in a container the numbers begin anew at every boot."""
    with psycopg.connect(server.url()) as connection:
        backend = connection.info.backend_pid
        server.kill()
        assert ends(backend)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    left_over = server.data_dir / "pgdata" / "postmaster.pid"
    left_over.write_text(left_over.read_text().replace(str(_pid(server)), str(os.getppid()), 1))
    server.start()
    assert _word(server) == "kept"


def test_two_servers_keep_to_themselves(
    server: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has its own port, data and password, in a file that other users cannot read. On the same directory the
    second is refused with the first one's process; removed is a server's own, and nothing else.
    """
    monkeypatch.setattr(embedded, "_ENDING_SECONDS", 0.2)
    second = EmbeddedPostgres(server.data_dir)
    for use in (second.start, second.remove):
        with pytest.raises(LocalStackError, match=f"in use by process {os.getpid()}: stop that one"):
            use()
    other = EmbeddedPostgres(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    try:
        with other, psycopg.connect(other.url()) as connection:
            assert connection.execute("select to_regclass('kept')").fetchone() == (None,)
            assert other.port != server.port
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                psycopg.connect(server.url(), password=(tmp_path / "password").read_text())
            assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    finally:
        other.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert _word(server) == "kept"


def test_a_failed_statement_leaves_no_value_in_the_log(server: EmbeddedPostgres) -> None:
    """Numbers and bodies are in the database and not in its log."""
    with psycopg.connect(server.url()) as connection:
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("select '+12025550123'::uuid")
        connection.rollback()
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("select %s::uuid", ("+12025550123",))
    server.stop()
    assert "2025550123" not in server.log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend PostgreSQL to another user")
def test_under_root_a_hidden_directory_keeps_its_data_and_its_permissions(tmp_path: Path) -> None:
    """Nothing is put anywhere else because PostgreSQL's own user cannot come there by itself."""
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    server = EmbeddedPostgres(hidden)
    try:
        with server:
            server.create_database("kept")
        assert hidden.stat().st_mode & 0o777 == 0o700
        with EmbeddedPostgres(hidden) as again, psycopg.connect(again.url("kept")):
            pass
    finally:
        server.remove()
