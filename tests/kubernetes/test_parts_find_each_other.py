"""Selectors, names and ports: what refers to something refers to something that is there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.auth import app as auth
from tests.composed import Keys, auth_settings
from tests.kubernetes.conftest import SOURCE
from tests.kubernetes.manifests import NAME, Document, Manifests
from tests.kubernetes.test_pods_come_and_go import NOWHERE


def port_of(manifests: Manifests, service: str, port: int | str) -> int:
    """The port of the container behind this port of the Service, by number or by name."""
    document = manifests.one("Service", service)
    (found,) = [each for each in document["spec"]["ports"] if port in (each["port"], each["name"])]
    (workload,) = manifests.selected(document["spec"]["selector"])
    return manifests.container(workload).ports[found["targetPort"]]


def test_a_deployment_selects_its_own_pods_and_no_others(manifests: Manifests) -> None:
    for deployment in manifests.all("Deployment"):
        assert manifests.selected(deployment["spec"]["selector"]["matchLabels"]) == {deployment["metadata"]["name"]}


def test_a_service_stands_for_the_deployment_of_its_name(manifests: Manifests) -> None:
    assert manifests.names("Service") == {"auth", "users", "portal", "gateway"}
    for service in manifests.all("Service"):
        assert manifests.selected(service["spec"]["selector"]) == {service["metadata"]["name"]}


@pytest.mark.parametrize("service", ["auth", "users", "portal"])
def test_the_gateway_gets_the_address_of_every_ready_replica(manifests: Manifests, service: str) -> None:
    # A single address would be all that it has to try when that one does not answer.
    document = manifests.one("Service", service)
    assert document["spec"]["clusterIP"] == "None"
    assert "publishNotReadyAddresses" not in document["spec"]
    gateway = manifests.environment(manifests.container("gateway"))
    host, _, port = gateway[f"{service.upper()}_UPSTREAM"].partition(":")
    assert host == f"{service}.{document['metadata']['namespace']}.svc.cluster.local"
    # Headless: the port of the name is the port of the pod, whatever the Service says.
    assert port_of(manifests, service, int(port)) == int(port)


def test_users_asks_auth_for_its_public_keys(manifests: Manifests, keys: Keys) -> None:
    users = manifests.environment(manifests.container("users"))
    url = urlsplit(users["AUTH_JWKS_URL"])
    if manifests.overlay == "production":  # encrypted, so at the Ingress
        assert f"https://{url.netloc}" == users["ISSUER"]
        assert url.path in auth.build(auth_settings(NOWHERE, keys)).openapi()["paths"]
        return
    assert url.hostname is not None
    assert url.port is not None
    assert port_of(manifests, url.hostname, url.port) == url.port
    assert url.hostname == "auth"
    assert url.path in auth.build(auth_settings(NOWHERE, keys)).openapi()["paths"]


def test_the_portal_asks_auth_and_users_themselves(manifests: Manifests) -> None:
    """Through the Ingress it would ask for one client only: the gateway there says who asked."""
    portal = manifests.environment(manifests.container("portal"))
    for service in ("auth", "users"):
        url = urlsplit(portal[f"{service.upper()}_URL"])
        assert (url.scheme, url.hostname, url.path) == ("http", service, "")
        assert port_of(manifests, service, url.port or 0) == url.port


def test_the_ports_are_those_that_the_processes_listen_on(manifests: Manifests) -> None:
    image = (Path(__file__).parents[2] / "deploy" / "Dockerfile").read_text()
    assert {"PORT=8000", "MANAGEMENT_PORT=9000"} <= set(image.split())
    for service in ("auth", "users", "portal"):
        assert manifests.container(service).ports == {"http": 8000, "management": 9000}
    assert manifests.container("notifier").ports == {"management": 9000}
    assert manifests.container("gateway").ports == {"http": 8080, "health": 8081}


def test_the_ingress_leads_to_the_gateway_and_nowhere_else(production: Manifests) -> None:
    (ingress,) = production.all("Ingress")
    paths: list[Document] = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    backends = [path["backend"]["service"] for path in paths]
    assert [(each["name"], port_of(production, each["name"], each["port"]["name"])) for each in backends] == [
        ("gateway", 8080)
    ]


def test_tokens_name_the_address_that_the_ingress_answers_at(production: Manifests) -> None:
    (ingress,) = production.all("Ingress")
    issuers = {
        production.environment(production.container(service))["ISSUER"] for service in ("auth", "users", "portal")
    }
    assert issuers == {f"https://{rule['host']}" for rule in ingress["spec"]["rules"]}
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"] for rule in ingress["spec"]["rules"]]


def test_behind_an_ingress_the_gateway_hears_of_its_clients_addresses(production: Manifests) -> None:
    gateway = production.container("gateway")
    (mount,) = [each for each in gateway.document["volumeMounts"] if each["mountPath"] == "/etc/nginx/server.d"]
    (volume,) = [each for each in gateway.pod["volumes"] if each["name"] == mount["name"]]
    (text,) = production.one("ConfigMap", volume["configMap"]["name"])["data"].values()
    assert "real_ip_header X-Forwarded-For;" in text


def test_every_configmap_and_secret_that_is_made_is_used(manifests: Manifests) -> None:
    for kind in ("ConfigMap", "Secret"):
        for name in manifests.names(kind):
            assert str([each["spec"]["template"] for each in manifests.workloads]).count(f"'{name}'"), name


def test_what_is_applied_before_the_processes_is_all_that_the_migration_needs(manifests: Manifests) -> None:
    (listed,) = re.findall(rf"apply -k \$OVERLAY -l '{NAME} notin \((.*)\)'", (SOURCE / "README.md").read_text())
    processes = set(listed.split(", "))
    assert processes == manifests.names("Deployment")
    first = Manifests(
        manifests.overlay,
        [each for each in manifests.documents if each["metadata"].get("labels", {}).get(NAME) not in processes],
    )
    assert set(first.pods()) == {"migrate"}
    assert first.names("NetworkPolicy") == {"nothing-else", "names", "migrate"}
    assert first.names("ServiceAccount") == {first.pods()["migrate"]["serviceAccountName"]}
    assert first.names("Secret") == manifests.names("Secret")
