"""A client of two replicas behind what a gateway does: it asks until it is answered, and writes down each answer."""

from __future__ import annotations

import asyncio
import math
import random
import time
import uuid
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.run.ledger import Asked, Ledger, Promise
from tests.faults.run.world import World
from tests.stacks.steps import bearer

TRIES = 90
PAUSE = 0.5  # seconds, where the answer names none
OUTSIDE = "/api/v1/"
ANSWERED_LATE = 10.0  # seconds before its end, in which a code may be late


@dataclass(frozen=True)
class Reply:
    """`lost`: a try before this answer may have done what it asked for."""

    answer: httpx.Response
    lost: bool

    @property
    def request_id(self) -> str:
        return str(self.answer.request.headers["X-Request-ID"])


class Client:
    def __init__(self, world: World, ledger: Ledger, chance: random.Random) -> None:
        self._world = world
        self._ledger = ledger
        self._chance = chance

    def expect(self, answer: httpx.Response, statuses: set[int]) -> bool:
        """Whether it is a success; another answer than these is wrong."""
        if answer.status_code not in statuses:
            self._ledger.wrong.append(f"I6: {answer.request.url.path}: {answer.status_code} {answer.text[:300]}")
        return answer.is_success

    async def answered(self, service: str, path: str, *, again: frozenset[int] = frozenset(), **request: Any) -> Reply:
        """Returns the answer of a request that is repeated until there is one.

        `again` are statuses that may be over in a moment: the account's event is on its way.
        """
        lost, refused_at = False, math.inf
        for _ in range(TRIES):
            answer = await self._ask(service, path, **request)
            if answer is not None and answer.status_code not in {429, 500, 502, 503, 504, *again}:
                if refused_at < math.inf:
                    self._ledger.refusals.append(time.monotonic() - refused_at)
                return Reply(answer, lost)
            if answer is not None and answer.status_code == 503:
                refused_at = min(refused_at, time.monotonic())
            lost = lost or answer is None or answer.status_code not in again
            seconds = float(answer.headers.get("retry-after", PAUSE)) if answer is not None else PAUSE
            await asyncio.sleep(seconds)
        raise AssertionError(f"{TRIES} times no answer to {path}")

    async def uses(self, promise: Promise, service: str, path: str, **request: Any) -> list[httpx.Response]:
        """The good answers to a code. Sometimes it is sent three times at once: one of them may be good."""
        count = 3 if self._chance.random() < 0.1 else 1
        replies = await asyncio.gather(*(self.answered(service, path, **request) for _ in range(count)))
        good = [reply.answer for reply in replies if reply.answer.is_success]
        promise.successes += len(good)
        in_time = time.monotonic() < promise.over_at - ANSWERED_LATE
        if not good and in_time and not any(reply.lost for reply in replies):
            self._ledger.wrong.append(f"I1: the right code of {promise} was refused: {replies[0].answer.text}")
        return good

    async def _ask(
        self, service: str, path: str, *, method: str = "POST", token: str = "", at: str | None = None, **content: Any
    ) -> httpx.Response | None:
        """The answer of the first replica that takes the connection; None where it gave none."""
        request_id = uuid.uuid4().hex
        headers = {"X-Request-ID": request_id} | (bearer(token) if token else {})
        for replica in [at] if at else self._world.in_turn(service):
            begun, said, retry_after, status = time.monotonic(), "", "", None
            answer = None
            try:
                answer = await self._world.clients[replica].request(method, OUTSIDE + path, headers=headers, **content)
            except httpx.ConnectError:
                continue  # as a gateway does: nothing was sent
            except httpx.TransportError as error:
                said = repr(error)
            else:
                status, retry_after = answer.status_code, answer.headers.get("retry-after", "")
                said = answer.text if answer.is_error else ""
            ended = time.monotonic()
            self._ledger.asked.append(Asked(request_id, replica, path, begun, ended, status, said, retry_after))
            return answer
        return None
