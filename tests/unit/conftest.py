"""Unit tests need no server, no network and no clock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from io import StringIO

import hypothesis
import pytest
import structlog

from shared.observability import logs

# How long an example takes depends on the machine, and is no requirement.
hypothesis.settings.register_profile("login2fa", deadline=None, print_blob=True)
hypothesis.settings.load_profile("login2fa")


@pytest.fixture
def stream() -> Iterator[StringIO]:
    """What a process at level debug writes; the logging of the test run is put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in list(logging.root.manager.loggerDict)}
    stream = StringIO()
    logs.configure("auth", "debug", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
    structlog.reset_defaults()
