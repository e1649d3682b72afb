"""While auth hears of no account, whoever it does not know is asked to come again, and nobody learns who exists."""

from __future__ import annotations

import asyncpg
import httpx
import pytest

from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ACCOUNT_READ_MODEL
from tests.auth_steps import Accounts, Steps, pair
from tests.builders import OTHER_PASSWORD
from tests.composed import AuthApp
from tests.polling import eventually

OF_EACH = {"x-request-id"}


def told(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that a client sees."""
    return answer.status_code, answer.content, [each for each in answer.headers.items() if each[0] not in OF_EACH]


async def consumer_dies(auth: AuthApp, bus: MemoryBus) -> None:
    """For longer than a login waits."""
    for consumption in tuple(bus._consumers[ACCOUNT_READ_MODEL.queue]):
        await consumption.stop(0)
    await eventually(lambda: auth.parts.read_model.behind)


async def test_every_name_that_fails_is_answered_503_alike_and_a_right_password_gets_in(
    auth_app: AuthApp, bus: MemoryBus, accounts: Accounts, steps: Steps
) -> None:
    known, with_2fa = await accounts.new(), await accounts.new(is_2fa=True)
    inactive, deleted = await accounts.new(is_active=False), await accounts.new()
    await accounts.delete(deleted)
    await consumer_dies(auth_app, bus)

    answers = [
        await auth_app.log_in("registered a moment ago"),
        await auth_app.log_in(known.username, OTHER_PASSWORD),
        await auth_app.log_in(with_2fa.username, OTHER_PASSWORD),
        await auth_app.log_in(inactive.username),
        await auth_app.log_in(deleted.username),
    ]

    assert len({str(told(answer)) for answer in answers}) == 1
    body = answers[0].json()
    assert (answers[0].status_code, body["code"], body["error"]) == (503, *("temporarily_unavailable",) * 2)
    assert int(answers[0].headers["retry-after"]) >= 1
    pair(await auth_app.log_in(known.username))
    await steps.begin(with_2fa)


@pytest.mark.parametrize("exists", [True, False])
async def test_guesses_are_limited_as_ever(
    auth_app: AuthApp, bus: MemoryBus, accounts: Accounts, sql: asyncpg.Connection, exists: bool
) -> None:
    account = await accounts.new()
    await consumer_dies(auth_app, bus)
    username = account.username if exists else "nobody"

    answers = [await auth_app.log_in(username, OTHER_PASSWORD) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [503] * 10 + [429]
    assert await sql.fetchval("SELECT sum(failures) FROM login_failures") == 10
