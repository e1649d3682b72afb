"""Injuries to one node of a broker of three. Each is over when all three see each other again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from tests.faults.run.injury import BROKER, Injury
from tests.faults.run.world import World
from tests.servers.killable import frozen, killed
from tests.servers.rabbitmq_cluster import COUNT, NET_TICKTIME, Cluster, drained, stopped
from tests.servers.rabbitmq_node import PrivateNode

# A silent node may hold the confirm of a code's publication and the ack of its delivery: each makes a mail of its own.
_OF_SILENCE = 2


def to_a_node(chance: random.Random, longest: float) -> Iterator[Injury]:
    seconds = partial(chance.uniform, 0.2, longest)

    def silence() -> float:
        """Some are over before the others count the node as gone, some after it."""
        return chance.uniform(0.2, min(2 * longest, 2 * NET_TICKTIME))

    def a_node() -> int:
        return chance.randrange(COUNT)

    yield Injury("one broker node killed", partial(_killed, number=a_node()), seconds() / 2, BROKER)
    yield Injury("one broker node frozen", partial(_frozen, number=a_node()), silence(), BROKER, doubles=_OF_SILENCE)
    yield Injury("one broker node cut off", partial(_cut_off, number=a_node()), silence(), BROKER, doubles=_OF_SILENCE)
    yield Injury("SIGTERM to one broker node", partial(_stopped, number=a_node()), seconds() / 2, BROKER)
    yield Injury("broker nodes drained in turn", _drained_in_turn, 0.0, BROKER)


def _cluster(world: World) -> Cluster:
    assert world.servers.cluster is not None
    return world.servers.cluster


def _node(world: World, number: int) -> PrivateNode:
    return _cluster(world).nodes[number]


async def _until_whole(world: World) -> None:
    await asyncio.to_thread(_cluster(world).until_whole)


@asynccontextmanager
async def _killed(world: World, number: int) -> AsyncIterator[None]:
    async with killed(_node(world, number)):
        yield
    await _until_whole(world)


@asynccontextmanager
async def _frozen(world: World, number: int) -> AsyncIterator[None]:
    async with frozen(_node(world, number)):
        yield
    await asyncio.to_thread(_cluster(world).mend, _node(world, number))


@asynccontextmanager
async def _cut_off(world: World, number: int) -> AsyncIterator[None]:
    async with _cluster(world).apart(_node(world, number)):
        yield
    await asyncio.to_thread(_cluster(world).mend, _node(world, number))


@asynccontextmanager
async def _stopped(world: World, number: int) -> AsyncIterator[None]:
    async with stopped(_node(world, number)):
        yield
    await _until_whole(world)


@asynccontextmanager
async def _drained_in_turn(world: World) -> AsyncIterator[None]:
    for node in _cluster(world).nodes:
        async with drained(node):
            pass
        await _until_whole(world)
    yield
