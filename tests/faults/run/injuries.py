"""What can be done to the product: each is done, lasts for some seconds, and is over.

A kill is followed by a start, as every supervisor does; that apart nobody lays a hand on our processes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

from tests.faults.run.injuries_to_nodes import to_a_node
from tests.faults.run.injury import BROKER, DATABASE, MAIL, NETWORK, REPLICA, Injury
from tests.faults.run.world import SERVICES, World
from tests.servers.killable import frozen, killed
from tests.servers.misbehaving_smtp import HANG_UP
from tests.servers.tcp_proxy import WAYS, Way
from tests.stacks.program import Program

HANG_UPS = 5


def in_random_order(chance: random.Random, longest: float, *, nodes: int) -> Iterator[Injury]:
    """One after the other for ever, each kind once before one comes again; none lasts longer than so many seconds.

    All chances are taken here, so that a seed gives the same sequence again.
    """
    while True:
        deck = [*_to_a_service(chance, longest), *_to_a_server(chance, longest)]
        if nodes > 1:
            deck += to_a_node(chance, longest)
        chance.shuffle(deck)
        yield from deck


def _to_a_service(chance: random.Random, longest: float) -> Iterator[Injury]:
    for service in SERVICES:
        name = f"{service}-{chance.choice((1, 2))}"
        one, both = frozenset({name}), frozenset({f"{service}-1", f"{service}-2"})
        seconds = partial(chance.uniform, 0.2, longest)
        yield Injury(f"kill -9 of one {service}", partial(_killed, names=one), seconds() / 2, REPLICA, one)
        yield Injury(f"kill -9 of every {service}", partial(_killed, names=both), seconds() / 2, REPLICA, both)
        yield Injury(f"SIGTERM to one {service}", partial(_terminated, name=name), 0.0, REPLICA, one)
        yield Injury(f"one {service} frozen", partial(_frozen, name=name), seconds(), REPLICA, one)
        yield Injury(f"broker out of reach for one {service}", partial(_way_closed, name=name), seconds(), NETWORK)
        yield Injury(f"broker silent for one {service}", partial(_way_stalled, name=name), seconds(), NETWORK)
        drops = chance.choice(WAYS)
        lossy = partial(_way_lossy, name=name, way=drops)
        yield Injury(f"all lost between one {service} and the broker, one way", lossy, seconds(), NETWORK)


def _to_a_server(chance: random.Random, longest: float) -> Iterator[Injury]:
    seconds = partial(chance.uniform, 0.2, longest)
    yield Injury("broker killed", lambda world: killed(world.servers.broker), seconds() / 2, BROKER)
    yield Injury("broker frozen", lambda world: frozen(world.servers.broker), seconds(), BROKER)
    yield Injury("broker out of memory (alarm)", _alarmed, seconds(), BROKER)
    yield Injury("Postgres killed", lambda world: killed(world.servers.postgres), seconds() / 4, DATABASE)
    yield Injury("Postgres frozen", lambda world: frozen(world.servers.postgres), seconds() / 2, DATABASE)
    yield Injury("way to Postgres silent", partial(_way_stalled, name="database"), seconds() / 2, DATABASE)
    yield Injury("network slow: broker, Postgres, mail (0.1 s)", _slow, seconds(), DATABASE)
    yield Injury("connections to Postgres reset", partial(_way_reset, name="database"), 0.0, DATABASE)
    yield Injury("mail server out of reach", partial(_way_closed, name="mail"), seconds(), MAIL)
    yield Injury("mail server silent", partial(_way_stalled, name="mail"), seconds(), MAIL)
    yield Injury("mail server busy (450)", partial(_mail_refuses, reply="450 Try later"), seconds(), MAIL)
    yield Injury("mail server closing (421)", partial(_mail_refuses, reply="421 Closing"), seconds(), MAIL)
    # Each time the mail is kept, and its sender can not know.
    dropped = "mail server drops the connection after the dot"
    yield Injury(dropped, _mail_hangs_up, seconds(), MAIL, doubles=HANG_UPS)


@asynccontextmanager
async def _killed(world: World, names: frozenset[str]) -> AsyncIterator[None]:
    programs = _programs(world, names)
    for program in programs:
        program.kill()
    yield
    for program in programs:
        program.start()


@asynccontextmanager
async def _terminated(world: World, name: str) -> AsyncIterator[None]:
    (program,) = _programs(world, {name})
    code = await program.terminate()
    assert code == 0, f"{name} ended with {code}:\n{program.output()}"
    yield
    program.start()


@asynccontextmanager
async def _frozen(world: World, name: str) -> AsyncIterator[None]:
    (program,) = _programs(world, {name})
    os.kill(program.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(program.pid, signal.SIGCONT)


@asynccontextmanager
async def _alarmed(world: World) -> AsyncIterator[None]:
    ctl = world.servers.broker.ctl
    await asyncio.to_thread(ctl, "set_vm_memory_high_watermark", "0.0000001")
    try:
        yield
    finally:
        await asyncio.to_thread(ctl, "set_vm_memory_high_watermark", "0.4")


@asynccontextmanager
async def _way_closed(world: World, name: str) -> AsyncIterator[None]:
    way = world.ways[name]
    way.refuse()
    way.cut()
    try:
        yield
    finally:
        await way.start()


@asynccontextmanager
async def _way_stalled(world: World, name: str) -> AsyncIterator[None]:
    """What was held back is lost, as with connections that a router has forgotten."""
    way = world.ways[name]
    way.stall()
    try:
        yield
    finally:
        way.cut()
        way.resume()


@asynccontextmanager
async def _way_lossy(world: World, name: str, way: Way) -> AsyncIterator[None]:
    world.ways[name].drop(way)
    try:
        yield
    finally:
        world.ways[name].resume()


@asynccontextmanager
async def _slow(world: World) -> AsyncIterator[None]:
    for way in world.ways.values():
        way.delay(0.1)
    try:
        yield
    finally:
        for way in world.ways.values():
            way.resume()


@asynccontextmanager
async def _way_reset(world: World, name: str) -> AsyncIterator[None]:
    world.ways[name].cut()
    yield


@asynccontextmanager
async def _mail_refuses(world: World, reply: str) -> AsyncIterator[None]:
    sink = world.inbox.sink
    sink.refuse(reply, at="MAIL")
    try:
        yield
    finally:
        sink.accept()


@asynccontextmanager
async def _mail_hangs_up(world: World) -> AsyncIterator[None]:
    sink = world.inbox.sink
    sink.refuse(HANG_UP, at="DATA", times=HANG_UPS)
    try:
        yield
    finally:
        sink.accept()


def _programs(world: World, names: frozenset[str] | set[str]) -> list[Program]:
    return [each for each in world.programs if each.name in names]
