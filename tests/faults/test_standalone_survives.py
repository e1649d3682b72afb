"""`make up`: its state survives a restart and a kill -9; it ends in order; two live side by side."""

from __future__ import annotations

import signal

import pytest

from tests.stacks.problems import TOKEN_NOT_VALID, refused
from tests.stacks.standalone import Standalone, standalone
from tests.stacks.steps import (
    bearer,
    log_in,
    pair,
    refresh,
    register,
    submit_code,
    submit_password,
    temporary_token,
    verify_token,
)


async def test_a_kill_9_loses_nothing_and_its_orphaned_postgres_is_dealt_with(own_standalone: Standalone) -> None:
    stack = own_standalone
    await stack.start()
    person = await register(stack, is_2fa=True)
    tokens = await log_in(stack, person)
    stack.program.kill()
    orphans = stack.postgres_processes()
    assert orphans

    await stack.start()

    assert not set(orphans) & set(stack.postgres_processes())
    assert await verify_token(stack, tokens.access) == 200
    assert await verify_token(stack, pair(await refresh(stack, tokens.refresh)).access) == 200
    await log_in(stack, person)
    await log_in(stack, stack.admin)


async def test_a_code_that_could_not_be_written_arrives_after_a_kill_9(own_standalone: Standalone) -> None:
    stack = own_standalone
    await stack.start()
    person = await register(stack, is_2fa=True)
    file = stack.state / "otp-logs.txt"
    file.unlink()
    file.mkdir()  # root may write anything but a folder
    token = await temporary_token(stack, person)
    stack.program.kill()
    file.rmdir()

    await stack.start()

    code = await stack.inbox.wait_for_code(person.email)
    assert (await submit_code(stack, token, code)).status_code == 200


async def test_a_code_that_could_not_be_written_arrives_when_it_can_be(own_standalone: Standalone) -> None:
    stack = own_standalone
    await stack.start()
    person = await register(stack, is_2fa=True)
    file = stack.state / "otp-logs.txt"
    file.unlink()
    file.mkdir()
    token = await temporary_token(stack, person)
    file.rmdir()

    code = await stack.inbox.wait_for_code(person.email)

    assert (await submit_code(stack, token, code)).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
async def test_it_ends_in_order_and_takes_postgres_along(own_standalone: Standalone, number: signal.Signals) -> None:
    stack = own_standalone
    await stack.start()
    person = await register(stack)

    assert await stack.program.terminate(number) == 0

    assert stack.postgres_processes() == []
    assert "Traceback" not in stack.program.output()
    await stack.start()
    assert (await submit_password(stack, person)).status_code == 200


async def test_two_live_side_by_side_and_know_nothing_of_each_other(own_standalone: Standalone) -> None:
    async with standalone() as other:
        await own_standalone.start()
        await other.start()
        person = await register(own_standalone)
        tokens = await log_in(own_standalone, person)

        assert own_standalone.http.base_url != other.http.base_url
        assert (await submit_password(other, person)).status_code == 400
        assert (await register(other, person)).id != person.id
        for path in ("auth/verify-token", "auth/logout"):
            refused(await other.http.post(f"/api/v1/{path}", headers=bearer(tokens.access)), *TOKEN_NOT_VALID)
        assert await verify_token(own_standalone, tokens.access) == 200
