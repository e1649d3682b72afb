"""What every row is given: the servers, the product over them, a mail server, and a way to say how far it has come."""

from __future__ import annotations

import dataclasses
import json
import math
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench import people
from tests.bench.job import Job
from tests.bench.limits.web import Given
from tests.bench.loading import loads_in_turn
from tests.bench.measured import ROUNDS, Result, Sample
from tests.bench.people import MANY, Issuer
from tests.bench.system import Servers, System
from tests.bench.workers import Worker
from tests.servers.databases import asyncpg_dsn, connected
from tests.servers.ports import free_ports

# Rows that ask a server as fast as it answers have shorter turns than the others, and so many more of them: a processor
# of a machine that others use too is faster in one second than in the next.
SHORTER = 6
SECONDS = 0.25

# Rows of percentiles near the end are measured in so many parts, with others between them: what decides such a figure
# comes in minutes, some of them worse than others.
PARTS = 5


@dataclass(frozen=True, kw_only=True)
class Bench:
    """In the database of `system` are 2 * MANY accounts, each with a session; the second half have two factors."""

    servers: Servers
    system: System
    sink: Worker
    state: Path
    folder: Path
    say: Callable[[str], None]
    rounds: int = ROUNDS
    _kept: dict[str, list[str]] = field(default_factory=dict)
    _parts: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def hashes(self) -> list[str]:
        """MANY hashes of people.PASSWORD; made when first asked for."""
        if "hashes" not in self._kept:
            self.say("hashing passwords")
            self._kept["hashes"] = people.password_hashes(self.state)
        return self._kept["hashes"]

    async def give_passwords(self) -> None:
        """To all accounts of `system`."""
        async with connected(self.system.databases.admin_url) as connection:
            for half in (range(MANY), range(MANY, 2 * MANY)):
                await people.give_passwords(connection, half, self.hashes())

    @asynccontextmanager
    async def limit(self, name: str, issuer: Issuer | None = None) -> AsyncIterator[Limit]:
        """The bare server of that name (tests.bench.limits.web), which knows what `issuer` signs."""
        (port,) = free_ports(1)
        given = Given()
        if issuer is not None:
            given = Given(
                dsn=asyncpg_dsn(self.system.databases.admin_url),
                pem=str(next(self.system.keys.glob("*.pem"))),
                kid=issuer.signer.kid,
                issuer=issuer.name,
                audience=people.AUDIENCE,
            )
        arguments = (name, str(port), json.dumps(dataclasses.asdict(given)))
        async with Worker("tests.bench.limits.web", *arguments) as worker:
            yield Limit(port=port, pid=worker.pid)

    def job(self, requests: list[bytes], ports: Sequence[int], pids: Sequence[int], *, expect: int = 200) -> Job:
        """To be asked for SECONDS in each turn, as fast as it answers, over 32 connections."""
        return Job(ports=tuple(ports), requests=requests, expect=expect, seconds=SECONDS, watched=self.watched(pids))

    def watched(self, pids: Sequence[int]) -> dict[str, tuple[int, ...]]:
        return {"process": tuple(pids), **self.servers.watched()}

    def taken(self, row: str) -> dict[str, list[Sample]]:
        """The samples of a row that is measured in PARTS, by side: each part puts in its own."""
        return self._parts.setdefault(row, defaultdict(list))

    def of_a_part(self, times: int) -> int:
        """Rounds of each of the PARTS where all of them together have `times` as many as a plain row."""
        return math.ceil(times * self.rounds / PARTS)

    async def in_short_turns(self, jobs: Mapping[str, Job]) -> dict[str, list[Sample]]:
        """What answers has a processor for itself, and each of them as often as the other."""
        apart = {name: dataclasses.replace(job, apart=job.watched["process"]) for name, job in jobs.items()}
        return await loads_in_turn(apart, self.say, self.rounds * SHORTER)


@dataclass(frozen=True, kw_only=True)
class Limit:
    port: int
    pid: int


Row = Callable[[Bench], Awaitable[list[Result]]]
