"""The embedded PostgreSQL: it keeps its data through crashes, and to itself."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from smsretry.errors import LocalStackError
from smsretry.local.postgres import server as embedded
from smsretry.local.postgres.server import EmbeddedPostgres
from tests.support.killed_runs import remove_killed_runs
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


def test_a_server_that_was_stopped_or_killed_keeps_its_data_and_its_port_and_logs_no_value(
    server: EmbeddedPostgres,
) -> None:
    """It is the version Supabase is heading for, and its settings depend on nothing of this machine. After `kill -9`
    its process's number may be somebody else's: in a container they begin anew at every boot. Numbers and bodies are in
    the database and not in its log.
    """
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(
            "select current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),"
            " current_setting('timezone'), current_setting('listen_addresses')"
        ).fetchone()
        assert row == (18, "UTF8", "UTC", "127.0.0.1")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("select '+12025550123'::uuid")
        connection.rollback()
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            connection.execute("select %s::uuid", ("+12025550123",))
    left_over = server.data_dir / "pgdata" / "postmaster.pid"
    pid, port = int(left_over.read_text().split()[0]), server.port
    server.stop()
    assert ends(pid)
    assert "2025550123" not in server.log.read_text()
    server.start()
    assert (server.port, _word(server)) == (port, "kept")
    pid = int(left_over.read_text().split()[0])
    server.kill()
    left_over.write_text(left_over.read_text().replace(str(pid), str(os.getppid()), 1))
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
        with pytest.raises(
            LocalStackError, match=f"in use by process {os.getpid()}: stop that one"
        ):
            use()
    other = EmbeddedPostgres(tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    try:
        with other, psycopg.connect(other.url()) as connection:
            assert connection.execute("select to_regclass('kept')").fetchone() == (
                None,
            )
            assert other.port != server.port
            with pytest.raises(
                psycopg.OperationalError, match="password authentication failed"
            ):
                psycopg.connect(
                    server.url(), password=(tmp_path / "password").read_text()
                )
            assert (tmp_path / "password").stat().st_mode & 0o777 == 0o600
    finally:
        other.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert _word(server) == "kept"


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root has to lend PostgreSQL to another user"
)
def test_under_root_a_hidden_directory_keeps_its_data_and_its_permissions(
    tmp_path: Path,
) -> None:
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


def test_what_a_killed_run_left_behind_goes_when_its_servers_are_gone(
    tmp_path: Path,
) -> None:
    """A run whose process lives is left alone, and so is one whose server does: that may be another container's."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    runs = {}
    for name, pid in (("killed", ended.pid), ("alive", os.getpid())):
        runs[name] = tmp_path / f"pytest-{name}"
        runs[name].mkdir()
        (runs[name] / ".lock").write_text(str(pid))
    with EmbeddedPostgres(runs["killed"] / "postgres"):
        remove_killed_runs(tmp_path)
        assert runs["killed"].exists()
    remove_killed_runs(tmp_path)
    assert [name for name, run in runs.items() if run.exists()] == ["alive"]
