"""Two of each service on a broker of three nodes, no proxy between them, and ten logins a second while a fault strikes.

The ledger of the random run is judged when all is quiet again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.run.ledger import Hurt, Ledger, Promise
from tests.faults.run.people import People
from tests.faults.run.post import Post
from tests.faults.run.quiet import until_quiet
from tests.faults.run.world import Servers, World, own_servers, world
from tests.polling import eventually
from tests.servers.rabbitmq_cluster import Cluster
from tests.stacks.stack import Person

PER_SECOND = 10
CROWD = 120  # each may get twenty codes an hour
AT_ONCE = 8  # who register
CALM = 5.0  # seconds of logins before a fault, and after its end
RECOVERED_WITHIN = 5.0
LONGEST_WAIT = 20.0
LONGEST_REFUSAL = 5.0
PATIENCE = 300.0  # a code that never comes is given up after 240 s


@pytest.fixture(scope="module")
def three_nodes() -> Iterator[Servers]:
    with own_servers(nodes=3) as servers:
        yield servers


@pytest.fixture
async def system(three_nodes: Servers, nodes: Cluster, tmp_path: Path) -> AsyncIterator[World]:
    async with world(three_nodes, tmp_path, direct=True) as system:
        yield system


@pytest.fixture
def nodes(three_nodes: Servers) -> Iterator[Cluster]:
    assert three_nodes.cluster is not None
    yield three_nodes.cluster
    three_nodes.cluster.start()  # those that a test that failed has left dead


@pytest.fixture
async def logins(system: World) -> AsyncIterator[Logins]:
    logins = Logins(system)
    yield logins
    print(logins.ledger.figures(len(logins.ledger.judge())))


class Logins:
    """People with a second factor, so many of whom log in each second, whatever has become of those before them."""

    def __init__(self, system: World) -> None:
        self.ledger = Ledger()
        self._system = system
        self._post = Post(system.inbox.sink, self.ledger)
        self._people = People(system, self.ledger, self._post, random.Random(0))
        self._free = deque[Person]()
        self._under_way: set[asyncio.Task[None]] = set()

    async def meet(self, kind: str, fault: AbstractAsyncContextManager[None], seconds: float) -> list[str]:
        """Breaches, in sentences, of a fault that lasts so many seconds while they come."""
        sorting = asyncio.create_task(self._post.sort_forever())
        try:
            await self._register()
            async with self._coming():
                await self._for(CALM)
                begun = time.monotonic()
                async with fault:
                    await self._for(seconds)
                ended = time.monotonic()
                await eventually(lambda: self._mailed_after(ended), PATIENCE)
                recovered = time.monotonic() - ended
                await self._for(CALM)
            self.ledger.hurts.append(Hurt(kind, frozenset(), begun, ended, recovered, RECOVERED_WITHIN))
            left = await until_quiet(self._system, self.ledger)
        finally:
            sorting.cancel()
            await asyncio.wait([sorting])
        return [*self.ledger.judge(), *left]

    def nobody_waited_long(self) -> None:
        assert self.ledger.longest_wait() <= LONGEST_WAIT
        assert self.ledger.longest_refusal() <= LONGEST_REFUSAL

    async def _register(self) -> None:
        """All of them have logged in once: auth knows them, and no event of users is under way."""
        gate = asyncio.Semaphore(AT_ONCE)

        async def one() -> None:
            async with gate:
                person = await self._people.register()
                await self._people.visit(person)
                self._free.append(person)

        await asyncio.gather(*(one() for _ in range(CROWD)))

    @asynccontextmanager
    async def _coming(self) -> AsyncIterator[None]:
        over = asyncio.Event()
        door = asyncio.create_task(self._come(over))
        try:
            yield
        finally:
            over.set()
            await door
            async with asyncio.timeout(PATIENCE):
                await asyncio.gather(*self._under_way)

    async def _come(self, over: asyncio.Event) -> None:
        begun = time.monotonic()
        for number in itertools.count(1):
            if over.is_set():
                return
            if self._free:
                task = asyncio.create_task(self._visit(self._free.popleft()))
                self._under_way.add(task)
            with suppress(TimeoutError):
                async with asyncio.timeout(begun + number / PER_SECOND - time.monotonic()):
                    await over.wait()

    async def _visit(self, person: Person) -> None:
        await self._people.visit(person)
        self._free.append(person)

    async def _for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        await eventually(lambda: time.monotonic() > until, seconds + PATIENCE)

    def _mailed_after(self, moment: float) -> list[Promise]:
        """Codes that were asked for since then, and have arrived."""
        promises = self.ledger.promises.values()
        return [each for each in promises if each.at > moment and self.ledger.mails.get(each.request_id)]
