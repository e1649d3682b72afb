"""Somebody proves an address with a mailed code: that of a new account, and another one in its place."""

from __future__ import annotations

from dataclasses import replace

import httpx

from tests.polling import eventually
from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, log_in, register, somebody, submit_password

PROOF = "/api/v1/users/verify-email"


async def forwarded(stack: Stack, headers: dict[str, str]) -> httpx.Response:
    answer = await stack.http.get("/api/v1/auth/forward", headers=headers)
    assert answer.status_code == 204, answer.text
    return answer


async def test_whoever_registers_proves_the_address_and_gateways_learn_it(stack: Stack) -> None:
    person = await register(stack)
    own = bearer((await log_in(stack, person)).access)
    assert (await forwarded(stack, own)).headers["x-auth-verified"] == "false"

    code = await stack.inbox.wait_for_account_code(person.email, purpose="verify")
    written_by_hand = f" {code[:5].lower()}-{code[5:].lower()} "
    proved = await stack.http.post(PROOF, json={"code": written_by_hand}, headers=own)

    assert proved.status_code == 200, proved.text
    assert proved.json()["email_verified_at"]

    async def known_at_auth() -> bool:
        return (await forwarded(stack, own)).headers["x-auth-verified"] == "true"

    await eventually(known_at_auth)


async def test_a_new_address_waits_for_its_code_and_then_logs_in(stack: Stack) -> None:
    person = somebody(is_2fa=True)
    person = await register(stack, replace(person, username=person.email))
    own = bearer((await log_in(stack, person)).access)
    new = somebody().email

    asked = await stack.http.patch("/api/v1/users/", json={"email": new}, headers=own)
    assert asked.status_code == 200, asked.text
    assert (asked.json()["email"], asked.json()["pending_email"]) == (person.email, new)
    progress = (await stack.http.get(PROOF, headers=own)).json()
    assert (progress["email"], progress["attempts_left"]) == (new, 5)

    code = await stack.inbox.wait_for_account_code(new, purpose="change")
    moved = await stack.http.post(PROOF, json={"code": code}, headers=own)

    assert moved.status_code == 200, moved.text
    account = moved.json()
    assert (account["email"], account["username"], account["pending_email"]) == (new, new, None)

    async def known_at_auth() -> bool:
        return (await submit_password(stack, replace(person, username=new))).status_code == 200

    await eventually(known_at_auth)
