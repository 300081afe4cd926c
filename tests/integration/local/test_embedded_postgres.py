"""The embedded PostgreSQL: it keeps its data through crashes, and leaves no process behind."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from smsretry.errors import LocalStackError
from smsretry.local.postgres import server_user
from smsretry.local.postgres.server import EmbeddedPostgres
from tests.support.processes import ends

_STARTS_ONE_AND_WAITS = """
import sys, time
from pathlib import Path
from smsretry.local.postgres import server_user
from smsretry.local.postgres.server import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1])).start()
print(server.pid, flush=True)
time.sleep(120)
"""
_MAKES_A_USER = """
from smsretry.local.postgres import server_user
server_user._NAME = "a user that is not there"
assert server_user.ServerUser().name == "nobody"
"""
_ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to lend PostgreSQL to another user")


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


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can enter, which pytest's own is not under root."""
    directory = Path(tempfile.mkdtemp(prefix="smsretry-test-"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def _word(server: EmbeddedPostgres) -> str:
    with psycopg.connect(server.url()) as connection:
        row = connection.execute("select word from kept").fetchone()
    return row[0] if row else ""


def test_it_is_postgresql_18_in_utf_8_and_utc(server: EmbeddedPostgres) -> None:
    """The server is the version Supabase is heading for, and its settings depend on nothing of this machine."""
    with psycopg.connect(server.url()) as connection:
        row = connection.execute(
            "select current_setting('server_version_num')::int / 10000, current_setting('server_encoding'),"
            " current_setting('timezone'), current_setting('listen_addresses')"
        ).fetchone()
    assert row == (18, "UTF8", "UTC", "127.0.0.1")


def test_a_stopped_server_is_gone_and_starts_again_on_its_port_with_its_data(server: EmbeddedPostgres) -> None:
    """Stop ends the process; start finds the data."""
    pid, port = server.pid, server.port
    server.stop()
    assert ends(pid)
    server.start()
    assert (server.port, _word(server)) == (port, "kept")


def test_a_server_killed_with_kill_9_keeps_what_was_committed(server: EmbeddedPostgres) -> None:
    """A crash leaves a postmaster.pid behind and loses no committed row."""
    with psycopg.connect(server.url()) as connection:
        backend = connection.info.backend_pid
        server.kill()
        assert ends(backend)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
    server.start()
    assert _word(server) == "kept"


def test_a_crashs_process_id_that_now_belongs_to_another_process_does_not_prevent_a_start(
    server: EmbeddedPostgres,
) -> None:
    """In a container the ids begin anew at every boot, so that the old one is often somebody else's."""
    server.kill()
    data, _ = server._data.prepare()
    identity = {} if server._user.name is None else {"user": server._user.name, "group": server._user.name}
    with subprocess.Popen(["sleep", "60"], **identity) as stranger:  # type: ignore[call-overload]  # keywords from a dict
        try:
            left_over = data / "postmaster.pid"
            _, rest = left_over.read_text().split("\n", 1)
            left_over.write_text(f"{stranger.pid}\n{rest}")
            server.start()
        finally:
            stranger.kill()
    assert _word(server) == "kept"


def test_a_second_server_on_the_same_directory_is_refused_with_the_firsts_process_id(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the process and what to do about it."""
    monkeypatch.setattr("smsretry.local.postgres.data._ENDING_SECONDS", 0.2)
    with pytest.raises(LocalStackError, match=f"process {server.pid}: use that one, or end it"):
        EmbeddedPostgres(server.data_dir).start()
    assert _word(server) == "kept"


def test_another_process_can_use_the_directory_afterwards(server: EmbeddedPostgres) -> None:
    """Everything needed to find and open the data is in the directory."""
    server.stop()
    other = EmbeddedPostgres(server.data_dir)
    with other:
        assert _word(other) == "kept"


def test_nothing_runs_on_after_its_owner_was_killed_with_kill_9(tmp_path: Path) -> None:
    """The guard sees that its owner is gone and ends the server; its data can be used at once."""
    directory = tmp_path / "postgres"
    command = [sys.executable, "-c", _STARTS_ONE_AND_WAITS, str(directory)]
    server = EmbeddedPostgres(directory)
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdout is not None
            pid = int(owner.stdout.readline())
            owner.send_signal(signal.SIGKILL)
        server.start()
        assert ends(pid)
    finally:
        server.remove()


def test_two_servers_run_side_by_side(server: EmbeddedPostgres, tmp_path: Path) -> None:
    """Each has its own port, data and password."""
    other = EmbeddedPostgres(tmp_path / "other")
    try:
        with other, psycopg.connect(other.url()) as connection:
            row = connection.execute("select to_regclass('kept')").fetchone()
            assert row == (None,)
            assert other.port != server.port
    finally:
        other.remove()
    assert _word(server) == "kept"


def test_a_wrong_password_is_refused_and_the_right_one_is_a_private_file(server: EmbeddedPostgres) -> None:
    """Other users of the machine can neither log in nor read the password."""
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.url(), password="wrong")
    assert (server.data_dir / "password").stat().st_mode & 0o777 == 0o600


def test_a_database_is_created_once(server: EmbeddedPostgres) -> None:
    """Creating it again changes nothing."""
    server.create_database("prefect")
    server.create_database("prefect")
    with psycopg.connect(server.url("prefect")) as connection:
        assert connection.info.dbname == "prefect"


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


def test_removing_deletes_the_data_and_nothing_else(open_directory: Path) -> None:
    """A directory that somebody keeps other things in loses only what is the server's."""
    (open_directory / "mine.txt").write_text("mine")
    server = EmbeddedPostgres(open_directory).start()
    assert (open_directory / "pgdata" / "PG_VERSION").exists()
    server.remove()
    assert [path.name for path in open_directory.iterdir()] == ["mine.txt"]


@_ROOT_ONLY
def test_under_root_data_in_a_hidden_directory_stays_there_and_the_directory_keeps_its_permissions(
    tmp_path: Path,
) -> None:
    """Nothing is put anywhere else because PostgreSQL's own user cannot come there by itself."""
    hidden = tmp_path / "hidden"
    hidden.mkdir(mode=0o700)
    server = EmbeddedPostgres(hidden).start()
    try:
        server.create_database("kept")
        server.stop()
        assert (hidden / "pgdata" / "PG_VERSION").exists()
        assert hidden.stat().st_mode & 0o777 == 0o700
        with EmbeddedPostgres(hidden) as again, psycopg.connect(again.url("kept")):
            pass
    finally:
        server.remove()
    assert not hidden.exists()


@_ROOT_ONLY
def test_first_starts_at_once_make_the_user_one_after_the_other(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two `useradd` side by side can both succeed, and the id that one of them was told belongs to nobody then."""
    made, useradd = open_directory / "made", open_directory / "useradd"
    useradd.write_text(f"#!/bin/sh\necho begins >> {made}\nsleep 0.2\necho ends >> {made}\nexit 1\n")
    useradd.chmod(0o755)
    monkeypatch.setenv("PATH", str(open_directory), prepend=os.pathsep)
    starts = [subprocess.Popen([sys.executable, "-c", _MAKES_A_USER], cwd=Path(__file__).parents[3]) for _ in range(3)]
    assert [start.wait(30) for start in starts] == [0, 0, 0]
    assert made.read_text().split() == ["begins", "ends"] * 3


@_ROOT_ONLY
def test_under_root_programs_that_its_user_cannot_reach_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment below /root is such a place, as pytest's own directory is."""
    monkeypatch.setattr(server_user, "BINARIES", tmp_path)
    with pytest.raises(LocalStackError, match="a virtual environment that every user can enter"):
        EmbeddedPostgres(tmp_path / "postgres").start()
