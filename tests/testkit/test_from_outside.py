"""The kit as its users have it: installed from a wheel, in a folder that knows nothing of this repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from login2fa_testing import Login2FA
from tests.e2e_required import missing, require_containers

PROJECT = Path(__file__).parents[2]
COMPOSE_FILE = PROJECT / "docker-compose.yaml"
RUN_SECONDS = 600.0

# Neither PYTHONPATH nor VIRTUAL_ENV leads back to the repository.
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "DOCKER_HOST", "LOGIN2FA_TAG", "SSL_CERT_FILE")
_KEPT_PREFIXES = ("UV_", "PIP_", "TESTCONTAINERS_", "HTTP", "NO_PROXY")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value for name, value in os.environ.items() if name in _KEPT or name.upper().startswith(_KEPT_PREFIXES)
    }
    # uv trusts a list of its own unless told to take the machine's authorities, as pip does.
    kept["UV_NATIVE_TLS"] = "true"
    return subprocess.run(
        command, cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )


def done(*command: str | Path, cwd: Path) -> str:
    ended = run(*command, cwd=cwd)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program uv, where it reaches PyPI."""
    uv = str(Path(sys.executable).with_name("uv"))
    folder = tmp_path_factory.mktemp("asking")
    done(uv, "venv", "--python", sys.executable, folder / "venv", cwd=folder)
    asked = run(uv, "pip", "install", "--dry-run", "setuptools", cwd=folder, VIRTUAL_ENV=str(folder / "venv"))
    if asked.returncode != 0:
        missing("PyPI can't be reached")
    return uv


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the kit, beside the compose file to which a link in it leads: a build leaves files behind."""
    checkout = tmp_path_factory.mktemp("checkout")
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*_cache")
    shutil.copytree(PROJECT / "testkit", checkout / "testkit", symlinks=True, ignore=leave)
    shutil.copy(COMPOSE_FILE, checkout)
    return checkout / "testkit"


@pytest.fixture(scope="module")
def built(uv: str, checkout: Path) -> Path:
    """A folder with an sdist, and the wheel that was built from the sdist."""
    done(uv, "build", "--out-dir", checkout / "dist", cwd=checkout)
    return checkout / "dist"


def of_wheel(folder: Path) -> Mapping[str, str]:
    [wheel] = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_the_wheel_holds_the_compose_file_of_this_repository(uv: str, checkout: Path, built: Path) -> None:
    done(uv, "build", "--wheel", "--out-dir", checkout / "direct", cwd=checkout)

    for folder in (built, checkout / "direct"):
        files = of_wheel(folder)
        assert files["login2fa_testing/docker-compose.yaml"] == COMPOSE_FILE.read_text()
        assert "login2fa_testing/py.typed" in files
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        [link] = [each for each in archive.getmembers() if each.name.endswith("docker-compose.yaml")]
        assert link.isreg(), "a link out of an sdist leads nowhere"


def test_the_compose_file_names_no_file_that_only_a_checkout_has(tmp_path: Path) -> None:
    require_containers()
    copy = tmp_path / "docker-compose.yaml"
    shutil.copy(COMPOSE_FILE, copy)
    stack = Login2FA(compose_file=copy)

    for service in stack.compose.get_config()["services"].values():
        assert [volume for volume in service.get("volumes", []) if volume["type"] == "bind"] == []
        assert not service.get("env_file")


@pytest.fixture
def project(uv: str, built: Path, tmp_path: Path) -> Iterator[Path]:
    """Somebody's project: the example's two files, and an environment in which the kit is installed."""
    project = tmp_path / "project"
    shutil.copytree(PROJECT / "testkit" / "example", project, ignore=shutil.ignore_patterns("__pycache__"))
    done(uv, "venv", "--python", sys.executable, "venv", cwd=project)
    [wheel] = built.glob("*.whl")
    done(uv, "pip", "install", "--python", "venv", wheel, cwd=project)
    yield project
    shutil.rmtree(project / "venv")


def test_the_conftest_of_the_example_has_three_lines() -> None:
    assert len((PROJECT / "testkit" / "example" / "conftest.py").read_text().splitlines()) <= 3


def test_the_example_passes_where_the_kit_is_installed_as_a_dependency(project: Path) -> None:
    require_containers()
    python = project / "venv" / "bin" / "python"
    nothing_of_ours = (
        "import importlib.util as u; print([m for m in ('shared', 'services', 'deploy') if u.find_spec(m)])"
    )
    assert done(python, "-c", nothing_of_ours, cwd=project) == "[]\n"

    ended = run(python, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=project)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "5 passed" in ended.stdout


def test_without_an_engine_the_tests_end_in_one_sentence(project: Path) -> None:
    ended = run(
        project / "venv" / "bin" / "python", "-m", "pytest", "-q", cwd=project, DOCKER_HOST="unix:///nobody.sock"
    )

    assert ended.returncode == 1
    assert ended.stdout.count("No Docker engine answers: start it, or name one by DOCKER_HOST.") >= 3
    assert "Traceback" not in ended.stdout
    assert "docker_command.py" not in ended.stdout
