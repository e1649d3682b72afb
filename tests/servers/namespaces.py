"""Machines that are network namespaces on one switch, each with a cable that can be pulled. For root, on Linux.

A namespace lives as long as the process that holds it, and that one as long as the tests: nothing is left of them,
however those end.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from pathlib import Path

from tests.polling import wait_until
from tests.servers import apt

HOST = 254  # the tests, as they are seen on the switch
SECONDS = 30


def unavailable() -> str | None:
    """Why there can be none here; None where there can."""
    if os.geteuid() != 0:
        return "network namespaces are for root"
    if _tried("ip", "-V") or apt.install("iproute2"):
        return None if _tried("unshare", "--net", "ip", "link", "add", "type", "veth") else "no network namespaces here"
    return "ip is not here, and apt-get can not install iproute2"


def _tried(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=SECONDS, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Namespace:
    """`prefix` before a command runs it in here."""

    def __init__(self) -> None:
        # It ends when it reads end-of-file, which is when this process is gone at the latest.
        self._holder = subprocess.Popen(
            ["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        self.pid = self._holder.pid
        self._file = Path(f"/proc/{self.pid}/ns/net")
        wait_until(lambda: self._file.readlink() != Path("/proc/self/ns/net").readlink())
        self.prefix = ("nsenter", f"--net={self._file}", "--")

    def ip(self, *commands: str) -> None:
        _ip(commands, *self.prefix)

    def close(self) -> None:
        self._holder.communicate()


class Switch:
    """`machines` reach each other, and the tests reach them, at `address(number)`; numbers begin at 0."""

    def __init__(self, count: int) -> None:
        self._net = f"198.18.{secrets.randbelow(256)}"  # for tests of networks (RFC 2544): nobody's real address
        self._hub = Namespace()
        self.machines = [Namespace() for _ in range(count)]
        self._hub.ip("link add bridge type bridge", "link set bridge up")
        for number, machine in enumerate(self.machines):
            self._plug_in(f"port{number}", "eth0", machine.pid)
            machine.ip(
                "link set lo up",
                f"link set eth0 address {self._hardware(number)}",
                f"address add {self.address(number)}/24 dev eth0",
                "link set eth0 up",
            )
        self._plug_in_tests(f"l2f{secrets.token_hex(4)}")

    def _plug_in(self, port: str, device: str, pid: int) -> None:
        self._hub.ip(f"link add {port} type veth peer name {device} netns {pid}", f"link set {port} master bridge up")

    def _plug_in_tests(self, device: str) -> None:
        self._plug_in("tests", device, os.getpid())
        # A machine that is not asked for its hardware address is silent once it is cut off, not "unreachable".
        known = [
            f"neighbour replace {self.address(number)} lladdr {self._hardware(number)} dev {device} nud permanent"
            for number in range(len(self.machines))
        ]
        _ip([f"address add {self._net}.{HOST}/24 dev {device}", f"link set {device} up", *known])

    def address(self, number: int) -> str:
        return f"{self._net}.{number + 1}"

    @staticmethod
    def _hardware(number: int) -> str:
        return f"02:00:00:00:00:{number + 1:02x}"

    def cut_off(self, number: int) -> None:
        """All that is sent to it or by it is lost, and nobody is told."""
        self._hub.ip(f"link set port{number} nomaster")

    def join(self, number: int) -> None:
        self._hub.ip(f"link set port{number} master bridge")

    def close(self) -> None:
        for namespace in (*self.machines, self._hub):
            namespace.close()


def _ip(commands: list[str] | tuple[str, ...], *prefix: str) -> None:
    done = subprocess.run(
        [*prefix, "ip", "-batch", "-"], input="\n".join(commands), capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}: {done.stderr}"
