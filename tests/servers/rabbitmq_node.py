"""A private RabbitMQ node from the installed package: nothing of it is shared with a broker of the machine.

Own node name, ports (AMQP, distribution, epmd), folders, cookie, configuration and user; no plugins. Works as
root and as an ordinary user, and several run side by side. `kill` and `start` again keep its data, for tests
of a broker that goes away. `Member` makes it one of a cluster (`tests/servers/rabbitmq_cluster.py`).
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.polling import wait_until
from tests.servers.amqp_greeting import server_version
from tests.servers.leash import Leash, kill_group
from tests.servers.ports import free_ports

START_SECONDS = 90.0  # 6 s on a quiet machine
CTL_SECONDS = 240.0
END_SECONDS = 90.0


class NodeFailed(Exception):
    """The node did not start; the text is the end of what it wrote."""


@dataclass(frozen=True)
class Member:
    """The things that nodes of a cluster share, and the address of this one. `prefix` runs a command where it lives.

    `epmd_port` is the same for all: each node asks the epmd at another's address for its port.
    """

    address: str
    epmd_port: int
    cookie: str
    password: str = field(repr=False)
    prefix: tuple[str, ...]
    configuration: str

    @property
    def name(self) -> str:
        return f"rabbit@{self.address}"


def installed_sbin() -> Path | None:
    """The folder of the real scripts: Debian's wrappers on PATH insist on the system broker's user."""
    on_path = shutil.which("rabbitmq-server")
    candidates = [
        *sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin"), reverse=True),
        *([Path(on_path).resolve().parent] if on_path else []),
    ]
    return next((folder for folder in candidates if (folder / "rabbitmq-env").exists()), None)


class PrivateNode:
    """`start`, `ctl`, `kill` or `stop`, `start` again, and `remove` at the end."""

    user = "tests"

    def __init__(self, sbin: Path, member: Member | None = None) -> None:
        self._sbin = sbin
        self._folder = Path(tempfile.mkdtemp(prefix="login2fa-rabbitmq-"))
        self.password = member.password if member else secrets.token_hex(16)
        self.port, self._dist_port, self._epmd_port = free_ports(3)
        self._prefix: tuple[str, ...] = ()
        self.address, self.name, own = "127.0.0.1", f"{self._folder.name}@localhost", ""
        if member:
            self.address, self.name, own = member.address, member.name, member.configuration
            self._epmd_port, self._prefix = member.epmd_port, member.prefix
            self._write_cookie(member.cookie)
        self._env = self._environment()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._leash: Leash | None = None
        self.url = f"amqp://{self.user}:{self.password}@{self.address}:{self.port}/"
        self._configure(own)

    def _write_cookie(self, cookie: str) -> None:
        file = self._folder / ".erlang.cookie"
        file.write_text(cookie)
        file.chmod(0o400)  # Erlang takes no other

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        interface = self.address.replace(".", ",")
        # Somebody's RABBITMQ_NODENAME or ERL_FLAGS would point us at their broker.
        foreign = ("RABBITMQ_", "ERL_", "XDG_", "NOTIFY_SOCKET")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        return inherited | {
            "HOME": str(folder),  # the cookie's place
            "LC_ALL": "C.UTF-8",
            "ERL_CRASH_DUMP": str(folder / "log" / "erl_crash.dump"),  # else in the folder of whoever runs the tests
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": self.address,
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_USE_LONGNAME": str("." in self.name).lower(),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONFIG_FILES": str(folder / "conf.d"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"-kernel inet_dist_use_interface {{{interface}}}",
            # The script then becomes the server by exec, instead of waiting for it as a shell.
            "RABBITMQ_ALLOW_INPUT": "1",
        }

    def _configure(self, own: str) -> None:
        for name in ("conf.d", "data", "log"):
            (self._folder / name).mkdir()
        (self._folder / "rabbitmq-env.conf").touch()
        (self._folder / "enabled_plugins").write_text("[].\n")
        (self._folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = {self.address}:{self.port}\n"
            # A user of our own: whoever connects to the wrong port with guest/guest gets no further.
            f"default_user = {self.user}\ndefault_pass = {self.password}\n"
            "disk_free_limit.absolute = 1MB\n" + own  # else a small /tmp blocks publishers, and tests hang
        )

    def start(self) -> None:
        """Start, and return when it accepts connections.

        Raises:
            NodeFailed: it ended, or did not accept within START_SECONDS.
        """
        # The server would start an epmd itself, as a daemon that survives it.
        epmd = self._spawn("epmd", "-port", str(self._epmd_port), "-address", self.address)
        server = self._spawn(str(self._sbin / "rabbitmq-server"), "-noinput")
        self._processes = [epmd, server]
        self._leash = Leash(epmd.pid, server.pid)
        try:
            wait_until(lambda: server.poll() is not None or server_version(self.port, self.address), START_SECONDS)
        except AssertionError as error:
            raise NodeFailed(self._last_words()) from error
        if server.poll() is not None:
            raise NodeFailed(self._last_words())

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        with (self._folder / "output.log").open("ab") as output:
            return subprocess.Popen(
                [*self._prefix, *command],
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the node in order
            )

    def _last_words(self) -> str:
        return (self._folder / "output.log").read_text(errors="replace")[-2000:]

    def logged(self) -> str:
        """The end of its log."""
        return "".join(path.read_text(errors="replace") for path in self._folder.glob("log/*@*.log"))[-4000:]

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl (0.8 s or more each) and return what it printed."""
        return self.tool("rabbitmqctl", *arguments)

    def tool(self, script: str, *arguments: str) -> str:
        """As `ctl`, with another script of RabbitMQ's: `rabbitmq-upgrade`, `rabbitmq-queues`."""
        done = subprocess.run(
            [*self._prefix, self._sbin / script, *arguments],
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CTL_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise NodeFailed(f"{script} {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def stored(self) -> bytes:
        """All that its files hold: messages, and what it has logged."""
        return b"".join(path.read_bytes() for path in self._folder.rglob("*") if path.is_file())

    def kill(self) -> None:
        """Kill -9, epmd included; the data stays."""
        if self._leash:
            self._leash.release()
            self._leash = None
        for process in reversed(self._processes):
            kill_group(process)
        self._processes = []

    def stop(self) -> None:
        """SIGTERM, and return when it has ended in order; its epmd goes with it."""
        server = self._processes[-1]
        server.terminate()
        server.wait(END_SECONDS)
        self.kill()

    @property
    def runs(self) -> bool:
        return bool(self._processes)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self._processes:
            os.killpg(process.pid, number)

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
