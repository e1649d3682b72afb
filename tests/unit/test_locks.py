"""What must stay true of requirements/: exact versions, by hash, and as many as pyproject.toml asks for."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.security.audit import LOCKS, PROJECT, NotFoundOut, pins, untrue, vulnerabilities, without_hashes

FOLDER = PROJECT / "requirements"
LINE = re.compile(r"[a-z0-9-]+==\S+( ; .+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?|    #.*")


def text(name: str) -> str:
    return (FOLDER / f"{name}.txt").read_text()


def versions(name: str) -> dict[str, set[str]]:
    """By package: one version, or several behind markers."""
    found: dict[str, set[str]] = {}
    for pin in pins(text(name)):
        package, _, version = pin.partition(" ")[0].partition("==")
        found.setdefault(package, set()).add(version)
    return found


def asked_for() -> dict[str, list[Requirement]]:
    """By the first lock that must hold it."""
    project: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    asked = {
        "runtime": project["project"]["dependencies"],
        "standalone": project["project"]["optional-dependencies"]["standalone"],
        "otel": project["project"]["optional-dependencies"]["otel"],
        "dev": project["dependency-groups"]["dev"],
        "audit": project["dependency-groups"]["audit"],
        "bench": project["dependency-groups"]["bench"],
    }
    return {name: [Requirement(each) for each in requirements] for name, requirements in asked.items()}


def test_there_is_a_lock_for_each_set_of_packages_and_no_other() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.txt" for name in LOCKS}
    assert set(asked_for()) == set(LOCKS)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_holds_exact_versions_with_hashes_and_no_address(name: str) -> None:
    assert [line for line in text(name).splitlines() if not LINE.fullmatch(line)] == []
    assert [pin for pin, hashes in pins(text(name)).items() if not hashes] == []


@pytest.mark.parametrize("name", LOCKS)
def test_what_pyproject_asks_for_is_locked_in_a_version_that_it_allows(name: str) -> None:
    locked = versions(name)
    for requirement in asked_for()[name]:
        found = locked[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in found), requirement


@pytest.mark.parametrize(
    ("smaller", "larger"), [("runtime", "standalone"), ("runtime", "otel"), ("standalone", "dev"), ("otel", "dev")]
)
def test_a_larger_set_holds_the_smaller_one_as_it_is(smaller: str, larger: str) -> None:
    assert versions(smaller).items() <= versions(larger).items()


def test_the_tools_of_the_audit_go_beside_all_others() -> None:
    both = versions("dev").keys() & versions("audit").keys()
    assert {name for name in both if versions("dev")[name] != versions("audit")[name]} == set()


LOCK = """\
a==1 \\
    --hash=sha256:{} \\
    --hash=sha256:{}
    # via b
b==2 ; sys_platform == 'win32' \\
    --hash=sha256:{}
"""
HASHES = [letter * 64 for letter in "abc"]


def test_the_audit_finds_a_hash_a_version_and_a_package_that_should_not_be_there() -> None:
    lock = LOCK.format(*HASHES)
    assert [*untrue("x", lock, lock)] == []
    assert len([*untrue("x", lock.replace("a" * 64, "d" * 64), lock)]) == 1
    assert len([*untrue("x", lock.replace("a==1", "a==0"), lock)]) == 2
    assert len([*untrue("x", lock, lock.partition("b==2")[0])]) == 1


def test_the_audit_takes_a_file_that_came_later_for_no_fault() -> None:
    lock = LOCK.format(*HASHES)
    assert [*untrue("x", lock.replace(f" \\\n    --hash=sha256:{HASHES[1]}", ""), lock)] == []


def test_the_audit_compiles_from_versions_alone() -> None:
    assert without_hashes(LOCK.format(*HASHES)) == "a==1\n    # via b\nb==2 ; sys_platform == 'win32'\n"


def test_the_audit_names_what_is_vulnerable_and_what_mends_it() -> None:
    known = {"id": "PYSEC-2026-1", "fix_versions": ["1.1"], "aliases": [], "description": "-"}
    packages = [{"name": "a", "version": "1", "vulns": [known]}, {"name": "b", "version": "2", "vulns": []}]
    assert vulnerabilities(json.dumps({"dependencies": packages})) == (["a 1: PYSEC-2026-1, mended in 1.1"], 2)


def test_the_audit_does_not_take_what_could_not_be_looked_up_for_sound() -> None:
    with pytest.raises(NotFoundOut, match="not found on PyPI"):
        vulnerabilities(json.dumps({"dependencies": [{"name": "a", "skip_reason": "not found on PyPI"}]}))
    with pytest.raises(NotFoundOut):
        vulnerabilities("<html>")
