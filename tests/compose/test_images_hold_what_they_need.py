"""What somebody who runs a command in one of our containers has to work with, and the list of what is in the image."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from login2fa_testing import Login2FA
from tests.compose.containers import IMAGES
from tests.servers.docker_cli import docker, inspected

# The images are there when the system runs.
pytestmark = pytest.mark.usefixtures("system")

INSTALLERS = ("apt", "apt-get", "dpkg", "pip", "pip3")
LISTED = """
import importlib.metadata, json
print(json.dumps([[each.name, each.version] for each in importlib.metadata.distributions()]))
"""


def run_in(image: str, program: str, *arguments: str) -> str:
    return docker("run", "--rm", "--network", "none", "--user", "0", "--entrypoint", program, image, *arguments)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_can_be_installed_with_what_is_there(image: str) -> None:
    script = f"for each in {' '.join(INSTALLERS)}; do command -v $each; done; ls /var/lib/apt 2>/dev/null; true"

    assert run_in(image, "sh", "-c", script) == ""


@pytest.mark.parametrize("image", IMAGES)
def test_no_program_gives_its_caller_another_user_s_rights(image: str) -> None:
    assert run_in(image, "find", "/", "-xdev", "-type", "f", "-perm", "/6000") == ""


@pytest.mark.parametrize("module", ["pip", "ensurepip", "setuptools"])
def test_python_has_no_installer(module: str) -> None:
    script = f"import importlib.util; print(importlib.util.find_spec('{module}'))"

    assert run_in(IMAGES[0], "python", "-c", script).strip() == "None"


def test_the_portal_has_its_templates_texts_and_assets(system: Login2FA) -> None:
    page = httpx.get(f"{system.base_url}/login", params={"lang": "de"}, trust_env=False)
    assert page.status_code == 200
    assets = re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text)
    assert assets
    assert [each for each in assets if httpx.get(system.base_url + each, trust_env=False).status_code != 200] == []


def test_there_is_no_perl_in_that_of_the_processes() -> None:
    assert run_in(IMAGES[0], "sh", "-c", "command -v perl; true") == ""


def test_the_bill_of_materials_is_where_the_label_says_and_lists_all_packages_that_are_installed() -> None:
    (image,) = inspected(IMAGES[0])
    bill = json.loads(run_in(IMAGES[0], "cat", image["Config"]["Labels"]["login2fa.sbom"]))

    assert bill["bomFormat"] == "CycloneDX"
    installed = {(canonical(name), version) for name, version in json.loads(run_in(IMAGES[0], "python", "-c", LISTED))}
    own = bill["metadata"]["component"]
    billed = {(canonical(each["name"]), each["version"]) for each in [*bill["components"], own]}
    assert billed == installed
    assert len(billed) > 40
