"""What a test of the containers needs, and what happens where it is not there.

On a machine without a Docker engine such a test is skipped, and says so. Where REQUIRE_E2E=1 is set, as `make e2e`
does, that would be a hole: there it fails.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tests.servers.docker_engine import engine_answers, image_available
from tests.servers.our_images import build_failure


def require_engine() -> None:
    if not engine_answers():
        missing("no Docker engine answers here: start one")


def containers_missing() -> str | None:
    """Build our images; None, or why the product can not be run in containers here. Where it must be, a failure."""
    why = build_failure() if engine_answers() else "no Docker engine answers here"
    if why and os.environ.get("REQUIRE_E2E") == "1":
        missing(why)
    return why


def require_containers() -> None:
    """Ask for an engine, and build our images."""
    if why := containers_missing():
        missing(why)


def require_public_image(image: str) -> None:
    """Ask for an image that a registry has, and for an engine."""
    require_engine()
    if not image_available(image):
        missing(f"the engine neither has {image} nor can pull it")


def missing(why: str) -> NoReturn:
    """Skip, or fail, with `why` as the reason."""
    if os.environ.get("REQUIRE_E2E") == "1":
        pytest.fail(f"REQUIRE_E2E=1, and {why}.", pytrace=False)
    pytest.skip(f"{why}.")
