"""Row 28: one of three broker nodes, which leads the queue of the codes, is frozen for 80 s or cut off for 100 s.

Nothing is lost (I1), no code waits longer than 20 s, nobody is refused for longer than 5 s, and a mail that the silent
node has in its hands comes once more at most (I4).
"""

from __future__ import annotations

import asyncio

import pytest

from shared.messaging.topology import OTP_DELIVERY
from tests.faults.rows.three_nodes import Logins, logins, nodes, system, three_nodes
from tests.servers.killable import frozen
from tests.servers.rabbitmq_cluster import Cluster

__all__ = ("logins", "nodes", "system", "three_nodes")

pytestmark = pytest.mark.long


async def test_a_node_frozen(logins: Logins, nodes: Cluster) -> None:
    node = nodes.leader(OTP_DELIVERY.queue)
    assert await logins.meet("one broker node frozen", frozen(node), 80.0) == []
    logins.nobody_waited_long()
    await asyncio.to_thread(nodes.mend, node)


async def test_a_node_cut_off_from_the_others_and_from_all_clients(logins: Logins, nodes: Cluster) -> None:
    node = nodes.leader(OTP_DELIVERY.queue)
    assert await logins.meet("one broker node cut off", nodes.apart(node), 100.0) == []
    logins.nobody_waited_long()
    await asyncio.to_thread(nodes.mend, node)
