"""Shares delivery slots among recipient domains, so that a slow recipient delays no other.

1. One registered domain, sub-domains included, gets at most a quarter of the slots.
2. Domains that were slow lately get at most half together; all not known to be quick get at most three quarters.
3. A delivery beyond its share is put off. A quick domain, or one within its share, waits up to WAITING_SECONDS first.
4. RCPT in a first attempt may take FIRST_PATIENCE, or SLOW_SECONDS at half load. Retries have no such limit.
5. Each share is one slot at least.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

# From RCPT to the end of the mail. A mail server that queues mail answers in milliseconds.
SLOW_SECONDS = 2.0

QUICK_FOR = 3600.0
# Quick answers in between do not shorten it: else a domain could delay others again and again.
SLOW_FOR = 600.0
MOST_DOMAINS = 50_000

FIRST_PATIENCE = 5.0
WAITING_SECONDS = 1.0

# Messages accepted from the queue per delivery slot, so that a free slot finds one that waits.
SEATS_EACH = 4

# Labels of a registered domain; letters of a country code; second-level labels that register names.
_REGISTERED = 2
_COUNTRY = 2
_REGISTRIES = frozenset({
    "ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "ltd", "me", "mil", "ne", "net", "nom", "or", "org", "plc",
    "sch",
})  # fmt: skip


class PutOff(Exception):
    def __init__(self) -> None:
        super().__init__("too many are under way to its domain, or to slow ones")


class Turn:
    """`patience`: seconds that RCPT may take; None sets no limit."""

    def __init__(self, patience: float | None) -> None:
        self.patience = patience
        self._began: float | None = None

    def begin(self) -> None:
        """Call just before RCPT: earlier delays are not the recipient's fault."""
        self._began = time.monotonic()

    @property
    def seconds(self) -> float | None:
        return None if self._began is None else time.monotonic() - self._began


class Turns:
    """At once, for a channel that no recipient can slow down. `seats`: messages accepted from the queue."""

    def __init__(self, seats: int) -> None:
        self.seats = seats

    @asynccontextmanager
    async def turn(self, address: str, *, first_attempt: bool) -> AsyncIterator[Turn]:  # noqa: ARG002 - `ByDomain` uses both
        yield Turn(None)


class Domains:
    """When recipient domains last answered quickly or slowly. The data stays in this process."""

    def __init__(self) -> None:
        self._quick: OrderedDict[str, float] = OrderedDict()
        self._slow: OrderedDict[str, float] = OrderedDict()

    def answered(self, domain: str, seconds: float) -> None:
        moments = self._slow if seconds >= SLOW_SECONDS else self._quick
        moments[domain] = time.monotonic()
        moments.move_to_end(domain)
        if len(moments) > MOST_DOMAINS:
            moments.popitem(last=False)

    def is_slow(self, domain: str) -> bool:
        return time.monotonic() - self._slow.get(domain, -math.inf) < SLOW_FOR

    def is_quick(self, domain: str) -> bool:
        return time.monotonic() - self._quick.get(domain, -math.inf) < QUICK_FOR and not self.is_slow(domain)


class ByDomain(Turns):
    def __init__(self, concurrency: int, domains: Domains) -> None:
        super().__init__(SEATS_EACH * concurrency)
        self._domains = domains
        self._most = concurrency
        self._most_of_one = max(1, concurrency // 4)
        self._most_slow = max(1, concurrency // 2)
        self._most_not_quick = max(1, 3 * concurrency // 4)
        self._under_way: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def turn(self, address: str, *, first_attempt: bool) -> AsyncIterator[Turn]:
        """Raises `PutOff`."""
        domain = _registered_domain(address)
        await self._begin(domain)
        turn = Turn(self._patience() if first_attempt else None)
        try:
            yield turn
        finally:
            if (seconds := turn.seconds) is not None:
                self._domains.answered(domain, seconds)
            self._end(domain)

    def _patience(self) -> float:
        crowded = 2 * self._under_way.total() >= self._most
        return SLOW_SECONDS if crowded else FIRST_PATIENCE

    async def _begin(self, domain: str) -> None:
        if self._has_room(domain):
            self._under_way[domain] += 1
        elif self._may_wait(domain):
            await self._wait(domain)
        else:
            raise PutOff

    def _has_room(self, domain: str) -> bool:
        return self._under_way.total() < self._most and self._is_within_shares(domain)

    def _is_within_shares(self, domain: str) -> bool:
        if self._under_way[domain] >= self._most_of_one:
            return False
        if self._domains.is_quick(domain):
            return True
        if self._count(lambda each: not self._domains.is_quick(each)) >= self._most_not_quick:
            return False
        return not self._domains.is_slow(domain) or self._count(self._domains.is_slow) < self._most_slow

    def _count(self, of: Callable[[str], bool]) -> int:
        return sum(count for domain, count in self._under_way.items() if of(domain))

    def _may_wait(self, domain: str) -> bool:
        """One domain may hold half of the seats at most: it may have stopped answering just now."""
        waiting = sum(each == domain for each, _ in self._waiting)
        may = self._domains.is_quick(domain) or self._is_within_shares(domain)
        return may and waiting < self.seats // 2

    async def _wait(self, domain: str) -> None:
        """Returns after `_end` has given it a slot and counted it."""
        begun = asyncio.get_running_loop().create_future()
        entry = (domain, begun)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await asyncio.shield(begun)
        except BaseException as error:
            if begun.done():  # a slot was given just now
                self._end(domain)
            else:
                self._waiting.remove(entry)
            if isinstance(error, TimeoutError):
                raise PutOff from None
            raise

    def _end(self, domain: str) -> None:
        self._under_way[domain] -= 1
        if not self._under_way[domain]:
            del self._under_way[domain]
        for entry in tuple(self._waiting):
            waiting, begun = entry
            if self._has_room(waiting):
                self._waiting.remove(entry)
                self._under_way[waiting] += 1
                begun.set_result(None)


def _registered_domain(address: str) -> str:
    """`example.com` or `example.co.uk`. Below an unknown registry all domains share one limit, which is safe."""
    labels = address.rpartition("@")[2].casefold().rstrip(".").split(".")
    below_a_country = len(labels) > _REGISTERED and len(labels[-1]) == _COUNTRY and labels[-2] in _REGISTRIES
    return ".".join(labels[-_REGISTERED - below_a_country :])
