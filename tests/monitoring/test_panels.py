"""`make monitoring`: on the real stack, after all kinds of trouble, no panel of a dashboard is empty."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

import aio_pika
import pytest

from deploy.monitoring.dashboards import DASHBOARDS
from shared.messaging.topology import OTP_DELIVERY
from tests.conftest import USED
from tests.monitoring.stack import Watched, watched
from tests.polling import eventually
from tests.servers.databases import copied
from tests.servers.postgres import Postgres
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import admin, bearer, log_in, refresh, register, submit_password, temporary_token

pytestmark = pytest.mark.long

EMPTY_SECONDS = 60.0
FLOOD = 600
PASSWORDS = 150  # at once: a fast machine refuses only those that wait longest


@pytest.fixture(scope="module")
async def world(
    postgres: Postgres, database_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Watched]:
    async with (
        copied(postgres, database_template) as databases,
        watched(databases, tmp_path_factory.mktemp("monitoring")) as found,
    ):
        yield found


async def mails_refused(world: Watched) -> None:
    """For good, and for now."""
    for reply in ("550 No such mailbox", "421 Try later"):
        person = await register(world.stack, is_2fa=True)
        world.mail.refuse(reply, recipient=person.email)
        await temporary_token(world.stack, person)
        await eventually(lambda: f"RCPT TO:<{person.email}>" in " ".join(world.mail.heard))  # noqa: B023 - called at once
    world.mail.accept()


async def dead_letter(world: Watched) -> None:
    async with await aio_pika.connect(world.stack.amqp_url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(b"no event"), OTP_DELIVERY.queue)


async def many(requests: int, stack: Stack, path: str, **options: dict[str, str]) -> set[int]:
    async def one() -> int:
        return (await stack.http.post(path, **options)).status_code  # type: ignore[arg-type] # data and headers alone

    return set(await asyncio.gather(*(one() for _ in range(requests))))


async def trouble(world: Watched, person: Person) -> None:
    stack = world.stack
    assert (await submit_password(stack, person, password="wrong")).status_code == 400
    tokens = await log_in(stack, person)
    assert (await refresh(stack, tokens.refresh)).status_code == 200
    await log_in(stack, await register(stack, is_2fa=True))
    await stack.http.get("/api/v1/users/", headers=await admin(stack))
    await mails_refused(world)
    await dead_letter(world)
    right = {"username": person.username, "password": person.password}
    assert 503 in await many(PASSWORDS, stack, "/api/v1/auth/token", data=right)
    assert 429 in await many(FLOOD, stack, "/api/v1/auth/verify-otp", headers=bearer("no token"))


async def until_seen(world: Watched) -> None:
    """Each process has been asked twice since now."""
    query = 'min(count_over_time(up{job=~"login2fa|rabbitmq"}[1h]))'
    before = max(world.prometheus.query(query), default=0.0)
    await eventually(lambda: max(world.prometheus.query(query), default=0.0) >= before + 2, EMPTY_SECONDS)


def empty(world: Watched) -> list[str]:
    return [
        f"{name}, {panel.title}: {expression}"
        for name, panels in DASHBOARDS.items()
        for panel in panels
        for expression in panel.queries.values()
        if all(map(math.isnan, world.prometheus.query(expression)))
    ]


def none_is_empty(world: Watched) -> bool:
    found = empty(world)
    assert found == []
    return True


def firing_soon(world: Watched) -> set[str]:
    return {f"{each['alertname']} {each['service']}" for each in world.prometheus.labels("ALERTS")}


async def test_no_panel_is_empty(world: Watched, pytestconfig: pytest.Config) -> None:
    person = await register(world.stack)
    await until_seen(world)
    for _ in range(2):  # Prometheus sees no increase in a series that is new
        await trouble(world, person)
        await until_seen(world)

    assert set(world.prometheus.targets().values()) == {"up"}
    await eventually(lambda: none_is_empty(world), EMPTY_SECONDS)
    panels = sum(map(len, DASHBOARDS.values()))
    pytestconfig.stash[USED]["Dashboards"] = f"{panels} panels, 0 empty"


async def test_what_was_provoked_and_nothing_else_becomes_an_alert(world: Watched) -> None:
    assert world.prometheus.sick_rules() == []
    # How many of the logins fail or are slow depends on this machine.
    assert firing_soon(world) - {"LoginErrors auth", "LoginSlow auth"} == {"DeadLetters notifier", "HashSaturated auth"}

    world.stack.users.kill()

    await eventually(lambda: {"Down users", "NoConsumer users"} <= firing_soon(world), EMPTY_SECONDS)
