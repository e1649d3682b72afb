"""Row 7: the broker is cut off from auth or from the notifier, both ways or one way.

Nothing is lost (I1). A code whose confirm is lost is published again, and one whose acknowledgement is lost is
delivered again: once for each time that the network fails (I4).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath
from tests.servers.tcp_proxy import TcpProxy, Way

RECOVERED_WITHIN = 15.0
MAILS_EACH = 2

# "out" is to the broker, "back" from the broker.
BOTH_WAYS: tuple[Way, ...] = ("out", "back")
OUT: tuple[Way, ...] = ("out",)
BACK: tuple[Way, ...] = ("back",)
CUTS = [(service, ways) for service in ("auth", "notifier") for ways in (BOTH_WAYS, OUT, BACK)]
WHERE_MOST_IS_LOST = [("auth", BOTH_WAYS), ("auth", BACK), ("notifier", OUT)]
CHECKS = {"auth": "auth-consumer", "notifier": "notifier-consumer"}


@pytest.fixture
async def networks(path: CodesPath, proxy: TcpProxy) -> AsyncIterator[dict[str, TcpProxy]]:
    """How each of the two reaches the broker; the notifier is started."""
    of_notifier = TcpProxy.to_broker(path.amqp_url)
    await of_notifier.start()
    straight, path.amqp_url = path.amqp_url, of_notifier.url(path.amqp_url)
    await path.start_notifier()
    yield {"auth": proxy, "notifier": of_notifier}
    of_notifier.resume()
    path.amqp_url = straight
    await path.stop_notifier()
    await of_notifier.stop()


@pytest.mark.parametrize(
    ("pace", "service", "ways"),
    [
        *(("hasty", *cut) for cut in WHERE_MOST_IS_LOST),
        *(pytest.param("as in production", *cut, marks=pytest.mark.long) for cut in CUTS),
    ],
    indirect=["pace"],
)
async def test_what_is_asked_for_while_the_network_drops_everything_arrives_when_it_no_longer_does(
    pace: None, networks: dict[str, TcpProxy], path: CodesPath, promises: Promises, service: str, ways: tuple[Way, ...]
) -> None:
    async with promises.coming_in():
        await promises.more_logins(10)
        networks[service].drop(*ways)
        await promises.shown(CHECKS[service])
        networks[service].resume()
        await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept(mails_each=MAILS_EACH)
