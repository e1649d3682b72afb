"""The objects of operators that deploy/kubernetes has: every field is one that the operator's own schema knows."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.kubernetes.conftest import SOURCE
from tests.kubernetes.manifests import Document, Manifests

EXAMPLES = sorted((SOURCE / "examples").glob("*.yaml"))
NPM_SECONDS = 300

# Types that were made of the operators' CustomResourceDefinitions; TypeScript refuses a field that they do not have.
MODELS = {
    "postgresql.cnpg.io": "cloudnative-pg@2.0.0",
    "cert-manager.io": "cert-manager@6.0.0",
    "keda.sh": "keda@2.0.0",
    "external-secrets.io": "external-secrets@2.0.0",
    "monitoring.coreos.com": "prometheus-operator@6.0.0",
}
TYPESCRIPT = "typescript@5"

# Nobody publishes types of it: the documented fields, those that we use.
RABBITMQ_FIELDS = {"replicas", "tls", "persistence", "resources", "affinity", "rabbitmq"}


def documents(files: list[Path]) -> list[Document]:
    return [document for file in files for document in yaml.safe_load_all(file.read_text()) if document]


def test_the_readme_says_once_that_no_cluster_has_run_them_and_names_each() -> None:
    readme = (SOURCE / "README.md").read_text()
    assert readme.count("no cluster has run them yet") == 1
    for example in EXAMPLES:
        assert f"examples/{example.name}" in readme, example.name
        assert "not run" not in example.read_text().lower()


def test_the_names_that_processes_use_are_those_of_the_certificates() -> None:
    certificates = [each for each in documents(EXAMPLES) if each["kind"] == "Certificate"]
    made = {each["metadata"]["name"]: each["spec"].get("dnsNames", []) for each in certificates}
    assert "postgres-rw.postgres.svc" in made["postgres-tls"]
    assert "rabbitmq.rabbitmq.svc" in made["rabbitmq-tls"]
    readme = (SOURCE / "README.md").read_text()
    assert "--postgres postgres-rw.postgres.svc --rabbitmq rabbitmq.rabbitmq.svc" in readme


def test_the_broker_has_documented_fields_only() -> None:
    (cluster,) = (each for each in documents(EXAMPLES) if each["kind"] == "RabbitmqCluster")
    assert set(cluster["spec"]) <= RABBITMQ_FIELDS
    assert set(cluster["spec"]["tls"]) <= {"secretName", "caSecretName", "disableNonTLSListeners"}
    assert set(cluster["spec"]["rabbitmq"]) <= {"additionalConfig", "additionalPlugins", "envConfig", "advancedConfig"}


@pytest.mark.long
def test_every_field_is_one_that_the_operator_knows(production: Manifests, tmp_path: Path) -> None:
    ours = [each for each in [*documents(EXAMPLES), *production.documents] if _group(each) in MODELS]
    assert {_group(each) for each in ours} == set(MODELS)
    _types(tmp_path)
    assert _compiled(tmp_path, ours) == ""
    misspelt = [each | {"spec": each["spec"] | {"nonesuch": 2}} for each in ours]
    assert _compiled(tmp_path, misspelt).count("does not exist in type") == len(ours)


def _group(document: Document) -> str:
    return str(document["apiVersion"].partition("/")[0])


def _types(folder: Path) -> None:
    if shutil.which("npm") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("npm is missing: install the package npm.")
    (folder / "package.json").write_text("{}")
    packages = [TYPESCRIPT, *(f"@kubernetes-models/{name}" for name in MODELS.values())]
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--cache", str(folder / ".cache"), *packages]
    subprocess.run(command, cwd=folder, timeout=NPM_SECONDS, check=True)


def _compiled(folder: Path, objects: list[Document]) -> str:
    """The complaints of the compiler."""
    lines = []
    for number, document in enumerate(objects):
        package = MODELS[_group(document)].partition("@")[0]
        module = f"@kubernetes-models/{package}/{document['apiVersion']}/{document['kind']}"
        lines.append(f'import type {{ I{document["kind"]} as T{number} }} from "{module}";')
        lines.append(f"export const o{number}: T{number} = {json.dumps(document)};")
    (folder / "objects.ts").write_text("\n".join(lines))
    options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext"]
    done = subprocess.run(
        ["node_modules/.bin/tsc", *options, "objects.ts"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=NPM_SECONDS,
        check=False,
    )
    return done.stdout
