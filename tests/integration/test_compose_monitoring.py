"""The profile `monitoring` of docker-compose.yaml: containers as confined as the others. It is not run here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.compose_config import DEVELOPMENT, PRODUCTION, PROJECT, Configuration, configuration

WATCHING = {"prometheus", "alertmanager", "grafana"}
MONITORING = PROJECT / "deploy" / "monitoring"
PRODUCTIVE = {"ISSUER": "https://login.example.com", "SMTP_HOST": "mail.example.com", "MAIL_FROM": "login@example.com"}


@pytest.fixture(scope="module")
def compose() -> Configuration:
    return configuration(DEVELOPMENT, environment={"COMPOSE_PROFILES": "monitoring"})


@pytest.fixture(scope="module")
def services(compose: Configuration) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_it_adds_these_three_also_in_production(services: dict[str, dict[str, Any]]) -> None:
    assert services.keys() - configuration(DEVELOPMENT)["services"].keys() == WATCHING
    production = configuration(DEVELOPMENT, PRODUCTION, environment={"COMPOSE_PROFILES": "monitoring", **PRODUCTIVE})[
        "services"
    ]
    assert production.keys() >= WATCHING


@pytest.mark.parametrize("name", sorted(WATCHING))
def test_each_is_confined(services: dict[str, dict[str, Any]], name: str) -> None:
    service, like = services[name], services["mailhog"]
    confined = ("read_only", "cap_drop", "security_opt", "pids_limit", "restart", "logging")
    assert {key: service[key] for key in confined} == {key: like[key] for key in confined}
    assert int(service["mem_limit"]) > 0
    assert service["user"].partition(":")[0] not in ("", "root", "0")
    assert "test" in service["healthcheck"]


@pytest.mark.parametrize("name", sorted(WATCHING))
def test_it_sees_no_secret_and_writes_into_a_volume_of_its_own_alone(
    services: dict[str, dict[str, Any]], name: str
) -> None:
    assert "secrets" not in services[name]
    writable = {each["source"] for each in services[name]["volumes"] if not each.get("read_only")}
    assert writable == {name}
    mounted = [Path(each["source"]) for each in services[name]["volumes"] if each["type"] == "bind"]
    assert mounted
    assert all(path.exists() and path.is_relative_to(MONITORING) for path in mounted)


def test_prometheus_alone_shares_networks_with_what_it_asks(services: dict[str, dict[str, Any]]) -> None:
    networks = {name: set(service.get("networks", {})) for name, service in services.items()}
    assert networks["prometheus"] == {"api", "events", "monitoring"}
    assert networks["alertmanager"] == networks["grafana"] == {"monitoring", "published"}
    assert {name for name, joined in networks.items() if "monitoring" in joined} == WATCHING
    configured = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]
    for job in configured:
        for each in job["static_configs"]:
            service = each["labels"]["service"]
            assert each["targets"][0].partition(":")[0] == service
            assert networks[service] & networks["prometheus"]


def test_what_is_published_is_so_on_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    published = {(name, port["host_ip"]) for name in WATCHING for port in services[name].get("ports", [])}
    assert published == {("alertmanager", "127.0.0.1"), ("grafana", "127.0.0.1")}
