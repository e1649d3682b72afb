"""A seeded run: people log in all the time, one fault follows the other, and at the end the ledger is judged."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.run.injuries import in_random_order
from tests.faults.run.injury import Injury
from tests.faults.run.ledger import Hurt, Ledger
from tests.faults.run.people import People
from tests.faults.run.post import Post
from tests.faults.run.quiet import until_quiet
from tests.faults.run.world import Servers, World, world

CLIENTS = 16
EVERY = 4.0  # seconds from one login of a client to its next
LONGEST = 15.0  # seconds of one fault
CALM = (1.0, 4.0)  # seconds between a recovery and the next fault
RECOVERY_SECONDS = 120.0  # then the run is given up
HOME_SECONDS = 300.0  # a code that is under way lives 240

Say = Callable[[str], None]


@dataclass(frozen=True)
class Result:
    ledger: Ledger
    wrong: list[str]
    text: str


async def random_run(
    servers: Servers, folder: Path, *, seed: int, seconds: float, longest: float = LONGEST, say: Say
) -> Result:
    """Faults for so many seconds, each at most `longest`; `say` gets a line for each.

    The same seed gives the same faults in the same order.
    """
    ledger, begun, nodes = Ledger(), time.monotonic(), len(servers.broker_urls)
    async with world(servers, folder) as system:
        post = Post(system.inbox.sink, ledger)
        people = People(system, ledger, post, random.Random(seed + 1))
        async with _running(post.sort_forever()), _coming(people):
            await _recovered(system, people)
            chance = random.Random(seed)
            for injury in in_random_order(chance, longest, nodes=nodes):
                calm = chance.uniform(*CALM)
                hurt = await _hurt(system, people, injury, ledger)
                say(f"{time.monotonic() - begun:7.1f} s  {ledger.logins:6} logins  {hurt}")
                if time.monotonic() - begun > seconds:
                    break
                await asyncio.sleep(calm)
        async with _running(post.sort_forever()):
            breaches = await until_quiet(system, ledger)
        post.sort()
        wrong = [*ledger.judge(), *breaches, *_secrets(ledger, system.written())]
    took = time.monotonic() - begun
    broker = f"{nodes} broker node{'s' * (nodes > 1)}"
    head = f"seed {seed}, {took:.0f} s, {CLIENTS} clients, two replicas of each service, {broker}"
    return Result(ledger, wrong, f"{head}\n{ledger.figures(len(wrong))}")


async def _hurt(system: World, people: People, injury: Injury, ledger: Ledger) -> Hurt:
    begun = time.monotonic()
    async with injury.do(system):
        await asyncio.sleep(injury.seconds)
    ended = time.monotonic()
    async with asyncio.timeout(RECOVERY_SECONDS):
        await _recovered(system, people)
    recovered = time.monotonic() - ended
    hurt = Hurt(injury.kind, injury.whom, begun, ended, recovered, injury.bound, injury.doubles)
    ledger.hurts.append(hurt)
    return hurt


async def _recovered(system: World, people: People) -> None:
    """Every process is ready, and at each replica of auth somebody gets in with a new code."""
    await asyncio.gather(*(system.until_ready(program) for program in system.programs))
    for replica in system.replicas["auth"]:
        await people.visit(await people.register(), at=replica.name)


@asynccontextmanager
async def _running(coroutine: object) -> AsyncIterator[None]:
    task = asyncio.ensure_future(coroutine)  # type: ignore[call-overload] # a coroutine
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def _coming(people: People) -> AsyncIterator[None]:
    """People come and go inside the block; at its end all are at home."""
    stopping = asyncio.Event()
    clients = [asyncio.create_task(people.come_and_go(stopping, EVERY)) for _ in range(CLIENTS)]
    try:
        yield
        stopping.set()
        async with asyncio.timeout(HOME_SECONDS):
            await asyncio.gather(*clients)
    finally:
        for client in clients:
            client.cancel()
        await asyncio.wait(clients)


def _secrets(ledger: Ledger, text: str) -> list[str]:
    """A code stands alone in no line of any log, an account code or a password nowhere, and no token in any."""
    codes = {mail.code for mails in ledger.mails.values() for mail in mails}
    found = codes & set(re.findall(r"(?<![\w.:-])[0-9]{6}(?![\w.:-])", text))
    long = {code for code in codes if len(code) > 6}
    secrets = [*long, *(f"{code[:5]}-{code[5:]}" for code in long), *ledger.passwords.values()]
    found |= {secret for secret in secrets if secret in text}
    return [f"I9: {len(found)} codes or passwords in the logs"] * bool(found) + ["I9: a token in the logs"] * (
        "eyJ" in text
    )
