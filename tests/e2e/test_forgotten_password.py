"""A forgotten password, with a second factor: a mailed code sets another one, and replaces nothing else."""

from __future__ import annotations

from dataclasses import replace

from tests.polling import eventually
from tests.stacks.problems import INCORRECT, refused
from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, log_in, refresh, register, submit_password, verify_token

PATH = "/api/v1/users/password-reset"


async def test_a_mailed_code_sets_another_password_and_ends_every_session(stack: Stack) -> None:
    person = await register(stack, is_2fa=True)
    before = await log_in(stack, person)

    asked = await stack.http.post(PATH, json={"email": person.email})
    assert asked.status_code == 202, asked.text
    code = await stack.inbox.wait_for_account_code(person.email, purpose="reset")
    new = replace(person, password="remembered battery")
    given = {"reset_token": asked.json()["reset_token"], "code": code, "password": new.password}
    done = await stack.http.post(f"{PATH}/confirm", json=given)

    assert done.status_code == 204, done.text
    assert (await stack.http.get("/api/v1/users/me", headers=bearer(before.access))).status_code == 401

    async def over_at_auth() -> bool:
        return await verify_token(stack, before.access) == 401

    await eventually(over_at_auth)
    assert (await refresh(stack, before.refresh)).status_code == 401
    refused(await submit_password(stack, person), *INCORRECT)
    with_a_code = await log_in(stack, new)
    assert await verify_token(stack, with_a_code.access) == 200
