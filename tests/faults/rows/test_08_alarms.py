"""Row 8: the broker runs out of memory or disk, and reads no more from who publishes.

The API answers as usual (I6), consumers go on, and no code comes twice for every time that it was tried (I4).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.faults.rows.own_broker_url import amqp_url
from tests.faults.rows.promises import SHOWN_WITHIN, Promises, oldest_waits
from tests.integration.codes_path import CodesPath
from tests.polling import eventually
from tests.servers.own_broker import OwnBroker

__all__ = ("amqp_url",)

RECOVERED_WITHIN = 15.0

# What was on its way when the alarm began is taken when it ends, and has been published again by then.
MAILS_EACH = 2

# Which limit to set, and back to what.
ALARMS = {
    "memory": ("set_vm_memory_high_watermark", ("0.0000001",), ("0.6",)),
    "disk": ("set_disk_free_limit", ("100000GB",), ("1MB",)),
}


@asynccontextmanager
async def alarm(broker: OwnBroker, of: str) -> AsyncIterator[None]:
    command, on, off = ALARMS[of]
    await asyncio.to_thread(broker.ctl, command, *on)
    try:
        yield
    finally:
        await asyncio.to_thread(broker.ctl, command, *off)


@pytest.mark.parametrize(
    ("pace", "of", "seconds"),
    [
        ("hasty", "memory", 7.0),
        pytest.param("hasty", "disk", 7.0, marks=pytest.mark.long),
        pytest.param("as in production", "memory", 40.0, marks=pytest.mark.long),
    ],
    indirect=["pace"],
)
async def test_logins_go_on_what_the_broker_has_is_delivered_and_the_rest_when_the_alarm_is_over(
    pace: None, path: CodesPath, promises: Promises, broker: OwnBroker, of: str, seconds: float
) -> None:
    waiting = await promises.several(4)  # one domain's share: to put a fifth off takes a publish
    await eventually(lambda: _all_published(path))
    async with alarm(broker, of), promises.coming_in():
        await path.start_notifier()
        for promise in waiting:
            await path.mails.wait_for(promise.email)
            assert await path.status(promise.temporary) in ("pending", "delivered")
        await eventually(lambda: oldest_waits() > seconds, seconds + SHOWN_WITHIN)
        assert await path.not_ready() == set()
    await promises.delivered_again(RECOVERED_WITHIN)

    await promises.kept(mails_each=MAILS_EACH)


async def _all_published(path: CodesPath) -> bool:
    return not await path.sql.fetchval("SELECT count(*) FROM auth.outbox")
