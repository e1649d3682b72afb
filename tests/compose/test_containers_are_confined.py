"""What somebody who has taken over one of our processes finds: no rights, nothing to write, no secret of others."""

from __future__ import annotations

import json

import httpx
import pytest

from deploy.rabbitmq.definitions import known_hashes
from deploy.secret_files import DEFINITIONS
from login2fa_testing import Login2FA
from tests.compose.containers import IMAGES, OURS, every_container, replicas
from tests.servers.docker_cli import docker

ours = pytest.mark.parametrize("service", OURS)


def run_in(system: Login2FA, service: str, script: str) -> str:
    done = system.compose.exec(service, "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@ours
def test_nobody_is_root(system: Login2FA, service: str) -> None:
    assert int(run_in(system, service, "id -u")) > 0
    assert int(run_in(system, service, "id -g")) > 0


@ours
def test_no_capability_is_left_and_none_can_be_had(system: Login2FA, service: str) -> None:
    # Of the process itself: a shell beside it may have other rights.
    status = dict(line.split(":\t") for line in run_in(system, service, "cat /proc/1/status").splitlines())

    capabilities = {name: int(value, 16) for name, value in status.items() if name.startswith("Cap")}
    assert capabilities == {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0}
    assert status["NoNewPrivs"] == "1"


@ours
def test_the_root_file_system_can_not_be_written(system: Login2FA, service: str) -> None:
    for folder in ("/", "/usr/local", "/etc", "/opt", "/home", "/var"):
        done = system.compose.exec(service, "sh", "-c", f"echo x > {folder}/written-by-a-test")
        assert done.returncode != 0, folder
    # Not for want of rights alone: root could not either.
    assert replicas(system, service)[0]["HostConfig"]["ReadonlyRootfs"] is True


@pytest.mark.parametrize(
    "path", ["/metrics", "/livez", "/readyz", "/api/v1/auth/metrics", "/api/v1/users/../../metrics"]
)
def test_no_management_endpoint_is_reached_through_the_gateway(system: Login2FA, path: str) -> None:
    answer = httpx.get(f"{system.base_url}{path}", trust_env=False)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_only_three_ports_are_published_and_on_this_machine_only(system: Login2FA) -> None:
    published = {
        (container["Config"]["Labels"]["com.docker.compose.service"], port, binding["HostIp"])
        for container in every_container(system)
        for port, bindings in container["NetworkSettings"]["Ports"].items()
        for binding in bindings or ()
    }

    assert published == {
        ("gateway", "8080/tcp", "127.0.0.1"),
        ("mailhog", "8025/tcp", "127.0.0.1"),
        ("rabbitmq", "15672/tcp", "127.0.0.1"),
    }


def test_no_secret_is_seen_by_those_who_look_at_containers_images_and_logs(system: Login2FA) -> None:
    secrets = secrets_of(system)
    assert len(secrets) >= 9

    seen = {
        "docker inspect": json.dumps(every_container(system)),
        "docker image inspect": docker("image", "inspect", *IMAGES),
        "docker compose config": system.compose.run("config").stdout,
        "docker compose logs": system.compose.logs(),
    }
    seen |= {f"docker history {image}": docker("history", "--no-trunc", image) for image in IMAGES}
    for place, text in seen.items():
        assert text
        assert [name for name, secret in secrets if secret in text] == [], place


def secrets_of(system: Login2FA) -> list[tuple[str, str]]:
    """Each with the name of its file: a key, a line of one, the password in a URL, or the hash of one."""
    look = f"find . -type f ! -name {DEFINITIONS}"
    text = run_in(system, "auth", f'cd /run/secrets && for file in $({look}); do sed "s|^|$file |" $file; echo; done')
    lines = [line.split(" ", 1) for line in text.splitlines() if " " in line]
    hashes = known_hashes(run_in(system, "auth", f"cat /run/secrets/{DEFINITIONS}"))
    assert hashes
    found = [(f"{DEFINITIONS} of {user}", secret) for user, secret in hashes.items()]
    for name, line in lines:
        secret = line.split("://", 1)[-1].split("@", 1)[0].rpartition(":")[2]
        if not secret.startswith("-----"):
            found.append((name, secret))
    assert all(len(secret) >= 20 for _, secret in found), "what is short is found everywhere"
    return found


def test_the_images_hold_no_secret(system: Login2FA) -> None:
    look = "find / -xdev \\( -name '*.pem' -o -name '*_keys' -o -name '*_peppers' -o -name '*_database_url' \\)"
    for image in IMAGES:
        found = docker(
            "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", f"{look} 2>/dev/null || true"
        )
        assert [path for path in found.split() if "/site-packages/" not in path and "/ssl/" not in path] == []
