"""`make up` that can not start says why in one sentence, ends with 2, and leaves everything as it was."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.standalone.postgres import EmbeddedPostgres
from deploy.standalone.postgres.prepare import prepare
from deploy.standalone.state import State
from tests.servers.databases import connected
from tests.stacks.program import Program
from tests.stacks.standalone import Standalone

# Root is refused nothing: under another name, without root's powers, it is an ordinary user.
ORDINARY = ("unshare", "--user", "--map-user=65534", "--map-group=65534") if os.geteuid() == 0 else ()
MOUNTING = ("unshare", "--mount") if os.geteuid() == 0 else ("unshare", "--user", "--map-root-user", "--mount")


class Up:
    """`make up`, expected to end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.program: Program | None = None

    async def refusal(self, prefix: tuple[str, ...] = (), **settings: str) -> str:
        """What it ends with, in one line."""
        self.program = Program("up", "up", settings=settings, folder=self._folder, prefix=prefix)
        self.program.start()
        code = await self.program.ended()
        said = self.program.output().strip()
        assert code == 2, said
        assert len(said.splitlines()) == 1, said
        return said


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    up = Up(tmp_path)
    yield up
    if up.program is not None:
        up.program.kill()


@pytest.fixture(params=["127.0.0.1", "::1"])
def taken(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """An address and a port that somebody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in request.param else socket.AF_INET) as holder:
        try:
            holder.bind((request.param, 0))
        except OSError:
            pytest.skip("This machine has no IPv6.")
        holder.listen()
        yield request.param, str(holder.getsockname()[1])


async def test_a_port_in_use(up: Up, taken: tuple[str, str], tmp_path: Path) -> None:
    """At either address: `localhost` would lead some clients to somebody else."""
    address, port = taken
    state = tmp_path / "state"

    said = await up.refusal(PORT=port, STATE_DIR=str(state))

    assert f"{address}:{port}" in said
    assert "PORT" in said
    assert not state.exists()


async def test_a_folder_that_may_not_be_written(up: Up, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    said = await up.refusal(ORDINARY, PORT="0", STATE_DIR=str(closed / "state"))

    assert str(closed) in said
    assert "STATE_DIR" in said
    assert not list(closed.iterdir())


async def test_a_folder_that_may_be_read_only(up: Up, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)

    said = await up.refusal(ORDINARY, PORT="0", STATE_DIR=str(closed))

    assert str(closed) in said
    assert "STATE_DIR" in said


async def test_a_file_where_the_folder_should_be(up: Up, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    for place in ("file", "file/state"):
        said = await up.refusal(PORT="0", STATE_DIR=str(tmp_path / place))
        assert str(tmp_path / "file") in said
        assert "STATE_DIR" in said
        (tmp_path / "up.log").unlink()


async def test_a_place_where_nothing_can_be_made(up: Up) -> None:
    said = await up.refusal(PORT="0", STATE_DIR="/proc/login2fa")

    assert "/proc/login2fa" in said
    assert "STATE_DIR" in said


async def test_a_full_disk(up: Up, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=20m tmpfs '{disk}' || exit 77; exec \"$@\""
    prefix = (*MOUNTING, "/bin/sh", "-c", mount, "sh")

    said = await up.refusal(prefix, PORT="0", STATE_DIR=str(disk / "state"))

    assert "full" in said
    assert str(disk) in said


async def test_a_folder_of_another_that_runs(up: Up, own_standalone: Standalone) -> None:
    await own_standalone.start()

    said = await up.refusal(PORT="0", STATE_DIR=str(own_standalone.state))

    assert "in use by another running process" in said
    assert (await own_standalone.http.get("/.well-known/jwks.json")).status_code == 200


async def test_a_database_that_another_version_made(up: Up, tmp_path: Path) -> None:
    """Its secrets too were made by that one: what they lack is made."""
    state = State(tmp_path / "state")
    passwords = state.secrets().database_passwords
    file = tmp_path / "state" / "secrets.json"
    kept = json.loads(file.read_text())
    del kept["migrator_password"]
    del kept["edge_keys"]["notifier_to_users_keys"]
    file.write_text(json.dumps(kept))
    postgres = EmbeddedPostgres(state.postgres)
    postgres.start()
    try:
        await prepare(postgres, passwords)
        async with connected(postgres.superuser_url("login2fa")) as admin:
            await admin.execute("SET ROLE migrator; CREATE TABLE auth.alembic_version AS SELECT '0005' AS version_num")
    finally:
        postgres.stop()

    said = await up.refusal(PORT="0", STATE_DIR=str(state.folder))

    assert "Schema auth is at revision 0005, which this version of Login2FA does not know" in said
    assert f"{state.folder} removed" in said
    secrets = json.loads(file.read_text())
    assert secrets["edge_keys"].keys() - kept["edge_keys"].keys() == {"notifier_to_users_keys"}
    assert kept.pop("edge_keys").items() <= secrets["edge_keys"].items()
    assert kept.items() <= secrets.items()


async def test_a_setting_that_is_none(up: Up, tmp_path: Path) -> None:
    said = await up.refusal(PORT="0", STATE_DIR=str(tmp_path / "state"), OTP_ATTEMPTS="many")

    assert "OTP_ATTEMPTS" in said
