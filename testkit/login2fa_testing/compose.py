"""A compose project of its own: unique name, own environment, deadlines, and sentences instead of tracebacks."""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from testcontainers.compose import DockerCompose

from login2fa_testing import docker_command
from login2fa_testing.docker_command import DockerFailed, last_lines
from login2fa_testing.fault import at_fault, states

DOCKER = "docker"
COMMAND_SECONDS = 60.0
ENGINE_SECONDS = 15.0
BUILD_SECONDS = 1800.0
STEP_SECONDS = 0.3
STOP_SECONDS = 3  # what is thrown away need not end in order
OURS = "login2fa"  # how the images begin that no registry has

_CLEAR_LINE = "\x1b[2K"  # Compose begins lines with it, into a pipe too

# What Docker needs of the shell. The rest stays out: the compose file passes on settings like AUDIENCE and MAIL_FROM,
# and somebody's own would change what the tests run on.
_INHERITED = {"PATH", "HOME", "USER", "LANG", "TMPDIR", "SSH_AUTH_SOCK", "LOGIN2FA_TAG"}
_INHERITED_PREFIXES = ("DOCKER_", "BUILDKIT_", "BUILDX_", "XDG_", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def _concerns_docker(name: str) -> bool:
    return name in _INHERITED or name.upper().startswith(_INHERITED_PREFIXES)


class Compose(DockerCompose):
    """`files` are merged in order. `seconds` is how long `up` may take.

    Raises:
        DockerFailed: from every method, with one sentence and what Docker said.
    """

    def __init__(self, files: Sequence[Path], *, environment: Mapping[str, str], seconds: float) -> None:
        super().__init__(files[0].parent, [str(file) for file in files])
        self.project = f"login2fa-testing-{secrets.token_hex(4)}"
        self._seconds = seconds
        inherited = {name: value for name, value in os.environ.items() if _concerns_docker(name)}
        self._environment = inherited | dict(environment)
        self._ports: dict[tuple[str, int], int] = {}

    @cached_property
    def compose_command_property(self) -> list[str]:
        files = [part for file in self.compose_file_name or () for part in ("--file", file)]
        # An empty env file: a developer's own .env beside the compose file would change what the tests run on.
        return [*self.by_name, *files, "--env-file", os.devnull]

    @property
    def by_name(self) -> list[str]:
        """`docker compose` on what runs of this project, wherever its files are by now."""
        return [DOCKER, "compose", "--project-name", self.project]

    def _run_command(
        self, cmd: str | list[str], context: str | None = None
    ) -> subprocess.CompletedProcess[bytes]:  # all of DockerCompose goes through here
        done = self._docker([cmd] if isinstance(cmd, str) else cmd, context=context)
        return subprocess.CompletedProcess(done.args, 0, done.stdout.encode(), done.stderr.encode())

    def run(self, *arguments: str, seconds: float = COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        """Run `docker compose <arguments>` on this project."""
        return self._docker([*self.compose_command_property, *arguments], seconds=seconds)

    # --- up and down

    def up(self, *, scale: Mapping[str, int] | None = None, build: bool = False) -> None:
        """Start what does not run, and return when all of it is healthy.

        Raises:
            DockerFailed: an image is missing, or a service is at fault: with its last lines.
        """
        if build:
            self.run("build", "--quiet", seconds=BUILD_SECONDS)
        self.require_images()
        replicas = [f"--scale={service}={count}" for service, count in (scale or {}).items()]
        try:
            # Our deadline: Compose's own --wait-timeout does not cover the wait for what a service depends on.
            self.run("up", "--no-build", "--quiet-pull", "--wait", *replicas, seconds=self._seconds)
        except DockerFailed as error:
            raise DockerFailed(self._diagnosis(str(error))) from None
        finally:
            self._ports.clear()

    def down(self) -> None:
        """Remove the containers, the networks and the volumes, with everything in them."""
        self._ports.clear()
        self.run("down", "--volumes", "--remove-orphans", "--timeout", str(STOP_SECONDS), seconds=2 * COMMAND_SECONDS)

    # --- one service

    def exec(self, service: str, *command: str, index: int = 1) -> subprocess.CompletedProcess[str]:
        """Run `command` in a replica; the exit code is in the answer."""
        inside = [*self.compose_command_property, "exec", "-T", "--index", str(index), service, *command]
        return docker_command.run(inside, cwd=str(self.context), environment=self._environment, seconds=COMMAND_SECONDS)

    def kill(self, service: str, *, index: int = 1) -> str:
        """Kill -9 one replica, which stays dead; return the id of its container."""
        ids = self.ids(service)
        if len(ids) < index:
            raise DockerFailed(f"{service} has {len(ids)} running replicas, and no number {index}.")
        self._docker([DOCKER, "kill", ids[index - 1]])
        self._ports.clear()
        return ids[index - 1]

    def restart(self, *services: str) -> None:
        """Stop and start them, and return when they are healthy. A port that Docker chose is another one then."""
        self.run("restart", *services, seconds=2 * COMMAND_SECONDS)
        self.wait_until_healthy(*services)

    def start_again(self, *services: str) -> None:
        """Start those of their replicas that are stopped, and return when all are healthy."""
        self.run("start", *services, seconds=self._seconds)
        self.wait_until_healthy(*services)

    def wait_until_healthy(self, *services: str) -> None:
        deadline = time.monotonic() + self._seconds
        while (late := self._not_healthy(services)) and time.monotonic() < deadline:
            time.sleep(STEP_SECONDS)
        self._ports.clear()
        if late:
            raise DockerFailed(self._diagnosis(f"Not healthy within {self._seconds:.0f} s: {', '.join(late)}."))

    def _not_healthy(self, services: tuple[str, ...]) -> list[str]:
        containers = [each for each in self.get_containers(include_all=True) if each.Service in services]
        ill = [str(each.Name) for each in containers if each.State != "running" or each.Health not in {"healthy", ""}]
        return ill + sorted(set(services) - {str(each.Service) for each in containers})

    def logs(self, *services: str, lines: int | None = None) -> str:
        """What they have written, or the last `lines` of it."""
        tail = [] if lines is None else ["--tail", str(lines)]
        done = self.run("logs", "--no-color", "--no-log-prefix", *tail, *services)
        return (done.stdout + done.stderr).replace(_CLEAR_LINE, "")

    def ids(self, service: str) -> list[str]:
        """The containers of its running replicas, by their number."""
        return self.run("ps", "--quiet", "--status", "running", service).stdout.split()

    def port(self, service: str, port: int) -> int:
        """The port of 127.0.0.1 under which `port` of `service` is published."""
        if (service, port) not in self._ports:
            address = self.run("port", service, str(port)).stdout.strip()
            if not address:
                raise DockerFailed(f"Port {port} of {service} is not published, or {service} does not run.")
            self._ports[service, port] = int(address.rpartition(":")[2])
        return self._ports[service, port]

    # --- what goes wrong

    def _docker(
        self, command: list[str], *, context: str | None = None, seconds: float = COMMAND_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        done = docker_command.run(
            command, cwd=context or str(self.context), environment=self._environment, seconds=seconds
        )
        if done.returncode != 0:
            raise DockerFailed(
                f"`{' '.join(command)}` ended with {done.returncode}:\n{last_lines(done.stderr or done.stdout)}"
            )
        return done

    def require_engine(self) -> None:
        """Raises `DockerFailed` when there is no Docker, no engine or no Compose."""
        try:
            self._docker([DOCKER, "version", "--format", "{{.Server.Version}}"], seconds=ENGINE_SECONDS)
        except DockerFailed as error:
            if "There is no program" in str(error):
                raise
            raise DockerFailed(
                f"No Docker engine answers: start it, or name one by DOCKER_HOST. It said: {last_lines(str(error), 1)}"
            ) from None
        try:
            self._docker([DOCKER, "compose", "version"], seconds=ENGINE_SECONDS)
        except DockerFailed:
            raise DockerFailed("Docker has no plugin Compose here: install version 2.20 or newer of it.") from None

    def require_images(self) -> None:
        """Raises `DockerFailed` when one of ours is not here; the public ones are pulled."""
        needed = sorted({image for image in self.run("config", "--images").stdout.split() if image.startswith(OURS)})
        present = self._docker([DOCKER, "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).stdout.split()
        missing = [image for image in needed if image not in present]
        if missing:
            raise DockerFailed(
                f"The image {' and the image '.join(missing)} is not on this machine: run `docker compose build` in a "
                "checkout of Login2FA, or name a tag that you have by LOGIN2FA_TAG."
            )

    def _diagnosis(self, said: str) -> str:
        """A sentence that names the service at fault, and its last lines."""
        containers = self.get_containers(include_all=True)
        fault = at_fault(containers)
        if fault is None:
            return f"The stack did not start. {said}\nIts containers: {states(containers)}."
        service, state = fault
        return f"The stack did not start: {service} {state}. Its last lines:\n{last_lines(self.logs(service))}"
