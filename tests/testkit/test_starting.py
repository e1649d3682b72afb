"""Starting a stack for tests: what is said when it does not start, and that nothing is left behind.

The stacks here are small ones; tests/testkit/test_from_outside.py starts the whole.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import login2fa_testing
from login2fa_testing import DockerFailed, Login2FA
from tests.e2e_required import require_public_image
from tests.polling import wait_until
from tests.servers.mailhog import IMAGE

PROJECT = Path(__file__).parents[2]
GONE_SECONDS = 60.0

ILL = f"""
services:
  waiting:
    image: {IMAGE}
    depends_on: {{broken: {{condition: service_healthy}}}}
  broken:
    image: {IMAGE}
    init: true
    entrypoint: [sh, -c, "echo The disk is on fire.; sleep 1000"]
    stop_grace_period: 0s
    healthcheck: {{test: [CMD, "false"], interval: 1s, retries: 1}}
    volumes: ["kept:/kept"]
volumes:
  kept:
"""
LATE = ILL.replace("retries: 1", "retries: 1000")
DYING = ILL.replace("sleep 1000", "exit 3")
SILENT = f"""
services:
  gateway:
    image: {IMAGE}
    ports: ["127.0.0.1:${{GATEWAY_PORT}}:8080"]
"""

CHILD = """
import sys
from pathlib import Path
from login2fa_testing import Login2FA

stack = Login2FA(compose_file=Path(sys.argv[1]))
print(stack.compose.project, flush=True)
stack.start()
"""


@pytest.fixture(autouse=True)
def engine() -> None:
    require_public_image(IMAGE)


@pytest.fixture
def compose_file(tmp_path: Path) -> Path:
    return tmp_path / "docker-compose.yaml"


def left_of(project: str) -> list[str]:
    """Containers, networks and volumes."""
    label = f"label=com.docker.compose.project={project}"
    return [
        name
        for kind in (["ps", "--all"], ["network", "ls"], ["volume", "ls"])
        for name in subprocess.run(
            ["docker", *kind, "--quiet", "--filter", label], capture_output=True, text=True, check=True
        ).stdout.split()
    ]


def why_it_does_not_start(stack: Login2FA) -> str:
    with pytest.raises(DockerFailed) as failed:
        stack.start()
    assert left_of(stack.compose.project) == []
    return str(failed.value)


def test_a_missing_docker_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DockerFailed, match=r"^There is no program `docker` here: install Docker .*Compose"):
        Login2FA().start()


def test_an_engine_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")

    with pytest.raises(DockerFailed, match=r"^No Docker engine answers: start it.*nobody\.sock"):
        Login2FA().start()


def test_an_image_that_was_not_built_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGIN2FA_TAG", "never-built")

    said = why_it_does_not_start(Login2FA())
    assert said.startswith("The image login2fa-gateway:never-built and the image login2fa:never-built is not on this")
    assert said.endswith(
        "run `docker compose build` in a checkout of Login2FA, or name a tag that you have by LOGIN2FA_TAG."
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [(ILL, "broken is unhealthy"), (DYING, "broken ended with exit code 3"), (LATE, "broken was not healthy in time")],
    ids=["unhealthy", "dead", "late"],
)
def test_the_service_at_fault_is_named_with_its_last_lines(compose_file: Path, text: str, fault: str) -> None:
    compose_file.write_text(text)

    said = why_it_does_not_start(Login2FA(compose_file=compose_file, deadline=5))
    assert said == f"The stack did not start: {fault}. Its last lines:\nThe disk is on fire."


def test_a_stack_that_is_healthy_and_does_not_answer_is_not_waited_for_forever(compose_file: Path) -> None:
    compose_file.write_text(SILENT)

    said = why_it_does_not_start(Login2FA(compose_file=compose_file, deadline=3))
    assert said.startswith("The stack does not answer at http://127.0.0.1:")
    assert "The last lines of gateway:\n" in said


@pytest.fixture
def child(compose_file: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that starts a stack which never becomes healthy, and the name of that stack."""
    compose_file.write_text(LATE)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(compose_file)],
        env=os.environ | {"PYTHONPATH": str(Path(login2fa_testing.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    project = process.stdout.readline().strip()
    wait_until(lambda: len(left_of(project)) >= 4, GONE_SECONDS)  # both containers, a network, a volume
    yield process, project
    process.kill()
    process.wait()
    process.stdout.close()


def test_ctrl_c_while_it_starts_leaves_nothing(child: tuple[subprocess.Popen[str], str]) -> None:
    process, project = child
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everybody in the foreground

    assert process.wait(GONE_SECONDS) != 0
    assert left_of(project) == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_test_run_leaves_nothing(child: tuple[subprocess.Popen[str], str], how: signal.Signals) -> None:
    process, project = child
    process.send_signal(how)
    process.wait(GONE_SECONDS)

    wait_until(lambda: not left_of(project), GONE_SECONDS)


def test_settings_in_the_shell_and_in_an_env_file_do_not_reach_it(
    compose_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose_file.write_text(
        f"services: {{one: {{image: {IMAGE}, environment: {{A: '${{AUDIENCE:-none}}', T: '${{TOLD:-none}}'}}}}}}"
    )
    compose_file.with_name(".env").write_text("AUDIENCE=from-the-file\n")
    monkeypatch.setenv("AUDIENCE", "from-the-shell")
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "somebody-elses")
    monkeypatch.setenv("COMPOSE_FILE", "/somebody/elses.yaml")
    stack = Login2FA(compose_file=compose_file, environment={"TOLD": "so"})

    config = stack.compose.run("config").stdout
    assert "A: none" in config
    assert "T: so" in config
    assert config.startswith(f"name: {stack.compose.project}\n")


def test_two_stacks_have_two_names(compose_file: Path) -> None:
    assert Login2FA().compose.project != Login2FA().compose.project
