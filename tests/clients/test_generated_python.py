"""openapi-python-client makes a client that imports, type-checks and logs in with a second factor."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clients.generators import PROJECT, Generators
from tests.stacks.standalone import Standalone
from tests.stacks.steps import somebody

pytestmark = pytest.mark.long

WALK = Path(__file__).parent / "walks" / "python.py.txt"  # it imports what is not there before it is made


@pytest.fixture(scope="module")
def client(generators: Generators, stack: Standalone) -> Path:
    """The folder with the walk, and the package that it imports."""
    folder = generators.folder / "python"
    folder.mkdir()
    paths = ("--path", generators.document, "--output-path", folder / "login2fa_api")
    generators.python("openapi-python-client", "generate", *paths, "--meta", "none", "--fail-on-warning")
    shutil.copy(WALK, folder / "walk.py")
    return folder


def test_its_operations_are_called_as_our_functions_are(client: Path) -> None:
    names = {path.stem for path in (client / "login2fa_api" / "api").glob("*/*.py")}
    assert {"token", "verify_otp", "refresh_token", "me", "registration", "list_accounts"} <= names
    assert [name for name in names if "api_v1" in name] == []


def test_it_type_checks(client: Path, generators: Generators) -> None:
    """But for client.py, which is the generator's own text: it passes `*args: object` to httpx."""
    mypy = (sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", "/dev/null")
    said = generators.run(*mypy, "walk.py", "login2fa_api/api", "login2fa_api/models", cwd=client)
    assert "no issues found" in said


def newer_python() -> str | None:
    """A Python that is newer than this one and runs."""
    names = [f"python3.{minor}" for minor in range(sys.version_info.minor + 1, sys.version_info.minor + 9)]
    folders = [Path(sys.base_prefix).parent.glob(f"3.*/bin/{name}") for name in names]  # as pyenv has them
    candidates = [*filter(None, map(shutil.which, names)), *(str(path) for found in folders for path in found)]
    for each in candidates:
        if subprocess.run([each, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0:
            return each
    return None


@pytest.fixture(params=["this Python", "a newer one"])
def python(request: pytest.FixtureRequest, generators: Generators) -> Path:
    if request.param == "this Python":
        return generators.installed / "bin" / "python"
    newer = newer_python()
    if newer is None:
        pytest.skip("No Python here is newer than the one that runs the tests.")
    folder = generators.folder / "newer"
    generators.run(newer, "-m", "venv", folder)
    pins = re.findall(r"^((?:httpx|attrs)==\S+)", (PROJECT / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    generators.run(folder / "bin" / "python", "-m", "pip", "install", "-q", *pins)
    return folder / "bin" / "python"


def test_it_logs_in_with_a_mailed_code(client: Path, python: Path, generators: Generators, stack: Standalone) -> None:
    codes = stack.state / "otp-logs.txt"
    said = generators.run(python, "walk.py", str(stack.http.base_url).rstrip("/"), codes, somebody().email, cwd=client)
    assert said == "logged in and out\n"
