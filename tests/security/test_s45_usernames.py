"""S45: a username in the form of an address is the account's own; and who asks which names are taken is limited."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import Row

from shared.messaging.address_events import CodeRequested
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from shared.messaging.notice_events import UsersNoticeRequested
from tests.builders import full_width, registered, registration
from tests.composed import USERS, Keys, UsersApp, running_users, users_settings
from tests.fakes import HeldBus
from tests.integration.users.conftest import SentCodes, sent, sql
from tests.servers.databases import Databases

__all__ = ("sent", "sql")

NOT_OWN = (400, "username_not_own")
FOREIGN = [
    "bob@x.example",
    full_width("bob") + "\uff20x.example",
    "bob\ufe6bx.example",
    "BOB@X.EXAMPLE",
    "@bob",
    "bob@",
]
LIMIT = 10  # NAME_GUESSES


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    """Takes no event: nobody listens here."""
    bus = HeldBus(AccountChanged.type, UsersNoticeRequested.type, CodeRequested.type)
    yield bus
    await bus.close()


async def register(app: UsersApp, **fields: str) -> httpx.Response:
    return await app.http.post(f"{USERS}/registration", json=registration(**fields))


async def patch(app: UsersApp, account: Row[Any], *, epoch: int = 0, **changes: str) -> httpx.Response:
    headers = app.as_(account.id, epoch=epoch)
    return await app.http.patch(f"{USERS}/", headers=headers, json=changes)


async def prove(app: UsersApp, account: Row[Any], code: str) -> dict[str, Any]:
    answer = await app.http.post(f"{USERS}/verify-email", headers=app.as_(account.id), json={"code": code})
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")


async def test_nobody_takes_another_s_address_as_a_username(users_app: UsersApp) -> None:
    account = await registered(users_app.parts)

    seen = {username: outcome(await register(users_app, username=username)) for username in FOREIGN}
    changed = {username: outcome(await patch(users_app, account, username=username)) for username in FOREIGN}

    assert seen == changed == dict.fromkeys(FOREIGN, NOT_OWN)
    # And so nobody keeps its owner from registering.
    assert (await register(users_app, email="bob@x.example", username="bob@x.example")).status_code == 201


@pytest.mark.parametrize("username", ["Ann@X.example", "ann\uff20x.example", full_width("ann@x.example")])
async def test_one_s_own_address_may_be_the_username_however_it_is_written(users_app: UsersApp, username: str) -> None:
    assert (await register(users_app, email="ann@x.example", username=username)).status_code == 201


async def test_an_international_domain_may_be_written_as_its_owner_writes_it(users_app: UsersApp) -> None:
    answer = await register(users_app, email="ann@b\u00fccher.example", username="ann@b\u00fccher.example")

    assert (answer.status_code, answer.json()["email"]) == (201, "ann@xn--bcher-kva.example")


async def test_the_address_of_one_is_no_obstacle_to_the_username_of_another(users_app: UsersApp) -> None:
    assert (await register(users_app, email="carol@x.example", username="dave")).status_code == 201
    assert (await register(users_app, email="dave@x.example", username="carol")).status_code == 201


async def test_a_username_that_is_the_address_follows_it_once_the_new_one_is_proved(
    users_app: UsersApp, sent: SentCodes
) -> None:
    account = await registered(users_app.parts, email="old@x.example", username="old@x.example")

    assert (await patch(users_app, account, email="new@x.example")).json()["username"] == "old@x.example"
    assert outcome(await patch(users_app, account, username="new@x.example")) == NOT_OWN

    moved = await prove(users_app, account, await sent.latest("new@x.example", "change"))
    assert moved["username"] == "new@x.example"


async def test_a_username_that_is_the_address_follows_it_when_an_administrator_changes_it(users_app: UsersApp) -> None:
    account = await registered(users_app.parts, email="old@x.example", username="old@x.example")
    headers = users_app.as_((await registered(users_app.parts, is_admin=True)).id)

    async def patched(**changes: str) -> httpx.Response:
        return await users_app.http.patch(f"{USERS}/{account.id}", headers=headers, json=changes)

    assert (await patched(email="new@x.example")).json()["username"] == "new@x.example"
    assert outcome(await patched(email="newer@x.example", username="new@x.example")) == NOT_OWN


async def test_a_username_that_is_no_address_stays_when_the_address_changes(
    users_app: UsersApp, sent: SentCodes
) -> None:
    account = await registered(users_app.parts, username="ann")

    assert (await patch(users_app, account, email="new@x.example")).json()["username"] == "ann"
    assert (await prove(users_app, account, await sent.latest("new@x.example", "change")))["username"] == "ann"


@pytest.fixture
async def unproved(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    """Where addresses are not proved, and whether one is taken is told at once."""
    settings = users_settings(databases, keys, jwks_url, email_verification="off")
    async with running_users(settings, keys, bus) as app:
        yield app


async def test_who_asks_which_names_are_taken_gets_ten_answers_an_hour(unproved: UsersApp) -> None:
    """Counted before the answer, so that questions at once are counted too; a free name counts like a taken one."""
    users_app = unproved
    account, other = await registered(users_app.parts), await registered(users_app.parts)
    questions = [{"email": other.email}, {"username": other.username}] * 6

    answers = await asyncio.gather(*(patch(users_app, account, **question) for question in questions))

    seen = Counter(outcome(answer) for answer in answers)
    assert seen == {(400, "user_already_exists"): LIMIT, (429, "too_many_requests"): 12 - LIMIT}
    refused = await patch(users_app, account, username="surely-free")
    assert (refused.status_code, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert (await patch(users_app, account, username=account.username.upper())).status_code == 200  # asks nothing
