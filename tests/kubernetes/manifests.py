"""What an overlay of deploy/kubernetes renders to, and the questions that the tests ask of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Document = dict[str, Any]

NAME = "app.kubernetes.io/name"
PODS_OF = ("Deployment", "Job")


@dataclass(frozen=True, slots=True)
class Container:
    """`workload` is the name of the Deployment or Job; `command` the first argument, or the container's name."""

    workload: str
    pod: Document
    document: Document

    @property
    def command(self) -> str:
        command: str = self.document.get("args", [self.document["name"]])[0]
        return command

    @property
    def ours(self) -> bool:
        """Whether it runs Python, and not nginx."""
        return self.command != "gateway"

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for port in self.document.get("ports", [])}

    def __str__(self) -> str:
        return f"{self.workload}/{self.document['name']}"


@dataclass(frozen=True, slots=True)
class Manifests:
    overlay: str
    documents: list[Document]

    def all(self, kind: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] == kind]

    def one(self, kind: str, name: str) -> Document:
        found = [document for document in self.all(kind) if document["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} documents {kind}/{name}"
        return found[0]

    def names(self, kind: str) -> set[str]:
        return {document["metadata"]["name"] for document in self.all(kind)}

    @property
    def workloads(self) -> list[Document]:
        return [document for kind in PODS_OF for document in self.all(kind)]

    def pods(self) -> dict[str, Document]:
        """The specification of each workload's pods."""
        return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in self.workloads}

    def containers(self) -> Iterator[Container]:
        for name, pod in self.pods().items():
            for document in [*pod.get("initContainers", []), *pod["containers"]]:
                yield Container(name, pod, document)

    def container(self, workload: str) -> Container:
        """The only container of `workload`, initialisers aside."""
        (document,) = self.pods()[workload]["containers"]
        return Container(workload, self.pods()[workload], document)

    def selected(self, selector: dict[str, str]) -> set[str]:
        """The workloads whose pods carry these labels; without any, all."""
        return {
            each["metadata"]["name"]
            for each in self.workloads
            if selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()
        }

    def environment(self, container: Container) -> dict[str, str]:
        """What the process gets, ConfigMaps first, as the kubelet does it."""
        merged: dict[str, str] = {}
        for source in container.document.get("envFrom", []):
            merged |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        return merged | {each["name"]: each["value"] for each in container.document.get("env", [])}

    def secret_files(self, container: Container) -> dict[str, tuple[str, str | None]]:
        """Where this container finds secrets: a path, and of which Secret which key (None: all keys, in a folder)."""
        volumes = {volume["name"]: volume for volume in container.pod.get("volumes", [])}
        found: dict[str, tuple[str, str | None]] = {}
        for mount in container.document.get("volumeMounts", []):
            volume, path = volumes[mount["name"]], mount["mountPath"]
            if "secret" in volume:
                found[path] = (volume["secret"]["secretName"], None)
            for source in volume.get("projected", {}).get("sources", []):
                for item in source["secret"]["items"]:
                    found[f"{path}/{item['path']}"] = (source["secret"]["name"], item["key"])
        return found


def quantity(text: str) -> float:
    """Processors, or bytes."""
    units = {"m": 0.001, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30}
    unit = next((each for each in units if text.endswith(each)), "")
    return float(text.removesuffix(unit)) * units.get(unit, 1.0)
