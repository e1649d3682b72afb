"""Login2FA in containers: started for the tests, removed after them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Self

import httpx

from login2fa_testing.compose import Compose
from login2fa_testing.docker_command import DockerFailed, last_lines
from login2fa_testing.inbox import Inbox
from login2fa_testing.leash import Leash
from login2fa_testing.mailhog import MailHogInbox
from login2fa_testing.system import LoginSystem

COMPOSE_FILE = Path(__file__).parent / "docker-compose.yaml"
START_SECONDS = 300.0
ANSWER_SECONDS = 30.0  # once everything is healthy
STEP_SECONDS = 0.2

GATEWAY_PORT = 8080
MAILHOG_PORT = 8025

ENVIRONMENT = {
    "GATEWAY_PORT": "0",  # Docker takes a free port
    "MAILHOG_PORT": "0",
    "RABBITMQ_MANAGEMENT_PORT": "0",
    # All clients of a test are one address, which has a quarter of the wait for a password's hash.
    "HASH_MAX_WAIT": "60",
    # The compose file makes it of the port, which is not known yet. There are no passkeys for an IP address.
    "ISSUER": "http://localhost:8201",
}


class Login2FA(LoginSystem):
    """The whole of Login2FA, from its compose file, on free ports and under a name of its own.

    `environment` holds variables of the compose file, `extra_compose_files` are merged over it, `scale` is a number of
    replicas by service, and `build` builds the images first (in a checkout only). Within `deadline` seconds everything
    has to be healthy. As a context manager it starts and stops; everything is removed at the end.
    """

    def __init__(
        self,
        *,
        compose_file: Path | None = None,
        extra_compose_files: Sequence[Path] = (),
        environment: Mapping[str, str] | None = None,
        scale: Mapping[str, int] | None = None,
        build: bool = False,
        deadline: float = START_SECONDS,
    ) -> None:
        super().__init__()
        # In a checkout the file is a link, and what it names by relative paths lies where it leads.
        files = [(compose_file or COMPOSE_FILE).resolve(), *(file.resolve() for file in extra_compose_files)]
        self.compose = Compose(files, environment={**ENVIRONMENT, **(environment or {})}, seconds=deadline)
        self._scale = dict(scale or {})
        self._build = build
        self._deadline = deadline
        self._leash: Leash | None = None
        self._inbox = MailHogInbox(lambda: f"http://127.0.0.1:{self.compose.port('mailhog', MAILHOG_PORT)}")

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def base_url(self) -> str:
        """The gateway's address. Ask again after a restart of the gateway: Docker takes another port then."""
        return f"http://127.0.0.1:{self.compose.port('gateway', GATEWAY_PORT)}"

    @property
    def network(self) -> str:
        """A Docker network on which containers reach the gateway as `http://gateway:8080`: its port is for the host."""
        return f"{self.compose.project}_api"

    @property
    def inbox(self) -> Inbox:
        return self._inbox

    def start(self) -> None:
        """Return when a login would work.

        Raises:
            DockerFailed: it does not start; the message names what is at fault. Nothing is left behind.
        """
        self.compose.require_engine()
        self._leash = Leash([*self.compose.by_name, "down", "--volumes", "--remove-orphans"])
        try:
            self.compose.up(scale=self._scale, build=self._build)
            self._wait_until_it_answers(time.monotonic() + min(ANSWER_SECONDS, self._deadline))
        except BaseException:  # Ctrl-C too must leave no container behind
            with suppress(DockerFailed):  # what came first says more
                self.close()
            raise

    def close(self) -> None:
        """Close the clients, and remove the containers, networks and volumes."""
        super().close()
        if self._leash is None:
            return
        self.compose.down()
        # Not before: should the removal fail, the leash tries again when this process ends.
        self._leash.release()
        self._leash = None

    def _wait_until_it_answers(self, until: float) -> None:
        """Healthy containers are one thing, the way through the gateway is another."""
        while (silent := self._silent()) is not None:
            if time.monotonic() > until:
                service, what = silent
                raise DockerFailed(
                    f"The stack does not answer at {self.base_url}: {what}. The last lines of {service}:\n"
                    + last_lines(self.compose.logs(service))
                )
            time.sleep(STEP_SECONDS)

    def _silent(self) -> tuple[str, str] | None:
        """A service that is not reached through the gateway, and what comes instead."""
        expected = {"auth": (self.jwks_url, HTTPStatus.OK), "users": (f"{self.api_url}/users/me", 401)}
        for service, (url, status) in expected.items():
            try:
                answer = httpx.get(url, trust_env=False)
            except httpx.HTTPError as error:
                return "gateway", f"{type(error).__name__} {error}"
            if answer.status_code != status:
                return service, f"GET {url} gives {answer.status_code}"
        return None
