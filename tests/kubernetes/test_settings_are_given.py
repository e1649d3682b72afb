"""Each process gets what it needs to start, under names that it knows, and no secret stands in a manifest."""

from __future__ import annotations

import base64
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from deploy.secret_files import Servers, write_missing
from services.configuration import SETTINGS, is_required
from shared.configuration.settings import ProcessSettings, load
from tests.kubernetes.conftest import SOURCE
from tests.kubernetes.manifests import Container, Manifests

COMMANDS = {
    "migrate": {"MIGRATOR_DATABASE_URL", "REQUIRE_TLS"},
    "roles": {"ADMIN_DATABASE_URL", "MIGRATOR_DATABASE_URL", "AUTH_DATABASE_URL", "USERS_DATABASE_URL"},
}
# Their defaults lead to the machine itself, where in a cluster nobody is.
CHOSEN = {
    "auth": {"ISSUER", "HOST", "MANAGEMENT_HOST", "TRUSTED_PROXIES"},
    "users": {"ISSUER", "HOST", "MANAGEMENT_HOST", "TRUSTED_PROXIES", "AUTH_JWKS_URL"},
    "notifier": {"MANAGEMENT_HOST", "SMTP_HOST", "MAIL_FROM"},
    "portal": {"ISSUER", "HOST", "MANAGEMENT_HOST", "TRUSTED_PROXIES", "AUTH_URL", "USERS_URL"},
}
SECRETS = {
    name.upper()
    for settings in SETTINGS.values()
    for name, field in settings.model_fields.items()
    if "SecretStr" in str(field.annotation) or field.annotation is SecretStr
}


def gateway_variables() -> set[str]:
    templates = (SOURCE.parent / "gateway" / "templates").iterdir()
    return {name for template in templates for name in re.findall(r"\$\{([A-Z_]+)\}", template.read_text())}


def known(command: str) -> set[str]:
    if command == "gateway":
        return gateway_variables()
    if command in COMMANDS:
        return COMMANDS[command]
    return {name.upper() for name in SETTINGS[command].model_fields}


def needed(command: str) -> set[str]:
    if command not in SETTINGS:
        return known(command) - {"REQUIRE_TLS"}
    fields = SETTINGS[command].model_fields.items()
    return {name.upper() for name, field in fields if is_required(field)} | CHOSEN[command]


def given(manifests: Manifests, container: Container) -> set[str]:
    return {name.removesuffix("_FILE") for name in manifests.environment(container)}


def keys_of_secrets(manifests: Manifests) -> dict[str, set[str]]:
    """Made by the overlay itself, or, where they come from outside, by the example."""
    if manifests.all("Secret"):
        return {_without_hash(each["metadata"]["name"]): set(each["data"]) for each in manifests.all("Secret")}
    example = yaml.safe_load_all((SOURCE / "examples" / "external-secrets.yaml").read_text())
    return {each["metadata"]["name"]: {item["secretKey"] for item in each["spec"].get("data", [])} for each in example}


def _without_hash(name: str) -> str:
    return re.sub(r"-[a-z0-9]{10}$", "", name)


def test_every_variable_is_a_setting_of_the_process_that_gets_it(manifests: Manifests) -> None:
    seen = set()
    for container in manifests.containers():
        seen.add(container.command)
        assert given(manifests, container) - known(container.command) == set(), container
    assert seen >= {"auth", "users", "notifier", "portal", "gateway", "migrate"}


def test_every_setting_that_a_process_can_not_do_without_is_given(manifests: Manifests) -> None:
    for container in manifests.containers():
        assert needed(container.command) - given(manifests, container) == set(), container


def test_every_secret_is_read_from_a_file_of_a_secret_that_has_it(manifests: Manifests) -> None:
    secrets = keys_of_secrets(manifests)
    for container in manifests.containers():
        mounted = manifests.secret_files(container)
        for name, value in manifests.environment(container).items():
            assert name not in SECRETS | COMMANDS["roles"], f"{container}: {name} is a secret, and stands in clear"
            if name.endswith("_FILE"):
                path = Path(value)
                secret, key = mounted.get(value) or (mounted[str(path.parent)][0], path.name)
                assert key in secrets[_without_hash(secret)], f"{container}: {name}"
                assert key == name.removesuffix("_FILE").lower()


def test_every_process_gets_its_own_secrets_and_no_others(manifests: Manifests) -> None:
    for container in manifests.containers():
        if container.command not in SETTINGS:
            continue
        secrets = keys_of_secrets(manifests).get(container.command, set())
        assert secrets == {name.lower() for name in SECRETS & given(manifests, container)}, container


def test_the_signing_keys_are_mounted_for_auth_alone(manifests: Manifests) -> None:
    holders = {c.workload for c in manifests.containers() if ("jwt-keys", None) in manifests.secret_files(c).values()}
    assert holders == {"auth"}
    auth = manifests.container("auth")
    assert manifests.secret_files(auth)[manifests.environment(auth)["JWT_KEYS_DIR"]] == ("jwt-keys", None)


@pytest.mark.parametrize("service", sorted(SETTINGS))
def test_a_process_would_start_with_what_it_gets(
    manifests: Manifests, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_missing(tmp_path / "login2fa", Servers(tls=manifests.overlay == "production"))
    (tmp_path / "login2fa" / "smtp_password").write_text("a password of the mail server")
    broker_url = tmp_path / "login2fa" / "rabbitmq_url"
    if service != "portal":
        shutil.move(tmp_path / "login2fa" / f"{service}_rabbitmq_url", broker_url)
    shutil.move(tmp_path / "login2fa" / "jwt_keys", tmp_path / "jwt_keys")
    for name in list(os.environ):
        monkeypatch.delenv(name)
    for name, value in manifests.environment(manifests.container(service)).items():
        monkeypatch.setenv(name, value.replace("/run/secrets", str(tmp_path)))
    settings = load(SETTINGS[service])
    assert settings.management_host == "0.0.0.0"
    assert not isinstance(settings, ProcessSettings) or (settings.broker_urls == [broker_url.read_text()])
    assert settings.require_tls == (manifests.overlay == "production")


def test_demo_accounts_are_nowhere(manifests: Manifests) -> None:
    for container in manifests.containers():
        assert "DEMO" not in manifests.environment(container), container


def test_the_migration_of_production_refuses_plain_text_too(production: Manifests) -> None:
    assert production.environment(production.container("migrate"))["REQUIRE_TLS"] == "true"


def test_no_secret_stands_in_a_manifest_in_git() -> None:
    for path in SOURCE.rglob("*"):
        if path.is_file() and "secrets" not in path.relative_to(SOURCE).parts:
            text = path.read_text()
            assert not re.search(r"^kind: Secret$|stringData|PRIVATE KEY|://[^/\s:]+:[^@\s]+@", text, re.MULTILINE), (
                path
            )


def test_the_secrets_of_a_trial_are_kept_out_of_git() -> None:
    assert (SOURCE / "overlays" / "development" / ".gitignore").read_text().split() == ["/secrets/"]


def test_what_comes_from_a_secret_file_is_in_secrets_alone(development: Manifests, secrets: Path) -> None:
    values = {path.name: path.read_text() for path in secrets.iterdir() if path.is_file()}
    for document in development.documents:
        text = "".join(str(document).replace("\\n", "").split())  # long values are wrapped
        found = {name for name, value in values.items() if value in text or _encoded(value) in text}
        assert (document["kind"] == "Secret") == bool(found), document["metadata"]["name"]


def _encoded(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def test_production_brings_no_secret_of_its_own(production: Manifests) -> None:
    assert production.all("Secret") == []
