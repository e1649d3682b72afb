from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from deploy.gateway import docs
from tests.gateway.gateway import Gateway, running_gateway

Start = Callable[..., Gateway]


@pytest.fixture(scope="package")
def static(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("static")
    docs.write(folder)
    return folder


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory, static: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path_factory.mktemp("gateway"), static) as gateway:
        yield gateway


@pytest.fixture
def gateway(running: Gateway) -> Gateway:
    """The gateway as it is shipped, its upstreams having seen nothing yet."""
    for each in (running.auth, running.users, running.portal):
        each.forget()
    return running


@pytest.fixture
def start(tmp_path: Path, static: Path) -> Iterator[Start]:
    """Start a gateway for this test alone: `changes` replaces texts, `server` adds files to server.d."""
    with ExitStack() as stack:

        def started(
            changes: Mapping[str, str] | None = None,
            server: Mapping[str, str] | None = None,
            static: Path = static,
            **variables: str,
        ) -> Gateway:
            return stack.enter_context(running_gateway(tmp_path, static, changes=changes, server=server, **variables))

        yield started
