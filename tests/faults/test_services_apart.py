"""Each service does its own work while another one, or the broker, is away."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tests.faults.conftest import Network
from tests.faults.knowledge import SECONDS, is_known, until_known, until_told, waiting_events
from tests.polling import eventually
from tests.stacks.problems import INCORRECT, refused
from tests.stacks.processes import Processes
from tests.stacks.steps import (
    bearer,
    challenged,
    log_in,
    pair,
    refresh,
    register,
    submit_code,
    submit_password,
    verify_token,
)

AT_ONCE = 5.0
NEW = "another horse battery"


async def test_one_logs_in_while_users_is_down(stack: Processes) -> None:
    person = await register(stack, is_2fa=True)
    await until_known(stack, person)
    stack.users.kill()

    tokens = pair(await submit_code(stack, *await challenged(stack, person)))

    assert await verify_token(stack, tokens.access) == 200
    tokens = pair(await refresh(stack, tokens.refresh))
    assert (await stack.http.post("/api/v1/auth/logout", headers=bearer(tokens.access))).status_code == 204


async def test_one_registers_while_auth_is_down_and_logs_in_when_it_is_back(stack: Processes) -> None:
    stack.auth.kill()

    person = await register(stack)

    stack.auth.start()
    await stack.until_ready(stack.auth)
    await until_known(stack, person)
    await log_in(stack, person)


async def test_one_registers_while_the_broker_is_down_and_logs_in_when_it_is_back(
    stack: Processes, network: Network
) -> None:
    network.cut("users")

    async with asyncio.timeout(AT_ONCE):
        person = await register(stack)
    refused(await submit_password(stack, person), *INCORRECT)
    assert not await is_known(stack, person)

    await network.mend()
    await until_known(stack, person)
    await log_in(stack, person)


async def test_users_killed_between_commit_and_publish_tells_when_it_is_back(
    stack: Processes, network: Network
) -> None:
    await until_told(stack, "users")
    network.stall("users")
    person = await register(stack)
    assert await waiting_events(stack, "users") == 3  # the account, for us and for all, and the code for its address
    stack.users.kill()
    assert not await is_known(stack, person)

    await network.mend()
    stack.users.start()

    await until_known(stack, person)
    await log_in(stack, person)


async def test_access_tokens_are_taken_while_auth_is_down(stack: Processes) -> None:
    person = await register(stack)
    tokens = await log_in(stack, person)
    me = "/api/v1/users/me"
    assert (await stack.http.get(me, headers=bearer(tokens.access))).status_code == 200
    stack.auth.kill()

    answer = await stack.http.get(me, headers=bearer(tokens.access))

    assert (answer.status_code, answer.json()["id"]) == (200, person.id)
    refused(await stack.http.get(me, headers=bearer(tokens.refresh)), 401, "invalid_token")


async def test_a_password_changed_while_auth_is_down_ends_the_other_sessions_when_it_is_back(
    stack: Processes,
) -> None:
    person = await register(stack)
    here, there = await log_in(stack, person), await log_in(stack, person)
    assert (await stack.http.get("/api/v1/users/me", headers=bearer(here.access))).status_code == 200
    stack.auth.kill()
    change = {"password": NEW, "confirm_password": NEW}
    answer = await stack.http.post("/api/v1/users/change-password", json=change, headers=bearer(here.access))
    assert answer.status_code == 200

    stack.auth.start()
    await stack.until_ready(stack.auth)
    await until_known(stack, person, version=2)

    assert await verify_token(stack, there.access) == 401
    assert await verify_token(stack, here.access) == 200
    refused(await submit_password(stack, person), *INCORRECT)
    await log_in(stack, replace(person, password=NEW))


async def test_auth_that_starts_before_its_broker_is_not_ready_and_becomes_it_by_itself(
    stack: Processes, network: Network
) -> None:
    network.cut("auth")
    stack.auth.kill()
    stack.auth.start()

    async def consumer_missing() -> bool:
        return await stack.checks("auth") == {"auth-database": True, "auth-relay": True, "auth-consumer": False}

    await eventually(consumer_missing, 30)
    assert not await stack.is_ready("auth")
    # What a load balancer asks (deploy/kubernetes): logins go on without a broker.
    assert await stack.is_ready("auth", "auth-relay", "auth-consumer")
    await network.mend()

    await stack.until_ready(stack.auth)
    await log_in(stack, await register(stack))


async def test_a_logout_while_the_broker_is_down_is_heard_by_users_when_it_is_back(
    stack: Processes, network: Network
) -> None:
    person = await register(stack)
    tokens, others = await log_in(stack, person), await log_in(stack, person)

    async def known(access: str) -> bool:
        return (await stack.http.get("/api/v1/users/me", headers=bearer(access))).status_code == 200

    async def consumer_missing() -> bool:
        return await stack.checks("users") == {
            "users-database": True,
            "users-relay": True,
            "users-consumer": False,
            "users-keys": True,
        }

    async def heard() -> bool:
        return not await known(tokens.access)

    network.cut("auth")
    network.cut("users")
    await eventually(consumer_missing, SECONDS)
    assert (await stack.http.post("/api/v1/auth/logout", headers=bearer(tokens.access))).status_code == 204
    assert await known(tokens.access)  # as docs/security.md says
    # What a load balancer asks (deploy/kubernetes): users goes on without a broker.
    assert await stack.is_ready("users", "users-relay", "users-consumer")

    await network.mend()

    await eventually(heard, SECONDS)
    assert await known(others.access)
