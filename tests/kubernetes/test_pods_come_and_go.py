"""When a pod gets requests, when it is replaced, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from services.auth import app as auth
from services.notifier import app as notifier
from services.portal import app as portal
from services.portal.settings import PortalSettings
from services.users import app as users
from shared.messaging.bus import Bus
from shared.messaging.memory import MemoryBus
from shared.web.process import Running
from tests.composed import Keys, auth_settings, notifier_settings, users_settings
from tests.kubernetes.manifests import Container, Document, Manifests, quantity
from tests.servers.databases import Databases

NOWHERE = Databases("none", "postgresql+asyncpg://nobody:secret@127.0.0.1:1/none")

# What makes a pod unready. Neither a broker that is away nor a relay behind it ends logins or registrations.
ASKED: dict[str, set[str]] = {
    "auth": {"auth-database"},
    "users": {"users-database", "users-keys"},
    "notifier": {"notifier-consumer"},
    "portal": set(),
}
HEALTH_PORTS = {"auth": 9000, "users": 9000, "notifier": 9000, "portal": 9000, "gateway": 8081}

# Seconds. A cache of the cluster's DNS may keep an address that long; the gateway asks again after one more.
ADDRESS_KEPT = 31
NGINX_ENDS_WITHIN = 30


@pytest.fixture
def compositions(keys: Keys) -> dict[str, Callable[[Bus], AbstractAsyncContextManager[Running]]]:
    return {
        "auth": lambda bus: auth.running(auth_settings(NOWHERE, keys), bus),
        "users": lambda bus: users.running(users_settings(NOWHERE, keys, "http://127.0.0.1:1/"), bus),
        "notifier": lambda bus: notifier.running(notifier_settings(keys), bus),
        "portal": lambda _bus: portal.running(PortalSettings()),
    }


def lasting(manifests: Manifests) -> dict[str, Container]:
    return {name: manifests.container(name) for name in sorted(manifests.names("Deployment"))}


def probed(container: Container, probe: str) -> Document:
    request: Document = container.document[probe]["httpGet"]
    assert set(request) == {"path", "port"}
    assert container.ports[request["port"]] == HEALTH_PORTS[container.workload]
    return request


def test_every_deployment_is_probed_on_its_own_health_port(manifests: Manifests) -> None:
    containers = lasting(manifests)
    assert set(containers) == set(HEALTH_PORTS)
    for container in containers.values():
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            probed(container, probe)


def test_a_pod_is_restarted_when_it_does_not_answer_and_never_for_what_another_server_does(
    manifests: Manifests,
) -> None:
    for container in lasting(manifests).values():
        for probe in ("startupProbe", "livenessProbe"):
            assert probed(container, probe)["path"] == "/livez"
            patience = container.document[probe]
            assert patience["periodSeconds"] * patience["failureThreshold"] >= 60


@pytest.mark.parametrize("service", sorted(ASKED))
async def test_a_pod_is_ready_when_it_can_do_what_is_asked_of_it(
    manifests: Manifests,
    compositions: dict[str, Callable[[Bus], AbstractAsyncContextManager[Running]]],
    service: str,
) -> None:
    bus = MemoryBus()
    async with compositions[service](bus) as running:
        checks = set(running.checks)
    await bus.close()
    path = urlsplit(probed(manifests.container(service), "readinessProbe")["path"])
    excluded = set(parse_qs(path.query).get("exclude", []))
    assert path.path == "/readyz"
    assert excluded <= checks, "a check that does not exist is excluded, and so another one counts"
    assert checks - excluded == ASKED[service]


def test_a_fail_over_of_the_database_leaves_the_pods_in_their_service(manifests: Manifests) -> None:
    for service in ("auth", "users"):
        probe = manifests.container(service).document["readinessProbe"]
        assert probe["periodSeconds"] * probe["failureThreshold"] >= 30


def test_a_probe_waits_for_a_check_that_takes_its_time(manifests: Manifests) -> None:
    for container in lasting(manifests).values():
        if container.ours:
            assert container.document["readinessProbe"]["timeoutSeconds"] > 3  # as long as shared/web/process.py waits


def test_a_pod_serves_until_nobody_has_its_address_and_then_has_time_to_finish(manifests: Manifests) -> None:
    for name, container in lasting(manifests).items():
        waits = container.document.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        ends = float(manifests.environment(container).get("SHUTDOWN_GRACE", NGINX_ENDS_WITHIN))
        assert container.pod["terminationGracePeriodSeconds"] >= waits + ends + 5, name
        if name in ("auth", "users", "portal"):
            assert waits >= ADDRESS_KEPT


def test_the_gateway_ends_within_what_it_is_given() -> None:
    configuration = Path(__file__).parents[2] / "deploy" / "gateway" / "nginx.conf"
    assert f"worker_shutdown_timeout {NGINX_ENDS_WITHIN}s;" in configuration.read_text()


def test_a_roll_out_takes_no_pod_away_before_the_next_one_is_ready(manifests: Manifests) -> None:
    for deployment in manifests.all("Deployment"):
        assert deployment["spec"]["strategy"] == {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
        assert deployment["spec"]["revisionHistoryLimit"] > 0


def test_every_deployment_has_a_budget_and_a_server_that_is_away_keeps_no_node_from_being_drained(
    manifests: Manifests,
) -> None:
    budgets = {each["metadata"]["name"]: each["spec"] for each in manifests.all("PodDisruptionBudget")}
    assert set(budgets) == manifests.names("Deployment")
    for name, spec in budgets.items():
        assert manifests.selected(spec["selector"]["matchLabels"]) == {name}
        assert (spec["maxUnavailable"], spec["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_replicas_spread_over_nodes_and_zones(manifests: Manifests) -> None:
    for name in manifests.names("Deployment"):
        constraints = manifests.pods()[name]["topologySpreadConstraints"]
        assert {each["topologyKey"] for each in constraints} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        assert all(manifests.selected(each["labelSelector"]["matchLabels"]) == {name} for each in constraints)


def test_an_autoscaler_and_an_apply_never_fight_over_the_number_of_replicas(manifests: Manifests) -> None:
    scaled = [each["spec"]["scaleTargetRef"]["name"] for each in manifests.all("HorizontalPodAutoscaler")]
    scaled += [each["spec"]["scaleTargetRef"]["name"] for each in manifests.all("ScaledObject")]
    assert sorted(scaled) == sorted(set(scaled))
    assert set(scaled) <= manifests.names("Deployment")
    for deployment in manifests.all("Deployment"):
        given = "replicas" in deployment["spec"]
        # A notifier without KEDA has neither: one, until somebody scales it by hand.
        assert given == (deployment["metadata"]["name"] == "gateway")


def test_the_services_are_scaled_by_the_processors_that_they_ask_for(manifests: Manifests) -> None:
    assert manifests.names("HorizontalPodAutoscaler") == {"auth", "users", "portal"}
    for each in manifests.all("HorizontalPodAutoscaler"):
        target = each["spec"]["scaleTargetRef"]
        assert (target["apiVersion"], target["kind"]) == ("apps/v1", "Deployment")
        assert [metric["resource"]["name"] for metric in each["spec"]["metrics"]] == ["cpu"]
        assert quantity(manifests.container(target["name"]).document["resources"]["requests"]["cpu"]) > 0


def test_in_production_one_pod_may_go_and_another_is_there(production: Manifests) -> None:
    least = {
        each["metadata"]["name"]: each["spec"]["minReplicas"] for each in production.all("HorizontalPodAutoscaler")
    }
    least["notifier"] = production.one("ScaledObject", "notifier")["spec"]["minReplicaCount"]
    least["gateway"] = production.one("Deployment", "gateway")["spec"]["replicas"]
    assert set(least) == production.names("Deployment")
    assert min(least.values()) >= 2


def test_the_migration_ends_is_cleared_away_and_tries_again(manifests: Manifests) -> None:
    spec = manifests.one("Job", "migrate")["spec"]
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["activeDeadlineSeconds"] > 0
    assert spec["backoffLimit"] > 0
    assert manifests.pods()["migrate"]["restartPolicy"] == "Never"
