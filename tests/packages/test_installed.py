"""`pip install` of the wheel with its extra, then `login2fa up` in an empty folder: the whole product, without a
checkout, without Docker and, where anybody can run the interpreter, without root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deploy.demo_accounts import DEMO_ACCOUNTS
from tests.e2e_required import missing
from tests.packages.building import PROJECT
from tests.packages.installed import Installation, installation, python_of
from tests.polling import wait_until

pytestmark = pytest.mark.long  # two environments with all packages

_IMPORT_ALL = """
import importlib, pkgutil, deploy, services, shared
for each in (deploy, services, shared):
    for module in pkgutil.walk_packages(each.__path__, each.__name__ + "."):
        if not module.name.endswith(("__main__", ".demo", ".postman")):  # they run
            importlib.import_module(module.name)
print(services.__file__)
"""


@pytest.fixture(scope="module", params=["3.11", "3.13"])
def installed(request: pytest.FixtureRequest, wheel: Path) -> Iterator[Installation]:
    python = python_of(request.param)
    if python is None:
        missing(f"there is no Python {request.param} here")
    with installation(python) as made:
        made.pip_install(f"{wheel}[standalone,otel]")
        yield made


def test_each_module_can_be_imported_where_nothing_else_is_installed(installed: Installation) -> None:
    place = installed.run("python", "-c", _IMPORT_ALL)
    assert place.startswith(str(installed.environment))
    assert str(PROJECT) not in place


def test_the_whole_product_runs_in_an_empty_folder_and_an_empty_home(installed: Installation) -> None:
    admin = DEMO_ACCOUNTS[0]
    with installed.up() as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as http:
        page = http.get("/login")
        assert (page.status_code, 'name="password"' in page.text) == (200, True)
        [style] = re.findall(r'href="(/[^"]+\.css[^"]*)"', page.text)
        assert http.get(style).status_code == 200
        assert http.get("/docs").status_code == 200
        form = {"username": admin.email, "password": admin.password}
        first = http.post("/api/v1/auth/token", data=form)
        assert (first.status_code, first.json()["otp_required"]) == (200, True)
        codes = installed.cwd / ".local" / "otp-logs.txt"
        code = wait_until(lambda: codes.exists() and codes.read_text().rpartition("/")[2].strip())
        bearer = {"authorization": f"Bearer {first.json()['temporary_token']}"}
        pair = http.post("/api/v1/auth/verify-otp", headers=bearer, json={"otp": code}).json()
        me = http.get("/api/v1/users/me", headers={"authorization": f"Bearer {pair['access_token']}"})
        assert (me.status_code, me.json()["email"]) == (200, admin.email)

    assert [path.name for path in installed.cwd.iterdir()] == [".local"]
    assert list(installed.home.iterdir()) == []
