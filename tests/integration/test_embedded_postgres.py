"""The PostgreSQL of `make up`: it starts from nothing, keeps its state, and survives what happens to laptops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.postgres.roles import NAMES
from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.prepare import prepare
from tests.polling import wait_until
from tests.servers.databases import asyncpg_dsn
from tests.servers.embedded import PROJECT, ask, embedded, running

# Stands for `make up`: starts a server, tells its number, and waits to be killed.
PARENT = """
import signal, sys
from pathlib import Path
from deploy.standalone.postgres import EmbeddedPostgres
postgres = EmbeddedPostgres(Path(sys.argv[1]))
postgres.start()
print(postgres.pid, flush=True)
signal.pause()
"""


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with embedded(tmp_path / "pg") as postgres:
        yield postgres


def test_it_starts_from_nothing_and_listens_on_a_socket_only(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    assert ask(postgres, "SHOW server_version").startswith("18.")
    assert ask(postgres, "SHOW listen_addresses") == ""
    assert (ask(postgres, "SHOW fsync"), ask(postgres, "SHOW shared_buffers")) == ("on", "32MB")
    assert postgres.poll() is None


def test_nobody_gets_in_without_a_password(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    environment = os.environ | postgres.libpq_env(password="")
    done = subprocess.run([postgres.psql(), "-w", "-c", "SELECT 1"], env=environment, capture_output=True, check=False)
    assert done.returncode != 0
    assert set(ask(postgres, "SELECT auth_method FROM pg_hba_file_rules").split()) == {"scram-sha-256"}
    assert (postgres.folder / "superuser-password").stat().st_mode & 0o777 == 0o600


async def test_its_url_serves_sqlalchemy_and_asyncpg(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.start()
    monkeypatch.setenv("PGPORT", "1")  # somebody's environment leads nowhere else
    await prepare(postgres, {"auth": "s p@ce/:'\"%", "users": "other", "migrator": "third"})
    url = postgres.url("auth", "s p@ce/:'\"%", "login2fa")

    engine = create_async_engine(url)
    async with engine.connect() as connection:
        assert await connection.scalar(text("SELECT current_schema()")) == "auth"
    await engine.dispose()
    direct = await asyncpg.connect(asyncpg_dsn(url))
    await direct.close()


async def test_preparing_again_changes_the_passwords_and_keeps_the_data(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    for password in ("first", "second"):
        await prepare(postgres, dict.fromkeys(NAMES, password))
        connection = await asyncpg.connect(asyncpg_dsn(postgres.url("migrator", password, "login2fa")))
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS users.kept (); ALTER TABLE users.kept ADD COLUMN x" + password + " int"
        )
        await connection.close()


def test_state_survives_a_stop(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = postgres.pid

    postgres.stop()
    assert not running(pid)
    postgres.start()

    assert ask(postgres, "SELECT answer FROM kept") == "42"


def test_state_survives_a_kill_of_the_server_and_the_kill_is_noticed(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    ask(postgres, "CREATE TABLE kept AS SELECT 42 AS answer")

    os.kill(postgres.pid, signal.SIGKILL)
    wait_until(lambda: postgres.poll() is not None)
    postgres.start()

    assert ask(postgres, "SELECT answer FROM kept") == "42"


def test_a_server_whose_parent_was_killed_is_replaced_and_its_state_kept(postgres: EmbeddedPostgres) -> None:
    command = [sys.executable, "-c", PARENT, str(postgres.folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        orphan = int(parent.stdout.readline())
        parent.kill()
    assert running(orphan)

    postgres.start()

    assert not running(orphan)
    assert ask(postgres, "SELECT 1") == "1"


def test_a_recycled_number_in_a_stale_lock_file_is_not_signalled(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    lock = (postgres.data / "postmaster.pid").read_text()
    postgres.stop()
    # Even one that stands in the data folder, as a curious person's shell does.
    with subprocess.Popen(["sleep", "60"], cwd=postgres.data) as foreign:
        (postgres.data / "postmaster.pid").write_text(lock.replace(lock.split("\n")[0], str(foreign.pid), 1))

        postgres.start()

        assert ask(postgres, "SELECT 1") == "1"
        assert foreign.poll() is None
        foreign.kill()


def test_what_a_killed_initdb_left_is_cleared_away(postgres: EmbeddedPostgres) -> None:
    half = postgres.folder / "data.new-abc"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    postgres.start()

    assert ask(postgres, "SELECT 1") == "1"
    assert not list(postgres.folder.glob("data.new-*"))


def test_a_path_too_long_for_a_socket_gets_a_loopback_port(tmp_path: Path) -> None:
    with embedded(tmp_path / ("long" * 25)) as postgres:
        postgres.start()
        assert ask(postgres, "SHOW listen_addresses") == "127.0.0.1"
        assert postgres.libpq_env()["PGHOST"] == "127.0.0.1"


@pytest.mark.parametrize("name", ["with space", "colon:comma,", "quote'\"", "päth"])
def test_the_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    with embedded(tmp_path / name) as postgres:
        postgres.start()
        assert ask(postgres, "SELECT 1") == "1"


def test_two_run_side_by_side(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    postgres.start()
    with embedded(tmp_path / "other") as other:
        other.start()
        ask(postgres, "CREATE TABLE mine ()")
        assert ask(other, "SELECT to_regclass('mine') IS NULL") == "t"
    assert ask(postgres, "SELECT 1") == "1"


def test_ctrl_c_does_not_reach_it(postgres: EmbeddedPostgres) -> None:
    postgres.start()

    assert os.getpgid(postgres.pid) != os.getpgid(0)
    assert os.getsid(postgres.pid) != os.getsid(0)


def test_its_log_holds_no_statement_and_no_row(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    ask(postgres, "CREATE TABLE account (name text NOT NULL, hash text UNIQUE)")
    ask(postgres, "INSERT INTO account VALUES ('ann', 'the-hash')")
    for values in ("(NULL, 'the-other-hash')", "('bob', 'the-hash')", "('bob', 'the-hash', 3)"):
        with pytest.raises(AssertionError, match="ERROR"):
            ask(postgres, f"INSERT INTO account VALUES {values}")

    log = postgres.log.read_text()
    assert "ERROR" in log
    assert "hash'" not in log
    assert "the-" not in log
    assert postgres.log.stat().st_mode & 0o077 == 0
