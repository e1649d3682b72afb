"""Row 16: the file channel's disk is full, its file read-only, or the notifier is killed in a write.

No line is torn, and the message is tried again until its line is there; once more for a kill after the line (I4).
A disk that is really full, where one can be mounted: tests/integration/notifier/test_file_channel.py.
"""

from __future__ import annotations

import fcntl
import os
import re
import resource
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.messaging.amqp import AmqpBus
from tests.builders import message, otp_requested
from tests.composed import Keys
from tests.faults.rows.notifier_process import NotifierProcess, notifier_process
from tests.faults.rows.promises import SHOWN_WITHIN
from tests.polling import eventually

RECOVERED_WITHIN = 15.0  # it is tried again after 1 s, 3 s and 10 s
EMAIL, CODE = "ann@example.org", "519273"
LINE = f"{EMAIL}/{CODE}\n"
FITS = 10  # bytes of LINE, on the full disk

# Root may write where it is not allowed to, unless this is taken from it.
OBEYS_PERMISSIONS = ("setpriv", "--bounding-set=-dac_override") if os.geteuid() == 0 else ()

# More than the log of a test, so that the log has room where the file has none.
BEFORE = "zoe@example.org/111111\n" * 50_000


@dataclass(frozen=True)
class CodesFile:
    """What is written in it, and the notifier that writes it."""

    path: Path
    notifier: NotifierProcess
    amqp_url: str
    keys: Keys

    def new_lines(self) -> str:
        """As another program that keeps to the lock reads it."""
        with self.path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)
            content = file.read()
        assert content.startswith(BEFORE)
        return content.removeprefix(BEFORE)

    def fill_disk(self) -> None:
        """No file that the notifier writes may grow beyond this one and a few bytes: the next line is cut there."""
        self._limit_files(self.path.stat().st_size + FITS)

    def empty_disk(self) -> None:
        self._limit_files(None)

    def _limit_files(self, size: int | None) -> None:
        _, most = resource.prlimit(self.notifier.program.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.notifier.program.pid, resource.RLIMIT_FSIZE, (most if size is None else size, most))

    async def code_is_asked_for(self) -> None:
        bus = AmqpBus(self.amqp_url)
        await bus.publish(message(otp_requested(self.keys.otp_sealer, email=EMAIL, code=CODE)))
        await bus.close()

    async def is_put_off(self) -> None:
        async def shown() -> bool:
            return "retry" in await self.notifier.counted()

        await eventually(shown, SHOWN_WITHIN)


@pytest.fixture
async def codes(keys: Keys, amqp_url: str, tmp_path: Path) -> AsyncIterator[CodesFile]:
    path = tmp_path / "otp-logs.txt"
    path.write_text(BEFORE)
    async with notifier_process(
        keys,
        amqp_url,
        tmp_path,
        prefix=OBEYS_PERMISSIONS,
        failpoints=True,
        NOTIFIER_CHANNEL="file",
        OTP_LOG_FILE=str(path),
    ) as notifier:
        await notifier.start()
        yield CodesFile(path, notifier, amqp_url, keys)
        assert not re.search(rf"(?<![\w.-]){CODE}(?![\w-])", notifier.program.log.read_text())


async def test_on_a_full_disk_no_line_is_torn_and_the_code_arrives_when_there_is_room(codes: CodesFile) -> None:
    codes.fill_disk()
    await codes.code_is_asked_for()

    await codes.is_put_off()
    assert codes.new_lines() == ""
    codes.empty_disk()

    await eventually(lambda: codes.new_lines() == LINE, RECOVERED_WITHIN)


async def test_to_a_read_only_file_the_code_is_written_when_it_is_no_longer(codes: CodesFile) -> None:
    codes.path.chmod(0o400)
    await codes.code_is_asked_for()

    await codes.is_put_off()
    assert codes.new_lines() == ""
    codes.path.chmod(0o600)

    await eventually(lambda: codes.new_lines() == LINE, RECOVERED_WITHIN)


@pytest.mark.parametrize(("full", "left", "then"), [(True, LINE[:FITS], LINE), (False, LINE, LINE + LINE)])
async def test_killed_in_a_write_it_leaves_no_torn_line_when_the_code_is_written_again(
    codes: CodesFile, full: bool, left: str, then: str
) -> None:
    if full:
        codes.fill_disk()
    codes.notifier.program.arm("file: written")
    await codes.code_is_asked_for()

    assert await codes.notifier.program.ended() == -signal.SIGKILL
    assert codes.new_lines() == left
    await codes.notifier.start()

    await eventually(lambda: codes.new_lines() == then, RECOVERED_WITHIN)
