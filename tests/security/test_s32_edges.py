"""S32: who is reachable from outside, what a client can claim of itself, what a process that was taken over can do.

On the files as they are shipped and the services as they are composed. The same is tried on the running gateway
(tests/gateway/test_headers.py), on running containers (tests/compose) and for Kubernetes (tests/kubernetes).
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.composed import AUTH, USERS, AuthApp, UsersApp, bearer
from tests.security.doors import ACCESS
from tests.security.somebody import LoggedIn
from tests.servers.compose_config import DEVELOPMENT, PROJECT

TEMPLATES = PROJECT / "deploy" / "gateway" / "templates"
CLAIMS = {
    "X-Auth-Subject": "somebody else",
    "X-Auth-Session": "another",
    "X-Auth-Admin": "true",
    "X-Auth-Verified": "true",
    "X-Auth-Groups": "staff",
    "X-Auth-Acr": "3",
    "X-Auth-Amr": "pop user mfa",
    "X-Auth-Time": "4102444800",
}
# The inbox and the broker's page are for the machine itself.
PUBLISHED = {"gateway", "mailhog", "rabbitmq"}

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(DEVELOPMENT.read_text())["services"]


def instructions() -> list[str]:
    """Of nginx, of all shipped files, without their comments."""
    texts = [path.read_text() for path in sorted(TEMPLATES.iterdir())]
    return [line.strip() for text in texts for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]


def test_the_gateway_passes_on_headers_that_it_names_and_no_others() -> None:
    assert "proxy_pass_request_headers off;" in instructions()
    assert not any(re.match(r"proxy_pass_request_headers\s+on", line) for line in instructions())


def test_the_gateway_names_none_that_says_who_somebody_is() -> None:
    named = [line.split()[1].lower() for line in instructions() if line.startswith("proxy_set_header ")]
    assert "authorization" in named
    assert [name for name in named if name.startswith("x-auth")] == []


async def test_who_a_client_claims_to_be_counts_for_nothing_without_the_gateway_either(
    auth_app: AuthApp, users_app: UsersApp, person: LoggedIn
) -> None:
    own = bearer(person.tokens[ACCESS])

    assert (await users_app.http.get(f"{USERS}/me", headers=CLAIMS)).status_code == 401
    assert (await users_app.http.get(f"{USERS}/me", headers=CLAIMS | own)).json()["id"] == person.id
    assert (await users_app.http.get(f"{USERS}/", headers=CLAIMS | own)).status_code == 403
    assert (await auth_app.http.get(f"{AUTH}/forward", headers=CLAIMS)).status_code == 401
    assert (await auth_app.http.get(f"{AUTH}/forward/admin", headers=CLAIMS | own)).status_code == 403


async def test_what_a_gateway_is_told_is_of_the_token_alone(auth_app: AuthApp, person: LoggedIn) -> None:
    answer = await auth_app.http.get(f"{AUTH}/forward", headers=CLAIMS | bearer(person.tokens[ACCESS]))

    assert answer.status_code == 204
    told = {name: answer.headers.get_list(name) for name in CLAIMS}
    assert told["X-Auth-Subject"] == [person.id]
    assert told["X-Auth-Admin"] == ["false"]
    claims = person.claims(ACCESS)
    assert (told["X-Auth-Session"], told["X-Auth-Time"]) == ([claims["sid"]], [str(claims["auth_time"])])
    assert (told["X-Auth-Acr"], told["X-Auth-Amr"]) == (["1"], [" ".join(claims["amr"])])
    assert (told["X-Auth-Verified"], told["X-Auth-Groups"]) == (["false"], [""])


@pytest.mark.parametrize("name", ["/metrics", "/livez", "/readyz"])
async def test_the_public_port_of_a_service_does_not_have_what_is_for_its_operator(
    auth_app: AuthApp, users_app: UsersApp, name: str
) -> None:
    for app in (auth_app, users_app):
        assert (await app.http.get(name)).status_code == 404


def test_only_the_gateway_the_inbox_and_the_broker_s_page_are_published_and_on_this_machine_only() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    asked_for = {name for name in ports if SERVICES[name].get("profiles") == ["monitoring"]}
    assert (set(ports) - asked_for, asked_for) == (PUBLISHED, {"alertmanager", "grafana"})
    assert all(str(port).startswith("127.0.0.1:") for each in ports.values() for port in each)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_container_is_read_only_and_without_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & service.keys()
    assert not str(service.get("user", "from the image")).startswith(("root", "0"))
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


def test_our_images_run_as_nobody_in_particular() -> None:
    dockerfile = (PROJECT / "deploy" / "Dockerfile").read_text()
    users = re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)
    assert len(users) == 2
    assert all(int(number) >= 100 for pair in users for number in pair)
