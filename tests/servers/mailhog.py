"""A MailHog in a container: SMTP on one port, its HTTP API on another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from testcontainers.core.container import DockerContainer

from deploy.images import images
from tests.polling import wait_until

IMAGE = images()["MAILHOG_IMAGE"]
START_SECONDS = 60.0  # 2 s on a quiet machine


@dataclass(frozen=True)
class MailHog:
    host: str
    smtp_port: int
    url: str


@contextmanager
def running_mailhog() -> Iterator[MailHog]:
    with DockerContainer(IMAGE).with_exposed_ports(1025, 8025) as container:
        host = container.get_container_host_ip()
        mailhog = MailHog(
            host, int(container.get_exposed_port(1025)), f"http://{host}:{container.get_exposed_port(8025)}"
        )
        wait_until(lambda: _answers(mailhog.url), START_SECONDS)
        yield mailhog


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/messages", trust_env=False).is_success
    except httpx.HTTPError:
        return False
