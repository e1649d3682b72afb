"""Row 29: of three broker nodes one is killed, two are, or all are restarted or drained one after the other.

Nothing is lost (I1), and two nodes of three are enough for everybody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.messaging.topology import OTP_DELIVERY
from tests.faults.rows.three_nodes import Logins, logins, nodes, system, three_nodes
from tests.servers.killable import killed
from tests.servers.rabbitmq_cluster import Cluster, drained, stopped

__all__ = ("logins", "nodes", "system", "three_nodes")

pytestmark = pytest.mark.long


@asynccontextmanager
async def quorum_lost(nodes: Cluster) -> AsyncIterator[None]:
    """Two are killed and the third pauses; at the end both run again."""
    for node in nodes.nodes[1:]:
        await asyncio.to_thread(node.kill)
    yield
    await asyncio.to_thread(nodes.start)


@asynccontextmanager
async def one_after_the_other(nodes: Cluster, how: str) -> AsyncIterator[None]:
    for node in nodes.nodes:
        async with stopped(node) if how == "restarted" else drained(node):
            pass
        await asyncio.to_thread(nodes.until_whole)
    yield


async def test_the_node_is_killed_that_leads_the_queue_of_the_codes(logins: Logins, nodes: Cluster) -> None:
    node = nodes.leader(OTP_DELIVERY.queue)
    assert await logins.meet("leader killed", killed(node), 8.0) == []
    logins.nobody_waited_long()


async def test_the_node_is_killed_that_leads_all_queues_and_has_all_clients(logins: Logins, nodes: Cluster) -> None:
    await asyncio.to_thread(nodes.lead_all, nodes.nodes[0])
    assert await logins.meet("every client's node killed", killed(nodes.nodes[0]), 30.0) == []
    logins.nobody_waited_long()


async def test_codes_wait_or_are_refused_while_two_of_three_are_gone_and_none_is_lost(
    logins: Logins, nodes: Cluster
) -> None:
    assert await logins.meet("two of three broker nodes killed", quorum_lost(nodes), 75.0) == []


@pytest.mark.parametrize("how", ["restarted", "drained"])
async def test_every_node_in_its_turn(logins: Logins, nodes: Cluster, how: str) -> None:
    assert await logins.meet(f"broker nodes {how} in turn", one_after_the_other(nodes, how), 0.0) == []
    logins.nobody_waited_long()
