"""The wheel has every file that the product reads, and nothing that only a checkout has."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from tests.packages.building import OURS, PROJECT

# For images, machines and developers: nobody imports them.
_NOT_IN_IT = tuple(f"deploy/{name}/" for name in ("compose", "kubernetes", "monitoring", "release", "site", "systemd"))
_FOR_BUILDERS = {"deploy/Dockerfile", "deploy/images.env"}
_OF_TESTS = re.compile(r"^\s*(from|import) (tests|login2fa_testing|conftest)\b", re.MULTILINE)


def test_the_wheel_has_each_module_and_each_file_beside_one_and_imports_no_test(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        files = {name: archive.read(name) for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(PROJECT))
        for folder in OURS
        for path in (PROJECT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".") and path.suffix != ".md"
    }
    wanted -= {name for name in wanted if name.startswith(_NOT_IN_IT)}
    # The gateway's configuration goes into its image; a module writes the page of the API.
    wanted -= {name for name in wanted if name.startswith("deploy/gateway/") and not name.endswith(".py")}
    assert set(files) == wanted - _FOR_BUILDERS
    assert [
        name for name, content in files.items() if name.endswith(".py") and _OF_TESTS.search(content.decode())
    ] == []
