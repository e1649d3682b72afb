"""The file channel: one whole line a delivery, whoever writes beside it, and whatever broke before."""

# ruff: noqa: ASYNC240 - a test may block for as long as it takes to read a small file

from __future__ import annotations

import asyncio
import fcntl
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.messaging.bus import Done, GiveUp, Handler, Retry
from shared.messaging.topology import ACCOUNT_CODES
from tests.builders import code_requested, delivery
from tests.composed import Keys
from tests.composed_notifier import running_notifier
from tests.integration.notifier.conftest import Requested
from tests.polling import eventually

PROJECT = Path(__file__).parents[3]
LOCKS = Path("/proc/locks")  # an arrow marks who waits


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "otp-logs.txt"


@pytest.fixture
async def notifier(keys: Keys, path: Path) -> AsyncIterator[Handler]:
    async with running_notifier(keys, notifier_channel="file", otp_log_file=path) as handler:
        yield handler


async def test_a_delivery_is_one_line_of_address_and_code(notifier: Handler, requested: Requested, path: Path) -> None:
    for email, code in (("ann@example.org", "000042"), ("bob@example.org", "519273")):
        assert await notifier(delivery(requested(email=email, code=code))) == Done()

    assert path.read_text() == "ann@example.org/000042\nbob@example.org/519273\n"


async def test_an_account_code_is_a_line_with_its_purpose_beside_the_login_codes_and_not_among_them(
    keys: Keys, path: Path
) -> None:
    settings: dict[str, Any] = {"notifier_channel": "file", "otp_log_file": path}
    async with running_notifier(keys, queue=ACCOUNT_CODES.queue, **settings) as account_codes:
        for purpose, code in (("verify", "0123456789"), ("reset", "K7X9M2Q4TZ")):
            event = code_requested(keys.mailed_sealer, purpose=purpose, code=code)
            assert await account_codes(delivery(event)) == Done()

    beside = path.with_name("otp-logs.txt.account-codes")
    assert beside.read_text() == "ann@example.org/verify/0123456789\nann@example.org/reset/K7X9M2Q4TZ\n"
    assert stat.S_IMODE(beside.stat().st_mode) == 0o600
    assert not path.exists()


async def test_the_file_is_for_its_owner_alone(notifier: Handler, requested: Requested, path: Path) -> None:
    await notifier(delivery(requested()))

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_many_writers_at_once_write_whole_lines(keys: Keys, requested: Requested, path: Path) -> None:
    expected = {f"person{number}@example.org/{number:06d}" for number in range(200)}
    async with (
        running_notifier(keys, notifier_channel="file", otp_log_file=path) as one,
        running_notifier(keys, notifier_channel="file", otp_log_file=path) as other,
    ):
        writers = [
            (one, other)[number % 2](delivery(requested(email=f"person{number}@example.org", code=f"{number:06d}")))
            for number in range(200)
        ]
        assert set(await asyncio.gather(*writers)) == {Done()}

    lines = path.read_text().splitlines()
    assert len(lines) == 200
    assert set(lines) == expected


async def test_a_line_that_another_process_is_writing_is_waited_for_and_not_taken_for_a_torn_one(
    notifier: Handler, requested: Requested, path: Path
) -> None:
    with path.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        other.write("zoe@exam")
        other.flush()
        inode = f":{path.stat().st_ino} "

        waiting = asyncio.ensure_future(notifier(delivery(requested(email="ann@example.org", code="000042"))))
        await eventually(
            lambda: [line for line in LOCKS.read_text().splitlines() if "-> FLOCK" in line and inode in line]
        )
        other.write("ple.org/111111\n")

    assert await waiting == Done()
    assert path.read_text() == "zoe@example.org/111111\nann@example.org/000042\n"


@pytest.mark.parametrize("torn", ["ann@exam", "ann@example.org/", "ann@example.org/0000", "ann@example.org/000042"])
async def test_a_torn_last_line_is_removed_before_the_next_is_written(
    notifier: Handler, requested: Requested, path: Path, torn: str
) -> None:
    path.write_text(f"zoe@example.org/111111\n{torn}")

    assert await notifier(delivery(requested(email="ann@example.org", code="000042"))) == Done()

    assert path.read_text() == "zoe@example.org/111111\nann@example.org/000042\n"


async def test_a_file_that_is_one_torn_line_begins_anew(notifier: Handler, requested: Requested, path: Path) -> None:
    path.write_text("ann@exam")

    await notifier(delivery(requested(email="ann@example.org", code="000042")))

    assert path.read_text() == "ann@example.org/000042\n"


async def test_a_folder_that_is_not_there_is_tried_again(keys: Keys, requested: Requested, tmp_path: Path) -> None:
    path = tmp_path / "later" / "otp-logs.txt"
    async with running_notifier(keys, notifier_channel="file", otp_log_file=path) as notifier:
        event = requested()
        assert await notifier(delivery(event)) == Retry("cannot write otp-logs.txt: No such file or directory")

        path.parent.mkdir()

        assert await notifier(delivery(event, attempt=2)) == Done()


async def test_an_address_with_a_line_break_does_not_forge_a_line(
    notifier: Handler, requested: Requested, path: Path
) -> None:
    outcome = await notifier(delivery(requested(email="ann@example.org\nbob@example.org/111111")))

    assert isinstance(outcome, GiveUp)
    assert not path.exists()


# Runs in a mount namespace of its own, so that nothing of it stays on the machine. The file ends ten bytes before
# the end of its page, and there is no other: of the next line only ten bytes fit.
FULL_DISK = """
import asyncio, subprocess, sys
from datetime import UTC, datetime
from pathlib import Path

from services.notifier.channel import Delivery, TryLater
from services.notifier.file import FileChannel
from services.notifier.turns import Turn

folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", folder], check=True)
path = folder / "otp-logs.txt"
line = "zoe@example.org/111111\\n"
text = (line * 200)[: 4096 - 10 - len(line)]
text = text[: text.rindex("\\n") + 1]
text += "z" * (4096 - 10 - len(text) - 1) + "\\n"
path.write_text(text)
filler = folder / "filler"
filler.write_bytes(b"x" * 4096)
now = datetime.now(UTC)
delivery = Delivery(
    event_id="1", correlation_id="1", email="ann@example.org", code="000042",
    requested_at=now, expires_at=now,
)
channel = FileChannel(path)
for _ in range(2):
    try:
        asyncio.run(channel.deliver(delivery, Turn(None)))
    except TryLater as failure:
        print(failure)
    assert path.read_text() == text, "a torn line"
filler.unlink()
asyncio.run(channel.deliver(delivery, Turn(None)))
assert path.read_text() == text + "ann@example.org/000042\\n"
print("whole")
"""


def test_a_full_disk_leaves_no_torn_line_and_is_tried_later(tmp_path: Path) -> None:
    namespace = ["unshare", "--user", "--map-root-user", "--mount"]
    able = subprocess.run([*namespace, "mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, check=False)
    if able.returncode:
        pytest.skip("no tmpfs of a few kB can be mounted here: user namespaces are forbidden")

    done = subprocess.run(
        [*namespace, sys.executable, "-c", FULL_DISK, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )

    assert done.returncode == 0, done.stderr
    said = [
        line for line in done.stdout.splitlines() if "mail gets through" not in line and "mail does not" not in line
    ]
    assert said == ["cannot write otp-logs.txt: No space left on device"] * 2 + ["whole"]
