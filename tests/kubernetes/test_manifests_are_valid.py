"""What an API server would take. No cluster is asked: these are its published schemas."""

from __future__ import annotations

from pathlib import Path

import kubernetes_validate
import pytest

from shared.messaging.topology import OTP_DELIVERY
from tests.kubernetes.manifests import Document, Manifests

# The oldest that knows a preStop of the kind `sleep` without being asked to, and the newest that there are schemas of.
VERSIONS = ("1.30", kubernetes_validate.latest_version())

# They come with their operators, and so with no schema of Kubernetes'. Their documented fields, those that we use.
FOREIGN = {
    "ScaledObject": {
        "spec": {"scaleTargetRef", "pollingInterval", "minReplicaCount", "maxReplicaCount", "triggers"},
        "spec.scaleTargetRef": {"name"},
        "spec.triggers": {"type", "metadata", "authenticationRef"},
        "spec.triggers.metadata": {"protocol", "mode", "queueName", "value"},
        "spec.triggers.authenticationRef": {"name"},
    },
    "TriggerAuthentication": {
        "spec": {"secretTargetRef"},
        "spec.secretTargetRef": {"parameter", "name", "key"},
    },
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid_in_the_strict_sense(manifests: Manifests, version: str) -> None:
    known = [document for document in manifests.documents if document["kind"] not in FOREIGN]
    assert len(known) > 30
    for document in known:
        kubernetes_validate.validate(document, version, strict=True)


def test_a_field_that_does_not_exist_would_be_noticed(manifests: Manifests) -> None:
    deployment = manifests.one("Deployment", "auth")
    misspelt = deployment | {"spec": deployment["spec"] | {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, VERSIONS[-1], strict=True)


def test_what_has_no_schema_has_documented_fields_only(production: Manifests) -> None:
    foreign = [document for document in production.documents if document["kind"] in FOREIGN]
    assert {document["kind"] for document in foreign} == set(FOREIGN)
    for document in foreign:
        for path, fields in FOREIGN[document["kind"]].items():
            for part in _parts(document, path):
                assert set(part) <= fields, f"{document['kind']}: {path}"


def _parts(document: Document, path: str) -> list[Document]:
    parts = [document]
    for step in path.split("."):
        inner = [part[step] for part in parts]
        parts = [each for value in inner for each in (value if isinstance(value, list) else [value])]
    return parts


def test_notifiers_are_scaled_by_the_queue_that_they_consume(production: Manifests) -> None:
    spec = production.one("ScaledObject", "notifier")["spec"]
    assert spec["scaleTargetRef"]["name"] in production.names("Deployment")
    (trigger,) = spec["triggers"]
    assert (trigger["type"], trigger["metadata"]["queueName"]) == ("rabbitmq", OTP_DELIVERY.queue)
    # KEDA takes a map of strings: a number is refused.
    assert all(isinstance(value, str) for value in trigger["metadata"].values())

    (reference,) = production.one("TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"][
        "secretTargetRef"
    ]
    assert reference["parameter"] == "host"
    notifier = production.container("notifier")
    secret, _ = production.secret_files(notifier)["/run/secrets/login2fa"]
    file = production.environment(notifier)["RABBITMQ_URL_FILE"]
    assert (reference["name"], reference["key"]) == (secret, Path(file).name)


def test_everything_is_in_the_one_namespace_and_that_admits_confined_pods_only(manifests: Manifests) -> None:
    (namespace,) = manifests.all("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    inside = [document for document in manifests.documents if document["kind"] != "Namespace"]
    assert {document["metadata"]["namespace"] for document in inside} == {namespace["metadata"]["name"]}
