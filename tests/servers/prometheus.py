"""Debian's Prometheus as a process of the tests, in a folder of its own, and its tools."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.polling import wait_until
from tests.servers.installed import program
from tests.servers.listening import running
from tests.servers.ports import free_ports

START_SECONDS = 60.0  # 1 s on a quiet machine
PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def checked(tool: str, *arguments: str | Path) -> tuple[int, str]:
    """The exit code of `tool`, and what it says."""
    done = subprocess.run(
        [program(tool, PACKAGES[tool], tool), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


class Prometheus:
    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[float]:
        """The values of the series that `expression` gives now."""
        return [float(each["value"][1]) for each in self._get("query", query=expression)["result"]]

    def labels(self, expression: str) -> list[dict[str, str]]:
        """Those of the series that `expression` gives now."""
        return [each["metric"] for each in self._get("query", query=expression)["result"]]

    def sick_rules(self) -> list[str]:
        """Its errors when it evaluated rules."""
        rules = [rule for group in self._get("rules")["groups"] for rule in group["rules"]]
        return [f"{rule['name']}: {rule.get('lastError')}" for rule in rules if rule["health"] != "ok"]

    def targets(self) -> dict[str, str]:
        """The health of each, by its job and address."""
        found = self._get("targets", state="active")["activeTargets"]
        return {f"{each['labels']['job']} {each['labels']['instance']}": each["health"] for each in found}

    def _get(self, what: str, **query: str) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{what}", params=query, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@contextmanager
def running_prometheus(folder: Path) -> Iterator[Prometheus]:
    """Run it on `folder/prometheus.yml`."""
    (port,) = free_ports(1)
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    command = [str(program("prometheus", PACKAGES["prometheus"], "Prometheus")), *options]
    with running([*command, f"--web.listen-address=127.0.0.1:{port}"], port, folder):
        wait_until(lambda: _is_ready(port), START_SECONDS)
        yield Prometheus(f"http://127.0.0.1:{port}")


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
