"""`kubectl kustomize`, by the installed kubectl; as root on Debian its package is installed first. Needs no cluster."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers import apt

SECONDS = 60
# Debian 12 has 1.20, whose kustomize knows neither folders as resources nor `patches` by path.
FOLDERS_ARE_RESOURCES = 21


class RenderFailed(Exception):
    """The text is what kubectl said."""


def rendered(folder: Path, scratch: Path) -> list[dict[str, Any]]:
    """What `kubectl apply -k folder` would send. `scratch` is an empty folder that an old kubectl needs.

    Raises:
        RenderFailed: a file is missing or wrong.
    """
    program = _kubectl()
    if _minor_version(program) < FOLDERS_ARE_RESOURCES:
        folder = _in_old_words(folder, scratch)
    done = _run(program, "kustomize", str(folder))
    if done.returncode != 0:
        raise RenderFailed(done.stderr)
    assert done.stderr == "", f"kubectl warns: {done.stderr}"
    return [document for document in yaml.safe_load_all(done.stdout) if document is not None]


def _kubectl() -> str:
    """Skips the test where there is none and none can be installed; where CI is set, that is a failure."""
    if shutil.which("kubectl") is None and apt.can_install():
        apt.install("kubernetes-client")
    if (program := shutil.which("kubectl")) is not None:
        return program
    sentence = "kubectl is missing: on Debian and Ubuntu install the package kubernetes-client."
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


def _minor_version(program: str) -> int:
    done = _run(program, "version", "--client", "--output=json")
    return int(json.loads(done.stdout)["clientVersion"]["minor"].rstrip("+"))


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments],
        # It would read, and say something of, the configuration of whoever runs the tests.
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def _in_old_words(folder: Path, scratch: Path) -> Path:
    """A copy of the tree that holds `folder`, its kustomizations written for kustomize 2; the copy of `folder`."""
    root = next(parent for parent in (folder, *folder.parents) if (parent / "base").is_dir())
    copy = scratch / root.name
    shutil.copytree(root, copy)
    for path in copy.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(path.read_text())
        resources = kustomization.pop("resources", [])
        kustomization["resources"] = [each for each in resources if not (path.parent / each).is_dir()]
        kustomization["bases"] = [each for each in resources if (path.parent / each).is_dir()]
        kustomization["patchesStrategicMerge"] = [each["path"] for each in kustomization.pop("patches", [])]
        path.write_text(yaml.safe_dump(kustomization))
    return copy / folder.relative_to(root)
