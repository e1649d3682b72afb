"""What must stay true of deploy/Dockerfile and of what reaches it. tests/compose looks at the images themselves."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

from deploy.images import NAMED_IN, images, pin

PROJECT = Path(__file__).parents[2]
DOCKERFILE = (PROJECT / "deploy" / "Dockerfile").read_text()


def stage(name: str) -> str:
    (found,) = re.findall(rf"^FROM \S+ AS {name}$.*?(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
    return str(found)


def test_they_are_made_of_these_public_images_only() -> None:
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE))
    bases = set(re.findall(r"^FROM (\S+) AS", DOCKERFILE, re.MULTILINE)) - stages
    assert bases == {images()["PYTHON_IMAGE"], images()["NGINX_IMAGE"]}


def test_every_image_of_others_is_one_that_the_list_names() -> None:
    """Also those that a test starts: tests/servers asks the list."""
    named = set(re.findall(r"^FROM (\S+:\S+) AS", DOCKERFILE, re.MULTILINE))
    for file in [
        *PROJECT.glob("*.yaml"),
        *(PROJECT / "deploy").rglob("*.yaml"),
        *(PROJECT / "testkit").rglob("*.yaml"),
    ]:
        found = re.findall(r"^\s*(?:- )?image: (\S+)", file.read_text(), re.MULTILINE)
        named |= {image for image in found if not image.startswith("login2fa")}
    assert named == set(images().values())


def test_pinning_writes_the_digest_of_each_wherever_it_is_named_and_again_the_next_one(tmp_path: Path) -> None:
    for name in NAMED_IN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    tags = [image.partition("@")[0] for image in images().values()]
    for digit in ("a", "b"):
        pin(tmp_path, lambda _, digit=digit: f"sha256:{digit * 64}")  # type: ignore[misc] # bound now
        found = [
            image
            for name in NAMED_IN
            for image in re.findall(r"[\w./-]+:[\w.-]+@sha256:\w+", (tmp_path / name).read_text())
        ]
        assert set(found) == {f"{tag}@sha256:{digit * 64}" for tag in tags}
        assert len(found) == len(tags) + 4 + 6  # the list, four stages, six servers


def test_what_is_no_digest_is_written_nowhere(tmp_path: Path) -> None:
    for name in NAMED_IN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(PROJECT / name, tmp_path / name)
    with pytest.raises(ValueError, match="the registry names no digest"):
        pin(tmp_path, lambda _: "latest")
    assert all((tmp_path / name).read_text() == (PROJECT / name).read_text() for name in NAMED_IN)


def test_no_builder_is_fetched_first() -> None:
    assert "syntax=" not in DOCKERFILE


def test_the_image_without_a_target_is_that_of_the_processes() -> None:
    assert re.findall(r"^FROM \S+ AS (\S+)$", DOCKERFILE, re.MULTILINE)[-1] == "login2fa"


def test_nobody_in_them_is_root() -> None:
    assert re.findall(r"^USER (\S+)$", stage("login2fa"), re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^USER (\S+)$", stage("gateway"), re.MULTILINE) == ["101:101"]


def test_they_carry_the_version_of_the_package() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    assert re.findall(r"^ARG VERSION=(\S+)", DOCKERFILE, re.MULTILINE) == [version, version]


def test_what_is_installed_was_locked() -> None:
    installs = re.findall(r"pip install [^\n&]*", DOCKERFILE.replace("\\\n", ""))
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or "--build-constraints" in install, install
    assert re.search(r"'setuptools==[\d.]+ --hash=sha256:[0-9a-f]{64}'", DOCKERFILE)


def test_a_builder_gets_what_is_named_and_nothing_else() -> None:
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    named = {line[1:] for line in lines if line.startswith("!")}
    locks = {"requirements/audit.txt", "requirements/dev.txt", "requirements/otel.txt"}
    assert named == {"README.md", "pyproject.toml", "shared", "services", "deploy"} | locks


def test_that_of_the_processes_holds_the_bill_of_its_materials_and_says_where() -> None:
    bill = "/usr/share/login2fa/sbom.cdx.json"
    assert f"-o /out{bill} " in stage("bill-of-materials")
    assert "COPY --from=bill-of-materials /out/ /" in stage("login2fa")
    assert f'login2fa.sbom="{bill}"' in stage("login2fa")
