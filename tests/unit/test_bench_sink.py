"""The mail server of the bench."""

from __future__ import annotations

import pytest

from tests.bench.sink import Smtp


class Wire:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_the_mail_server_takes_commands_that_come_together_or_in_pieces(step: int) -> None:
    arrivals: dict[str, float] = {}
    smtp, wire = Smtp(arrivals), Wire()
    smtp.connection_made(wire)  # type: ignore[arg-type] # it writes, and that is all
    envelope = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<%s>\r\nDATA\r\n"
    said = b"EHLO us\r\n" + b"".join(envelope % to + body for to, body in MAILS) + b"QUIT\r\n"
    for first in range(0, len(said), step):
        smtp.data_received(said[first : first + step])
    assert list(arrivals) == ["one@b.example", "two@b.example"]
    codes = [line[:3] for line in wire.written.splitlines() if line[3:4] == b" "]
    assert codes == [b"220", b"250", *[b"250", b"250", b"354", b"250"] * 2, b"221"]


MAILS = ((b"one@b.example", b"Subject: x\r\n\r\n..\r\nQUIT\r\n.\r\n"), (b"two@b.example", b".\r\n"))
