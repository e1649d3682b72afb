"""A name server for A records over UDP: what a test says a name is, from the next question on."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NO_SUCH_NAME = 3
_TYPE_A = 1
_HEADER = struct.Struct("!HHHHHH")
# A pointer to the name in the question, type A, class IN, 1 s to live, 4 bytes.
_RECORD = struct.pack("!HHHIH", 0xC00C, _TYPE_A, 1, 1, 4)


class Dns:
    """`addresses` maps a name to its addresses, all given in every answer; change it at any time.

    `kinds` has the types of record that were asked for, by their numbers: 1 is A, 28 is AAAA.
    """

    def __init__(self, bound: socket.socket) -> None:
        self.addresses: dict[str, list[str]] = {}
        self.kinds: set[int] = set()
        self.address = f"127.0.0.1:{bound.getsockname()[1]}"
        self._socket = bound

    def serve(self) -> None:
        """Answer until an empty datagram arrives."""
        while True:
            question, client = self._socket.recvfrom(512)
            if not question:
                return
            self._socket.sendto(self._answer(question), client)

    def _answer(self, question: bytes) -> bytes:
        labels, position = [], _HEADER.size
        while size := question[position]:
            labels.append(question[position + 1 : position + 1 + size].decode())
            position += 1 + size
        (kind,) = struct.unpack_from("!H", question, position + 1)
        self.kinds.add(kind)
        found = self.addresses.get(".".join(labels), [])
        records = [_RECORD + socket.inet_aton(each) for each in found if kind == _TYPE_A]
        flags = 0x8180 if found else 0x8180 | _NO_SUCH_NAME
        header = _HEADER.pack(*struct.unpack_from("!H", question), flags, 1, len(records), 0, 0)
        return header + question[_HEADER.size : position + 5] + b"".join(records)


@contextmanager
def dns() -> Iterator[Dns]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        server = Dns(bound)
        thread = threading.Thread(target=server.serve)
        thread.start()
        try:
            yield server
        finally:
            bound.sendto(b"", bound.getsockname())
            thread.join()
