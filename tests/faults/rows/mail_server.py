"""The way from the notifier to the mail server, to be broken, and what the notifier's metrics say meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from prometheus_client import REGISTRY

from tests.integration.codes_path import CodesPath
from tests.servers.tcp_proxy import TcpProxy

# In all, for one delivery: seconds that a busy machine keeps easily, and that a test can wait for.
SMTP_TIMEOUT = 3.0

# A code that was tried for the first time moments ago is tried again after 1 s and 3 s.
RECOVERED_WITHIN = 10.0


@pytest.fixture
async def way(path: CodesPath) -> AsyncIterator[TcpProxy]:
    """The notifier is not started."""
    way = TcpProxy(path.mails.host, path.mails.port)
    await way.start()
    path.notifier_settings |= {"smtp_port": way.port, "smtp_timeout": SMTP_TIMEOUT}
    yield way
    way.resume()
    await path.stop_notifier()
    await way.stop()


async def well_again(path: CodesPath, way: TcpProxy) -> None:
    way.refuse()
    way.resume()
    await way.start()
    path.mails.accept()


def paused() -> bool:
    return bool(REGISTRY.get_sample_value("login2fa_deliveries_paused"))
