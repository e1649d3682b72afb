"""What must be true of deploy/compose/production.yaml on top of docker-compose.yaml, read as Compose reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deploy.secret_files import Servers, write_missing
from services.configuration import SETTINGS
from tests.servers.compose_config import DEVELOPMENT, PRODUCTION, PROJECT, Configuration, configuration, refusal

NEEDED = {"ISSUER": "https://login.example.com", "SMTP_HOST": "mail.example.com", "MAIL_FROM": "login@example.com"}
BROUGHT_BY_THE_OPERATOR = {"smtp_password"}


@pytest.fixture(scope="module")
def compose() -> Configuration:
    return configuration(DEVELOPMENT, PRODUCTION, environment=NEEDED)


@pytest.fixture(scope="module")
def services(compose: Configuration) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


def test_neither_an_inbox_nor_a_maker_of_secrets_is_started(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == {"postgres", "rabbitmq", "migrate", "auth", "users", "notifier", "portal", "gateway"}


def test_there_are_no_demo_accounts_whatever_the_shell_says() -> None:
    services = configuration(DEVELOPMENT, PRODUCTION, environment=NEEDED | {"DEMO": "1"})["services"]
    assert services["migrate"]["environment"]["DEMO"] == "0"


def test_only_the_gateway_is_published(services: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in services.items() if service.get("ports")} == {"gateway"}
    assert services["gateway"]["ports"][0]["host_ip"] == "127.0.0.1"


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_what_only_you_can_know_is_asked_for_by_name(missing: str) -> None:
    given = {name: value for name, value in NEEDED.items() if name != missing}
    assert f"required variable {missing} is missing" in refusal(DEVELOPMENT, PRODUCTION, environment=given)


@pytest.mark.parametrize("process", sorted(SETTINGS.keys() - {"portal"}))
def test_each_process_sees_its_own_secrets_only(services: dict[str, dict[str, Any]], process: str) -> None:
    seen = {secret["source"] for secret in services[process]["secrets"]}
    files = {name: value for name, value in services[process]["environment"].items() if name.endswith("_FILE")}
    assert seen == {Path(value).name for value in files.values()}
    assert {name.removesuffix("_FILE").lower() for name in files} <= set(SETTINGS[process].model_fields)
    assert f"{process}_rabbitmq_url" in seen


@pytest.mark.parametrize(
    ("server", "own"), [("postgres", {"postgres_password"}), ("rabbitmq", {"rabbitmq_definitions"})]
)
def test_each_server_sees_its_own_password_only(
    services: dict[str, dict[str, Any]], server: str, own: set[str]
) -> None:
    assert {secret["source"] for secret in services[server]["secrets"]} == own


@pytest.mark.parametrize("name", ["gateway", "portal"])
def test_what_people_talk_to_sees_no_secret(services: dict[str, dict[str, Any]], name: str) -> None:
    assert not services[name].keys() & {"secrets", "volumes"}


def test_the_volume_of_development_is_nobodys(compose: Configuration) -> None:
    assert "secrets" not in compose["volumes"]
    for service in compose["services"].values():
        assert "secrets" not in {volume.get("source") for volume in service.get("volumes", [])}


def test_auth_alone_reads_the_signing_keys_and_changes_none(services: dict[str, dict[str, Any]]) -> None:
    """As a folder: a key that is added later has to be seen."""
    mounted = {
        name: volume
        for name, service in services.items()
        for volume in service.get("volumes", [])
        if volume["type"] == "bind"
    }
    assert set(mounted) == {"auth"}
    assert mounted["auth"]["read_only"] is True
    assert mounted["auth"]["target"] == services["auth"]["environment"]["JWT_KEYS_DIR"]
    # Docker would make a folder that is missing: then auth would start without a key instead of Compose saying why.
    assert "create_host_path" not in mounted["auth"]["bind"]


def test_every_file_is_one_that_is_made_or_that_the_operator_brings(tmp_path: Path) -> None:
    """That of the operator's own tool among them: Compose leaves out what no service of the chosen profiles reads."""
    compose = configuration(DEVELOPMENT, PRODUCTION, environment=NEEDED | {"COMPOSE_PROFILES": "tools"})
    write_missing(tmp_path, Servers())
    files = {Path(secret["file"]) for secret in compose["secrets"].values()}
    assert {file.name for file in files} == {path.name for path in tmp_path.iterdir()} - {
        "jwt_keys"
    } | BROUGHT_BY_THE_OPERATOR
    assert {file.parent for file in files} == {PROJECT / "secrets"}


def test_they_lie_where_the_operator_says() -> None:
    environment = NEEDED | {"LOGIN2FA_SECRETS": "/srv/login2fa"}
    compose = configuration(DEVELOPMENT, PRODUCTION, environment=environment)
    places = {secret["file"] for secret in compose["secrets"].values()}
    places |= {volume["source"] for volume in compose["services"]["auth"]["volumes"]}
    assert all(place.startswith("/srv/login2fa/") for place in places)


def test_mail_leaves_and_is_encrypted_unless_somebody_says_otherwise(compose: Configuration) -> None:
    notifier = compose["services"]["notifier"]["environment"]
    assert (notifier["SMTP_SECURITY"], notifier["SMTP_PORT"]) == ("starttls", "587")
    assert not compose["networks"]["mail"].get("internal")
    for name in ("api", "data", "events"):
        assert compose["networks"][name]["internal"] is True


def test_the_example_of_an_env_file_is_all_that_is_needed() -> None:
    services = configuration(DEVELOPMENT, PRODUCTION, env_file=PROJECT / ".env.example")["services"]
    assert services["auth"]["environment"]["ISSUER"] == "https://login.example.com"
    assert services["notifier"]["environment"]["SMTP_HOST"] == "mail.example.com"


def test_it_names_both_files() -> None:
    (line,) = [line for line in (PROJECT / ".env.example").read_text().splitlines() if line.startswith("COMPOSE_FILE=")]
    files = [PROJECT / name for name in line.removeprefix("COMPOSE_FILE=").split(":")]
    assert files == [DEVELOPMENT, PRODUCTION]
