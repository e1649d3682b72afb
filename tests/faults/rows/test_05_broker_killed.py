"""Row 5: the broker is killed with -9 and started again. Nothing is lost (I1), and it recovers within 15 s (I7)."""

from __future__ import annotations

from tests.faults.rows.own_broker_url import amqp_url
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath
from tests.servers.killable import killed
from tests.servers.own_broker import OwnBroker

__all__ = ("amqp_url",)

RECOVERED_WITHIN = 15.0

# One more because the confirm was lost with the broker, and one more because the acknowledgement was.
MAILS_EACH = 3


async def test_codes_asked_for_before_and_while_the_broker_is_dead_arrive_when_it_is_back(
    path: CodesPath, promises: Promises, broker: OwnBroker
) -> None:
    await path.start_notifier()
    async with promises.coming_in():
        await promises.more_logins(20)
        async with killed(broker):
            await promises.more_logins(20)
            await promises.shown("auth-consumer", "notifier-consumer")
        await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept(mails_each=MAILS_EACH)
