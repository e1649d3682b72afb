"""The overlays, rendered once; the one that takes its secrets from files gets throw-away ones, made by our command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deploy.secret_files import Servers, write_missing
from tests.composed import keys
from tests.kubernetes.manifests import Manifests
from tests.servers.kubectl import rendered

SOURCE = Path(__file__).parents[2] / "deploy" / "kubernetes"
__all__ = ["keys"]

OVERLAYS = ("development", "production")


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `login2fa secrets` makes."""
    folder = tmp_path_factory.mktemp("secrets")
    write_missing(folder, Servers())
    return folder


@pytest.fixture(scope="session")
def overlays(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Manifests]:
    tree = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(SOURCE, tree, ignore=shutil.ignore_patterns("secrets"))
    shutil.copytree(secrets, tree / "overlays" / "development" / "secrets")
    return {
        overlay: Manifests(overlay, rendered(tree / "overlays" / overlay, tmp_path_factory.mktemp(overlay)))
        for overlay in OVERLAYS
    }


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest, overlays: dict[str, Manifests]) -> Manifests:
    return overlays[request.param]


@pytest.fixture
def production(overlays: dict[str, Manifests]) -> Manifests:
    return overlays["production"]


@pytest.fixture
def development(overlays: dict[str, Manifests]) -> Manifests:
    return overlays["development"]
