"""The real topology in containers: the compose file on free ports, entered through the gateway alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from sqlalchemy import make_url

from login2fa_testing import Login2FA
from tests.servers.leash import Leash, kill_group
from tests.stacks.inboxes import MailHog
from tests.stacks.processes import ANSWER_SECONDS
from tests.stacks.program import HASH_MAX_WAIT, LOGIN_FAILURE_DEADLINE, Program
from tests.stacks.stack import Person, Stack

POSTGRES_PORT = Path(__file__).with_name("postgres_port.yaml")
POSTGRES = 5432
START_SECONDS = 900.0  # 30 s on a quiet machine
MAILHOG = 8025


class Containers(Stack):
    """`system` has been started with POSTGRES_PORT on top; `log` is a file that its logs are led into."""

    name = "containers"

    def __init__(self, system: Login2FA, log: Path) -> None:
        super().__init__()
        self.system = system
        self.inbox = MailHog(system.inbox, f"http://127.0.0.1:{system.compose.port('mailhog', MAILHOG)}")
        self.http = httpx.AsyncClient(base_url=system.base_url, timeout=ANSWER_SECONDS, trust_env=False)
        demo = system.demo_admin
        self.admin = Person(email=demo.email, username=demo.username, password=demo.password, is_2fa=True)
        self.auth_database_url = self._database_url("auth")
        self.users_database_url = self._database_url("users")
        self._log = log

    def _database_url(self, service: str) -> str:
        """As that service has it, from outside."""
        done = self.system.compose.exec(service, "cat", f"/run/secrets/{service}_database_url")
        assert done.returncode == 0, done.stderr
        url = make_url(done.stdout.strip()).set(host="127.0.0.1", port=self.system.compose.port("postgres", POSTGRES))
        return url.render_as_string(hide_password=False)

    @property
    def programs(self) -> list[Program]:
        return []  # they are processes of the engine

    @property
    def logs(self) -> list[Path]:
        return [self._log]

    def written(self) -> str:
        # Asked for anew: what the file gets comes a moment later.
        return self.system.compose.logs()


@contextmanager
def containers(folder: Path) -> Iterator[Containers]:
    """Started with the images that are there; removed at the end, volumes and all."""
    environment = {
        "LOGIN_FAILURE_DEADLINE": LOGIN_FAILURE_DEADLINE,
        "HASH_MAX_WAIT": HASH_MAX_WAIT,
        # All clients of a test are one address.
        "FLOOD_RATE": "0",
        "THROTTLE_ADDRESS_PER_HOUR": "10000",
    }
    with Login2FA(extra_compose_files=[POSTGRES_PORT], environment=environment, deadline=START_SECONDS) as system:
        log = folder / "containers.log"
        with _logs_led_into(log, system):
            yield Containers(system, log)


@contextmanager
def _logs_led_into(log: Path, system: Login2FA) -> Iterator[None]:
    command = [*system.compose.by_name, "logs", "--no-color", "--follow"]
    with log.open("wb") as output:
        follower = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    leash = Leash(follower.pid)
    try:
        yield
    finally:
        leash.release()
        kill_group(follower)
