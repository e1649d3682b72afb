"""Row 23: storms of logins, verifications and refreshes, and clients that hang up at every await.

I5; I6; no connection is leaked: all are back in the pool, and Postgres knows of no transaction that stands still.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import suppress
from typing import Any, Generic, TypeVar

import httpx
import pytest

from tests.auth_steps import pair
from tests.faults.rows.crowd import Crowd, all_at_once, is_as_usual, sessions_of
from tests.faults.rows.promises import Promises
from tests.faults.rows.served import nothing_is_held, served
from tests.integration.codes_path import CodesPath
from tests.polling import eventually

STORM = pytest.mark.parametrize("size", [100, pytest.param(500, marks=pytest.mark.long)])
AT_A_TIME = 5  # verifications of one code
T = TypeVar("T")


@pytest.fixture
async def crowd(
    path: CodesPath, promises: Promises, log_lines: Callable[[], list[dict[str, Any]]]
) -> AsyncIterator[Crowd]:
    await path.start_notifier()
    crowd = Crowd(path, promises)
    yield crowd
    print(crowd.answered)
    await nothing_is_held(path)
    # As SQLAlchemy says it of a connection that was dropped instead of given back.
    assert not [line for line in log_lines() if "garbage collector" in line["event"]]
    await crowd.one_success_each()


@STORM
async def test_logins_at_once_are_promised_or_refused_and_each_promise_is_kept(
    crowd: Crowd, promises: Promises, size: int
) -> None:
    accounts = await crowd.accounts(size)

    await asyncio.gather(*(crowd.log_in(account) for account in accounts))

    assert promises.made
    await promises.kept()


@STORM
async def test_of_verifications_at_once_one_succeeds_for_each_challenge(
    path: CodesPath, crowd: Crowd, size: int
) -> None:
    challenged = await crowd.challenged(await crowd.accounts(size // AT_A_TIME))

    succeeded = await all_at_once(crowd.verify, challenged * AT_A_TIME)

    for somebody in challenged:  # whose answers were all "not now"
        succeeded[somebody.account] += await crowd.verify(somebody)
    assert set(succeeded.values()) == {1}


@STORM
async def test_of_two_refreshes_at_once_for_each_session_one_token_stays_alive(
    path: CodesPath, crowd: Crowd, size: int
) -> None:
    sessions = await sessions_of(path.auth, (await path.account()).account_id, size // 2)

    await asyncio.gather(*(crowd.refresh(held) for held in sessions * 2))

    children = "SELECT count(*) FROM auth.refresh_tokens WHERE parent_id IS NOT NULL GROUP BY parent_id"
    assert {row["count"] for row in await path.sql.fetch(children)} == {1}


@STORM
async def test_refreshes_at_once_of_one_token_give_one_pair(path: CodesPath, crowd: Crowd, size: int) -> None:
    (held,) = await sessions_of(path.auth, (await path.account()).account_id, 1)

    answers = await asyncio.gather(*(path.auth.refresh(held.refresh) for _ in range(size)))

    (given,) = {pair(answer) for answer in answers if is_as_usual(answer, 200)}
    assert await path.auth.verify_token(given.access) == 200


# --- clients that hang up


class _HangingUp(Generic[T]):
    """Awaits `call`, and is cancelled the `at`-th time that it has to wait."""

    def __init__(self, call: Coroutine[Any, Any, T], at: int) -> None:
        self._call = call
        self._at = at
        self.hung_up = False

    def __await__(self) -> Generator[Any, Any, T]:
        waits, resume = 0, self._call.send
        value: Any = None
        while True:
            try:
                waited_for = resume(value)
            except StopIteration as end:
                result: T = end.value
                return result
            waits += 1
            if waits == self._at:
                self.hung_up = True
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
            try:
                value, resume = (yield waited_for), self._call.send
            except BaseException as error:  # noqa: BLE001 - it is for `call` to see
                value, resume = error, self._call.throw


async def hangs_up(call: Coroutine[Any, Any, object], at: int) -> bool:
    """Whether `call` had to wait so often: then its client is gone."""
    hanging = _HangingUp(call, at)

    async def ask() -> None:
        await hanging

    task = asyncio.create_task(ask())
    with suppress(asyncio.CancelledError):
        await task
    return hanging.hung_up


async def at_every_await(deed: Callable[[int], Awaitable[bool]]) -> None:
    """`deed` for each of its awaits, until it has no more of them."""
    at = 1
    while await deed(at):
        at += 1
    assert at > 1, "it never had to wait"
    print(f"hung up at each of {at - 1} awaits")


async def test_a_login_that_is_hung_up_on_leaves_a_challenge_with_its_mail_or_neither(
    path: CodesPath, crowd: Crowd, promises: Promises
) -> None:
    accounts = []

    async def log_in(at: int) -> bool:
        accounts.append(await path.account())
        return await hangs_up(path.auth.log_in(accounts[-1].username), at)

    await at_every_await(log_in)

    await promises.several(1)
    await promises.kept()
    asked = {row["account_id"] for row in await path.sql.fetch("SELECT account_id FROM auth.challenges")}
    for account in accounts:
        assert len(path.mails.mails_to(account.email)) == (account.account_id in asked)


async def test_a_verification_that_is_hung_up_on_has_used_the_code_for_one_session_or_not_at_all(
    path: CodesPath, crowd: Crowd
) -> None:
    async def verify(at: int) -> bool:
        (somebody,) = await crowd.challenged(await crowd.accounts(1))
        hung_up = await hangs_up(path.auth.verify_otp(somebody.temporary, somebody.code), at)
        await crowd.verify(somebody)
        sessions = "SELECT count(*) FROM auth.sessions WHERE account_id = $1"
        assert await path.sql.fetchval(sessions, somebody.account) == 1
        return hung_up

    await at_every_await(verify)


async def test_a_refresh_that_is_hung_up_on_can_be_asked_for_again(path: CodesPath, crowd: Crowd) -> None:
    account = (await path.account()).account_id

    async def refresh(at: int) -> bool:
        (held,) = await sessions_of(path.auth, account, 1)
        hung_up = await hangs_up(path.auth.refresh(held.refresh), at)
        again = await crowd.refresh(held)
        assert await crowd.refresh(again) != again
        return hung_up

    await at_every_await(refresh)


@STORM
async def test_connections_that_break_off_at_any_moment_leave_nothing_behind(
    path: CodesPath, crowd: Crowd, promises: Promises, size: int, request: pytest.FixtureRequest
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    moments = random.Random(seed)
    accounts = await crowd.accounts(size // 2)
    sessions = await sessions_of(path.auth, accounts[0].account_id, size // 2)
    async with served(path) as server:
        calls = [server.auth.log_in(account.username) for account in accounts]
        calls += [server.auth.refresh(held.refresh) for held in sessions]
        await asyncio.gather(*(breaking_off(call, moments.uniform(0, 2)) for call in calls))

        async def ready() -> bool:
            return (await server.operator.get("/readyz")).status_code == 200

        await eventually(ready)
        await nothing_is_held(path)
    await promises.several(1)
    await promises.kept()


async def breaking_off(call: Coroutine[Any, Any, httpx.Response], after: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(after):
            is_as_usual(await call, 200)
