"""Row 6: the broker is frozen: connections stay open and say nothing. Nothing is lost (I1), and it recovers (I7).

25 s are long enough for both sides to give up their connections. The short form ends when readiness has told.
"""

from __future__ import annotations

import time

import pytest

from tests.faults.rows.own_broker_url import amqp_url
from tests.faults.rows.promises import SHOWN_WITHIN, Promises
from tests.integration.codes_path import CodesPath
from tests.polling import eventually
from tests.servers.killable import frozen
from tests.servers.own_broker import OwnBroker

__all__ = ("amqp_url",)

RECOVERED_WITHIN = 15.0

# What was written before is read when the broker goes on, and was published again; and an acknowledgement was lost.
MAILS_EACH = 3


@pytest.mark.parametrize(
    ("pace", "seconds"),
    [("hasty", 0.0), pytest.param("as in production", 25.0, marks=pytest.mark.long)],
    indirect=["pace"],
)
async def test_codes_asked_for_before_and_while_the_broker_is_frozen_arrive_when_it_goes_on(
    pace: None, path: CodesPath, promises: Promises, broker: OwnBroker, seconds: float
) -> None:
    await path.start_notifier()
    async with promises.coming_in():
        await promises.more_logins(20)
        async with frozen(broker):
            until = time.monotonic() + seconds
            await promises.more_logins(20)
            await promises.shown("auth-consumer", "notifier-consumer")
            await eventually(lambda: time.monotonic() > until, seconds + SHOWN_WITHIN)
        await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept(mails_each=MAILS_EACH)
