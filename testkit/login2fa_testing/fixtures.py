"""Fixtures for pytest: `pytest_plugins = ["login2fa_testing.fixtures"]` in the topmost conftest.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import httpx
import pytest

from login2fa_testing.docker_command import DockerFailed
from login2fa_testing.inbox import Inbox
from login2fa_testing.running import login2fa_of_environment
from login2fa_testing.system import LoginSystem


@pytest.fixture(scope="session")
def login2fa() -> Iterator[LoginSystem]:
    """The login system: the one at LOGIN2FA_URL, or one in containers that is started now and removed at the end."""
    with ExitStack() as running:
        try:
            system = running.enter_context(login2fa_of_environment())
        except (DockerFailed, ValueError) as error:
            # The sentence alone: a traceback through this package would bury it.
            pytest.fail(str(error), pytrace=False)
        yield system


@pytest.fixture(scope="session")
def login2fa_inbox(login2fa: LoginSystem) -> Inbox:
    return login2fa.inbox


@pytest.fixture
def logged_in_client(login2fa: LoginSystem) -> Iterator[httpx.Client]:
    """A client of the API, logged in as a new customer without a second factor."""
    with login2fa.logged_in() as client:
        yield client


@pytest.fixture
def admin_client(login2fa: LoginSystem) -> Iterator[httpx.Client]:
    """A client of the API, logged in as a new administrator."""
    with login2fa.logged_in(is_admin=True) as client:
        yield client
