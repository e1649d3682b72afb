"""What must stay true of docker-compose.yaml, read as Compose reads it. tests/compose runs it."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from deploy.images import images
from deploy.secret_files import Servers, write_missing
from services.configuration import SETTINGS
from shared.configuration.settings import ProcessSettings
from tests.servers.compose_config import DEVELOPMENT, PROJECT, Configuration, configuration

OURS = {"auth", "users", "notifier", "portal", "gateway"}
THEIRS = {"postgres", "rabbitmq", "mailhog"}
ONE_SHOT = {"secrets", "migrate"}

# Who shares a network with whom, other than the one that only publishes ports.
TOGETHER = {
    frozenset(pair)
    for pair in (
        ("gateway", "auth"),
        ("gateway", "users"),
        ("gateway", "portal"),
        ("portal", "auth"),
        ("portal", "users"),
        ("auth", "users"),
        ("auth", "postgres"),
        ("users", "postgres"),
        ("migrate", "postgres"),
        ("migrate", "auth"),  # on the network of the database
        ("migrate", "users"),
        ("auth", "rabbitmq"),
        ("users", "rabbitmq"),
        ("notifier", "rabbitmq"),
        ("notifier", "auth"),  # on the network of the broker
        ("notifier", "users"),
        ("notifier", "mailhog"),
    )
}

# Set by the image: a container is reached from outside, whatever the default is.
BY_THE_IMAGE = {"host", "port", "management_host", "management_port"}
# Fixed: it must stay below the time that Docker waits.
FIXED = {"shutdown_grace"}
# A file too, but no secret: where the broker's image has its configuration written.
NO_SECRET = {"RABBITMQ_CONFIG_FILE"}
# A process of its own kind, a mail server or a cluster of brokers of its own is an overlay's business.
NOT_HERE = {
    "notifier_channel",
    "mail_http_url",
    "mail_http_headers",
    "mail_http_body",
    "otp_log_file",
    "rabbitmq_urls",
    "smtp_username",
    "smtp_password",
}


@pytest.fixture(scope="module")
def compose() -> Configuration:
    return configuration(DEVELOPMENT)


@pytest.fixture(scope="module")
def services(compose: Configuration) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_there_are_just_these_containers(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == OURS | THEIRS | ONE_SHOT


@pytest.mark.parametrize("name", sorted(OURS | THEIRS | ONE_SHOT))
def test_each_is_confined(services: dict[str, dict[str, Any]], name: str) -> None:
    service = services[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["pids_limit"]) > 0
    assert int(service["mem_limit"]) > 0
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(THEIRS))
def test_no_server_starts_as_root(services: dict[str, dict[str, Any]], name: str) -> None:
    """Ours have their user from the image."""
    assert services[name]["user"] not in ("", "root", "0")


@pytest.mark.parametrize("name", sorted(OURS | THEIRS))
def test_what_lasts_starts_again_by_itself(services: dict[str, dict[str, Any]], name: str) -> None:
    assert services[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(ONE_SHOT))
def test_somebody_waits_for_each_one_shot_so_that_its_end_is_no_failure(
    services: dict[str, dict[str, Any]], name: str
) -> None:
    assert services[name]["restart"] == "no"
    waiting = [each.get("depends_on", {}).get(name) for each in services.values()]
    assert {"condition": "service_completed_successfully", "required": True} in waiting


def test_everything_has_a_health_check(services: dict[str, dict[str, Any]]) -> None:
    assert all("test" in services[name]["healthcheck"] for name in THEIRS)
    # Those of our two images are in the images.
    assert (PROJECT / "deploy" / "Dockerfile").read_text().count("\nHEALTHCHECK ") == 2
    assert not any("healthcheck" in services[name] for name in OURS)


def test_the_gateway_and_the_portal_wait_for_nobody(services: dict[str, dict[str, Any]]) -> None:
    assert "depends_on" not in services["gateway"]
    assert "depends_on" not in services["portal"]


def test_the_portal_has_no_secret(services: dict[str, dict[str, Any]]) -> None:
    assert not services["portal"].keys() & {"secrets", "volumes"}
    assert list(services["portal"]["networks"]) == ["api"]


def test_without_the_portal_the_gateway_has_no_pages() -> None:
    given = {name: configuration(DEVELOPMENT, environment=each)["services"]["gateway"]["environment"]["PORTAL_UPSTREAM"]
             for name, each in {"by default": {}, "without": {"PORTAL_UPSTREAM": ""}}.items()}  # fmt: skip
    assert given == {"by default": "portal:8000", "without": ""}


def test_three_ports_are_published_and_on_this_machine_only(services: dict[str, dict[str, Any]]) -> None:
    published = {
        (name, port["host_ip"], port["published"], port["target"])
        for name, service in services.items()
        for port in service.get("ports", [])
    }
    assert published == {
        ("gateway", "127.0.0.1", "8201", 8080),
        ("mailhog", "127.0.0.1", "8025", 8025),
        ("rabbitmq", "127.0.0.1", "15672", 15672),
    }


def test_who_does_not_work_together_shares_no_network(services: dict[str, dict[str, Any]]) -> None:
    networks = {name: set(service.get("networks", {})) - {"published"} for name, service in services.items()}
    assert {
        frozenset((one, other)) for one, other in combinations(services, 2) if networks[one] & networks[other]
    } == TOGETHER
    assert services["secrets"]["network_mode"] == "none"


def test_what_need_not_leave_can_not(compose: Configuration) -> None:
    networks = compose["networks"]
    assert {name for name, network in networks.items() if not network.get("internal")} == {"published"}
    assert networks["published"]["driver_opts"] == {"com.docker.network.bridge.enable_icc": "false"}
    for name, service in compose["services"].items():
        assert ("published" in service.get("networks", {})) == bool(service.get("ports")), name


def test_no_file_of_the_repository_is_mounted(services: dict[str, dict[str, Any]]) -> None:
    """So that the file can be had alone, with the images."""
    for service in services.values():
        assert {volume["type"] for volume in service.get("volumes", [])} <= {"volume"}
        assert "configs" not in service
        assert "env_file" not in service


def test_any_number_of_replicas_can_run(services: dict[str, dict[str, Any]]) -> None:
    for name in OURS - {"gateway"}:
        assert not {"container_name", "hostname", "ports"} & services[name].keys()


def test_each_image_is_built_once(services: dict[str, dict[str, Any]]) -> None:
    built = {name: service["image"] for name, service in services.items() if "build" in service}
    assert sorted(built.values()) == ["login2fa-gateway:dev", "login2fa:dev"]
    assert {service["image"] for service in services.values()} - set(built.values()) == {
        images()[f"{name}_IMAGE"] for name in ("POSTGRES", "RABBITMQ", "MAILHOG")
    }


@pytest.mark.parametrize("name", sorted(OURS - {"gateway"}))
def test_docker_waits_longer_than_a_process_takes_to_end(services: dict[str, dict[str, Any]], name: str) -> None:
    grace = ProcessSettings.model_fields["shutdown_grace"].default
    assert "SHUTDOWN_GRACE" not in services[name]["environment"]
    assert int(services[name]["stop_grace_period"].removesuffix("s")) >= grace + 5


@pytest.mark.parametrize("process", sorted(SETTINGS))
def test_every_setting_of_a_process_is_given_or_passed_on(services: dict[str, dict[str, Any]], process: str) -> None:
    given = {variable.removesuffix("_FILE").lower() for variable in services[process]["environment"]}
    settings = set(SETTINGS[process].model_fields)
    assert given == settings - BY_THE_IMAGE - FIXED - NOT_HERE


def test_a_setting_of_the_shell_arrives() -> None:
    settings = {"OTP_LIFETIME": "60", "LOG_LEVEL": "debug", "ISSUER": "https://login.example.com", "DEMO": "0"}
    services = configuration(DEVELOPMENT, environment=settings)["services"]

    assert {name: services["auth"]["environment"][name] for name in ("OTP_LIFETIME", "LOG_LEVEL", "ISSUER")} == {
        name: settings[name] for name in ("OTP_LIFETIME", "LOG_LEVEL", "ISSUER")
    }
    assert services["notifier"]["environment"]["LOG_LEVEL"] == "debug"
    assert services["users"]["environment"]["ISSUER"] == settings["ISSUER"]
    assert services["migrate"]["environment"]["DEMO"] == "0"


def test_one_that_is_not_set_keeps_its_default(services: dict[str, dict[str, Any]]) -> None:
    assert services["auth"]["environment"]["OTP_LIFETIME"] is None


def test_secrets_are_named_by_files_and_each_is_one_that_is_made(
    services: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    write_missing(tmp_path, Servers())
    made = {f"/run/secrets/{path.name}" for path in tmp_path.iterdir()}
    for service in services.values():
        given = service.get("environment") or {}
        variables = {name: value for name, value in given.items() if name not in NO_SECRET}
        files = {value for name, value in variables.items() if name.endswith("_FILE") or name == "JWT_KEYS_DIR"}
        assert files <= made
        for name in variables:
            assert not re.search(r"PASSWORD$|PEPPERS$|_KEYS$|DATABASE_URL$|RABBITMQ_URL$", name), name


def test_the_servers_of_the_urls_are_these_containers(services: dict[str, dict[str, Any]]) -> None:
    assert {Servers().postgres, Servers().rabbitmq} <= set(services)
    assert services["postgres"]["environment"]["POSTGRES_DB"] == Servers().database
    assert services["rabbitmq"]["hostname"] == Servers().rabbitmq


def test_the_broker_keeps_its_queues_when_its_container_is_made_anew(services: dict[str, dict[str, Any]]) -> None:
    """RabbitMQ keeps them in a folder named for its host."""
    assert services["rabbitmq"]["hostname"]
    assert {volume["target"] for volume in services["rabbitmq"]["volumes"]} >= {"/var/lib/rabbitmq"}


def test_no_password_is_what_inspect_shows(services: dict[str, dict[str, Any]]) -> None:
    assert set(services["postgres"]["environment"]) == {"POSTGRES_DB"}
    assert set(services["rabbitmq"]["environment"]) == {"RABBITMQ_CONFIG_FILE", "RABBITMQ_LOGS"}
