"""Many people at once, each with an account and a session of their own, while something is done to auth's database.

I6 is asserted of each answer: as usual, or 503 or 429 that says when to come again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import httpx
from prometheus_client import REGISTRY

from services.auth.sessions.client import Client
from shared.messaging.events import AccountChanged
from tests.auth_steps import Pair, pair
from tests.composed import AuthApp
from tests.faults.rows.promises import Promise, Promises
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually

NOT_NOW = (429, 503)
NOBODY = Client(address=None, user_agent=None)
PAUSE = 0.1  # of somebody who was refused; less than he was asked for


def is_as_usual(answer: httpx.Response, *usual: int) -> bool:
    """Whether it has one of the statuses that are `usual`; else it must be a refusal as it should be."""
    if answer.status_code in usual:
        return True
    assert answer.status_code in NOT_NOW, f"{answer.request.url.path} {answer.status_code} {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    return False


async def sessions_of(auth: AuthApp, account: UUID, count: int) -> list[Pair]:
    """As logins give them, without their hashes."""
    async with auth.parts.database.transaction() as connection:
        given = [
            await auth.parts.sessions.begin(connection, account, 0, ["pwd"], NOBODY, bytes(32)) for _ in range(count)
        ]
    return [Pair(each.access_token, each.refresh_token) for each in given if each is not None]


async def session_of(auth: AuthApp, account: UUID) -> Pair:
    return (await sessions_of(auth, account, 1))[0]


@dataclass(frozen=True)
class Challenged:
    """Somebody who holds a temporary token and its code, and has not used them."""

    account: UUID
    temporary: str
    code: str


class Crowd:
    """People of a `CodesPath`. Who is promised a code is written down in `promises`."""

    def __init__(self, path: CodesPath, promises: Promises) -> None:
        self._path = path
        self.promises = promises
        self.answered: Counter[int] = Counter()

    async def accounts(self, count: int) -> list[AccountChanged]:
        return [await self._path.account() for _ in range(count)]

    async def challenged(self, accounts: list[AccountChanged]) -> list[Challenged]:
        """They have their codes. What becomes of these is the test's business, and not that of `promises`."""
        answers = [await self._path.auth.log_in(account.username) for account in accounts]
        codes = [await self._path.mails.code_for(account.email, timeout=PATIENCE) for account in accounts]
        self.promises.codes |= set(codes)
        return [
            Challenged(account.account_id, answer.json()["temporary_token"], code)
            for account, answer, code in zip(accounts, answers, codes, strict=True)
        ]

    async def log_in(self, account: AccountChanged) -> bool:
        """Whether a code was promised."""
        answer = await self._path.auth.log_in(account.username)
        self.answered[answer.status_code] += 1
        if not is_as_usual(answer, 200):
            return False
        self.promises.made.append(Promise(account.email, answer.json()["temporary_token"]))
        return True

    async def verify(self, challenged: Challenged) -> bool:
        answer = await self._path.auth.verify_otp(challenged.temporary, challenged.code)
        self.answered[answer.status_code] += 1
        # 400: used by another of these, whose answer may have been lost.
        return is_as_usual(answer, 200, 400) and answer.status_code == 200

    async def refresh(self, held: Pair) -> Pair:
        """What is held afterwards: the same pair where the answer was "not now"."""
        answer = await self._path.auth.refresh(held.refresh)
        self.answered[answer.status_code] += 1
        return pair(answer) if is_as_usual(answer, 200) else held

    @asynccontextmanager
    async def coming(self, accounts: list[AccountChanged], held: list[Pair]) -> AsyncIterator[None]:
        """Inside the block each of the `accounts` logs in, a few at a time, and the pairs in `held` are refreshed."""
        over = asyncio.Event()

        async def log_in() -> None:
            while not over.is_set() and accounts:
                if not await self.log_in(accounts.pop()):
                    await _pause(over)

        async def refresh(number: int) -> None:
            while not over.is_set():
                before, held[number] = held[number], await self.refresh(held[number])
                if before == held[number]:
                    await _pause(over)

        people = [asyncio.create_task(log_in()) for _ in range(4)]
        people += [asyncio.create_task(refresh(number)) for number in range(len(held))]
        try:
            yield
        finally:
            over.set()
            await asyncio.gather(*people)

    async def until(self, status: int, more: int) -> None:
        """Until so many more were answered so."""
        enough = self.answered[status] + more
        await eventually(lambda: self.answered[status] >= enough, PATIENCE)

    async def recovered(self, people: list[AccountChanged], since: float, within: float) -> None:
        """Everything is ready, and one of `people` gets a code and is in; each of them tries once."""
        left = since + within - time.monotonic()

        async def ready() -> bool:
            return not await self._path.not_ready()

        async def promised() -> bool:
            return await self.log_in(people.pop())

        async with asyncio.timeout(left):
            await eventually(ready, left)
            await eventually(promised, left)
            await self._path.mails.wait_for(self.promises.made[-1].email, timeout=left)
        print(f"recovered after {time.monotonic() - since:.1f} s")

    async def one_success_each(self) -> None:
        """I5, as the tables have it."""
        sql = self._path.sql
        sessions = "SELECT count(*) FROM auth.sessions WHERE amr @> ARRAY['otp'] GROUP BY account_id"
        assert {row["count"] for row in await sql.fetch(sessions)} <= {1}
        living = "SELECT count(*) FROM auth.refresh_tokens WHERE used_at IS NULL GROUP BY session_id"
        assert {row["count"] for row in await sql.fetch(living)} <= {1}


async def _pause(over: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(PAUSE):
            await over.wait()


async def all_at_once(deed: Callable[[Challenged], Awaitable[bool]], each: list[Challenged]) -> Counter[UUID]:
    """How often it has succeeded for whom; nobody is missing."""
    done = await asyncio.gather(*(deed(somebody) for somebody in each))
    counted = Counter({somebody.account: 0 for somebody in each})
    counted.update(somebody.account for somebody, success in zip(each, done, strict=True) if success)
    return counted


def refusals_shown(route: str) -> float:
    """Answers 503 to a POST, as the metrics have them (I10)."""
    labels = {"service": "auth", "method": "POST", "route": route, "status": "503"}
    return REGISTRY.get_sample_value("login2fa_http_request_seconds_count", labels) or 0
