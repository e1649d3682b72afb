"""Read your own writes: who registers or changes a password gets in at once, though auth learns of it later."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, register, submit_password

CLIENTS = 4  # side by side, each without a pause
NEW = "another horse battery"


@pytest.mark.parametrize("times", [40, pytest.param(200, marks=pytest.mark.long)])
async def test_time_after_time_and_right_after_a_password_change(stack: Stack, times: int) -> None:
    async def client() -> list[int]:
        statuses = []
        for _ in range(times // CLIENTS):
            person = await register(stack)
            logged_in = await submit_password(stack, person)
            statuses.append(logged_in.status_code)
            own = bearer(logged_in.json().get("access_token", ""))
            change = {"password": NEW, "confirm_password": NEW}
            changed = await stack.http.post("/api/v1/users/change-password", json=change, headers=own)
            assert changed.status_code == 200, changed.text
            again = await submit_password(stack, replace(person, password=NEW))
            statuses.append(again.status_code)
        return statuses

    async with asyncio.TaskGroup() as clients:  # one that fails ends the others
        tasks = [clients.create_task(client()) for _ in range(CLIENTS)]

    assert [status for task in tasks for status in task.result()] == [200] * 2 * times
