"""Row 30: a primary is killed, frozen or stopped in order, and its synchronous standby promoted; standbys are lost.

I1 and I6; recovered within 5 s of the promotion. Somebody has to see to it that a frozen primary never wakes as one
(fencing): here it is killed before it does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import make_url, text

from shared.database.pool import Database
from shared.messaging.events import AccountChanged
from tests.faults.rows.crowd import Crowd, sessions_of
from tests.faults.rows.promises import Promises
from tests.integration.codes_path import CodesPath
from tests.polling import eventually
from tests.servers.databases import Databases, connected, template_database
from tests.servers.postgres import Postgres
from tests.servers.postgres_pair import PostgresPair, postgres_pair

RECOVERED_WITHIN = 5.0
STATEMENT_SECONDS = 10.0
# Seconds that an answer can take whatever Postgres does: 10 for a statement, and then its connection is closed.
ANSWER_WITHIN = 20.0


@pytest.fixture
def pair() -> Iterator[PostgresPair]:
    with postgres_pair() as pair:
        yield pair


@pytest.fixture
async def databases(pair: PostgresPair) -> AsyncIterator[Databases]:
    await pair.be_synchronous("b")
    stack = AsyncExitStack()
    name = await stack.enter_async_context(template_database(Postgres("primary and standby", pair.url())))
    yield of(name, pair.url())
    async with asyncio.timeout(ANSWER_WITHIN):  # whatever state a failed test leaves the pair in
        await stack.aclose()


def of(name: str, url: str) -> Databases:
    return Databases(name, make_url(url).set(database=name).render_as_string(hide_password=False))


class TimedCrowd(Crowd):
    longest = 0.0

    async def log_in(self, account: AccountChanged) -> bool:
        began = time.monotonic()
        try:
            return await super().log_in(account)
        finally:
            self.longest = max(self.longest, time.monotonic() - began)


@pytest.fixture
def crowd(path: CodesPath, promises: Promises) -> Iterator[TimedCrowd]:
    crowd = TimedCrowd(path, promises)
    yield crowd
    print(f"answered: {dict(crowd.answered)}, the slowest login after {crowd.longest:.1f} s")
    assert crowd.longest < ANSWER_WITHIN


async def test_the_pool_passes_over_a_standby_and_finds_it_again_when_it_is_promoted(pair: PostgresPair) -> None:
    database = Database(pair.url(pair.standby, pair.primary), pool_size=2)

    async def answering() -> str:
        async with database.transaction() as connection:
            await connection.execute(text("CREATE TEMPORARY TABLE written ON COMMIT DROP AS SELECT 1"))
            return str(await connection.scalar(text("SHOW cluster_name")))

    assert await answering() == "a"
    await asyncio.to_thread(pair.primary.kill)
    await pair.promote()
    async with asyncio.timeout(RECOVERED_WITHIN):
        assert await answering() == "b"
    await database.close()


Loss = Callable[[PostgresPair, CodesPath], Awaitable[None]]


async def killed(pair: PostgresPair, _: CodesPath) -> None:
    await asyncio.to_thread(pair.primary.kill)


async def frozen(pair: PostgresPair, path: CodesPath) -> None:
    """For as long as it takes to notice it; statements that were under way have ended by then."""
    await asyncio.to_thread(pair.primary.freeze)
    since = time.monotonic()

    async def shown() -> bool:
        return time.monotonic() - since > STATEMENT_SECONDS and "auth-database" in await path.not_ready()

    await eventually(shown)


async def stopped_in_order(pair: PostgresPair, _: CodesPath) -> None:
    """All is at the standby when this returns: a planned switchover."""
    await asyncio.to_thread(pair.primary.stop)


@pytest.mark.long
@pytest.mark.parametrize("lose", [killed, frozen, stopped_in_order])
async def test_its_standby_is_promoted_while_people_log_in_and_refresh(
    path: CodesPath, pair: PostgresPair, databases: Databases, promises: Promises, crowd: TimedCrowd, lose: Loss
) -> None:
    await path.start_notifier()
    # Whoever gets no answer to a refresh for longer than REFRESH_GRACE is logged out, and a freeze may last so long.
    sessions = 0 if lose is frozen else 4
    held = await sessions_of(path.auth, (await path.account()).account_id, sessions)
    people = await crowd.accounts(300)
    async with crowd.coming(people, held):
        await crowd.until(200, 20)
        await lose(pair, path)
        await crowd.until(503, 5)
        await pair.promote()
        async with connected(of(databases.name, pair.standby.admin_url).auth_url) as path.sql:
            await crowd.recovered(people, time.monotonic(), RECOVERED_WITHIN)
            await crowd.until(200, 20)
    await asyncio.to_thread(pair.primary.kill)
    async with connected(of(databases.name, pair.standby.admin_url).auth_url) as path.sql:
        await promises.kept(mails_each=2)  # published, and the deletion of its row lost: once more
        await crowd.one_success_each()
    assert all([await crowd.refresh(each) != each for each in held])


@pytest.mark.long
async def test_without_its_only_synchronous_standby_nothing_is_promised_until_it_is_back(
    path: CodesPath, pair: PostgresPair, promises: Promises, crowd: TimedCrowd
) -> None:
    """Each commit waits for it; who is told 503 may get a mail all the same: the primary has the row."""
    await path.start_notifier()
    await promises.several(3)
    accounts, people = await crowd.accounts(15), await crowd.accounts(30)
    await asyncio.to_thread(pair.standby.kill)
    assert not any(await asyncio.gather(*(crowd.log_in(account) for account in accounts)))

    await asyncio.to_thread(pair.standby.start)

    await crowd.recovered(people, time.monotonic(), RECOVERED_WITHIN)
    await promises.kept(mails_each=2)


@pytest.mark.long
async def test_with_any_1_of_two_standbys_nobody_notices_the_loss_of_one(
    path: CodesPath, pair: PostgresPair, promises: Promises, crowd: TimedCrowd
) -> None:
    await asyncio.to_thread(pair.add_standby)
    await pair.be_synchronous("ANY 1 (b, c)")
    await path.start_notifier()
    people = await crowd.accounts(60)
    async with crowd.coming(people, []):
        await crowd.until(200, 10)
        await asyncio.to_thread(pair.standby.kill)
        await crowd.until(200, 20)
    assert crowd.answered[503] == 0
    await promises.kept()
