"""openapi-typescript and @hey-api/openapi-ts make clients that type-check and log in with a second factor."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clients.generators import Generators
from tests.stacks.standalone import Standalone
from tests.stacks.steps import somebody

pytestmark = pytest.mark.long

WALKS = Path(__file__).parent / "walks"


@pytest.fixture(scope="module")
def built(generators: Generators, stack: Standalone) -> Path:
    """The walks and both clients, as strict TypeScript takes them: in JavaScript."""
    folder = generators.folder / "typescript"
    shutil.copytree(WALKS, folder, ignore=shutil.ignore_patterns("*.txt"))
    (folder / "node_modules").symlink_to(generators.installed / "node_modules")
    generators.node("openapi-typescript", generators.document, "--output", folder / "openapi-typescript.ts")
    made = ("-i", generators.document, "-o", folder / "hey-api", "-c", "@hey-api/client-fetch", "--no-log-file")
    generators.node("openapi-ts", *made)
    generators.node("tsc", "--project", folder)
    return folder / "built"


@pytest.mark.parametrize("walk", ["fetch.js", "sdk.js"])
def test_it_logs_in_with_a_mailed_code(built: Path, walk: str, generators: Generators, stack: Standalone) -> None:
    url, codes = str(stack.http.base_url).rstrip("/"), stack.state / "otp-logs.txt"
    assert generators.run("node", built / walk, url, codes, somebody().email) == "logged in and out\n"


def test_a_walk_that_mistakes_one_answer_of_the_login_for_the_other_does_not_compile(
    built: Path, generators: Generators
) -> None:
    source = built.parent / "sdk.ts"
    source.write_text(source.read_text().replace("asked.temporary_token", "asked.access_token"))
    with pytest.raises(AssertionError, match="'access_token' does not exist on type 'OtpRequiredOut'"):
        generators.node("tsc", "--project", built.parent, "--noEmit")
