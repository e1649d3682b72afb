"""What a process may do on its node, and what it may use of it."""

from __future__ import annotations

import math

from services.auth.settings import AuthSettings
from tests.kubernetes.manifests import Manifests, quantity

USERS = {"auth": 10001, "users": 10001, "notifier": 10001, "portal": 10001, "migrate": 10001, "gateway": 101}

# What a process has in memory besides the hashes, in bytes; docs/scaling.md.
IDLE = 128 * 2**20


def test_no_container_runs_as_root_or_can_become_it(manifests: Manifests) -> None:
    for name, pod in manifests.pods().items():
        context = pod["securityContext"]
        user = USERS[name]
        assert context["runAsNonRoot"] is True
        assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (user, user, user), name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for container in manifests.containers():
        context = container.document["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, container
        assert context["capabilities"] == {"drop": ["ALL"]}, container
        assert not context.keys() & {"privileged", "runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile"}


def test_no_container_writes_to_its_root_file_system(manifests: Manifests) -> None:
    for container in manifests.containers():
        assert container.document["securityContext"]["readOnlyRootFilesystem"] is True, container


def test_nothing_is_shared_with_the_node(manifests: Manifests) -> None:
    for name, pod in manifests.pods().items():
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}, name
        kinds = {kind for volume in pod.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"secret", "projected", "configMap", "emptyDir"}, name


def test_what_the_gateway_writes_at_its_start_has_a_place(manifests: Manifests) -> None:
    gateway = manifests.container("gateway")
    writable = {volume["name"] for volume in gateway.pod["volumes"] if "emptyDir" in volume}
    places = {mount["mountPath"] for mount in gateway.document["volumeMounts"] if mount["name"] in writable}
    assert places == {"/etc/nginx/conf.d", "/tmp"}


def test_no_pod_holds_a_token_for_the_cluster_or_hears_of_its_services(manifests: Manifests) -> None:
    accounts = {each["metadata"]["name"]: each for each in manifests.all("ServiceAccount")}
    for name, pod in manifests.pods().items():
        assert pod["automountServiceAccountToken"] is False, name
        # Each its own: rights given to one later are not given to all.
        assert accounts.pop(pod["serviceAccountName"])["automountServiceAccountToken"] is False, name
        # Variables like SMTP_PORT=tcp://..., from a Service called `smtp`, would be taken for settings.
        assert pod["enableServiceLinks"] is False, name
    assert accounts == {}


def test_every_container_says_what_it_needs_and_what_it_may_have(manifests: Manifests) -> None:
    for container in manifests.containers():
        resources = container.document["resources"]
        for resource in ("cpu", "memory"):
            needs, may_have = (quantity(resources[each][resource]) for each in ("requests", "limits"))
            assert 0 < needs <= may_have, container


def test_the_memory_of_a_service_holds_as_many_hashes_as_its_processors_make_at_a_time(manifests: Manifests) -> None:
    hash_size = int(AuthSettings.model_fields["argon2_memory_kib"].default) * 2**10
    for service in ("auth", "users"):
        limits = manifests.container(service).document["resources"]["limits"]
        hashes = math.ceil(quantity(limits["cpu"]))
        assert quantity(limits["memory"]) >= IDLE + hashes * hash_size


def test_the_images_are_the_two_of_ours_with_a_fixed_tag(manifests: Manifests) -> None:
    for container in manifests.containers():
        repository, _, tag = container.document["image"].rpartition(":")
        assert repository.split("/")[-1] == ("login2fa" if container.ours else "login2fa-gateway"), container
        assert tag, container
        assert tag != "latest", container
    assert len({container.document["image"].rpartition(":")[2] for container in manifests.containers()}) == 1
