"""The steps of a client: register, log in, read the code, be in. Each checks its answer, so that a test need not."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from typing import Any

import httpx
import jwt

from tests.stacks.stack import PASSWORD, Person, Stack, Tokens


def somebody(*, is_2fa: bool = False, password: str = PASSWORD) -> Person:
    """A person whom nobody has seen before, and who is not registered yet."""
    name = uuid.uuid4().hex[:12]
    return Person(email=f"{name}@example.org", username=f"user-{name}", password=password, is_2fa=is_2fa)


def registration(person: Person, **changes: Any) -> dict[str, Any]:
    """The JSON of a registration, with `changes`."""
    return {
        "email": person.email,
        "username": person.username,
        "name": "Dave",
        "lastname": "Gahan",
        "password": person.password,
        "is_2fa": person.is_2fa,
    } | changes


async def register(stack: Stack, person: Person | None = None, *, is_2fa: bool = False) -> Person:
    person = person or somebody(is_2fa=is_2fa)
    answer = await stack.http.post("/api/v1/users/registration", json=registration(person))
    assert answer.status_code == 201, answer.text
    return replace(person, id=answer.json()["id"])


async def submit_password(stack: Stack, person: Person, **changes: str) -> httpx.Response:
    form = {"username": person.username, "password": person.password} | changes
    return await stack.http.post("/api/v1/auth/token", data=form)


async def temporary_token(stack: Stack, person: Person) -> str:
    """For somebody with 2FA; the code is then on its way."""
    answer = await submit_password(stack, person)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["temporary_token"])


async def challenged(stack: Stack, person: Person) -> tuple[str, str]:
    """A temporary token and its code."""
    known = len(stack.inbox.codes(person.email))
    token = await temporary_token(stack, person)
    return token, await stack.inbox.wait_for_code(person.email, after=known)


async def submit_code(stack: Stack, temporary: str, code: Any) -> httpx.Response:
    return await stack.http.post("/api/v1/auth/verify-otp", json={"otp": code}, headers=bearer(temporary))


async def log_in(stack: Stack, person: Person) -> Tokens:
    if person.is_2fa:
        answer = await submit_code(stack, *await challenged(stack, person))
    else:
        answer = await submit_password(stack, person)
    assert answer.status_code == 200, answer.text
    return pair(answer)


async def change_email(stack: Stack, own: dict[str, str], new: str) -> None:
    """By the code that goes to the new address."""
    asked = await stack.http.patch("/api/v1/users/", json={"email": new}, headers=own)
    assert asked.status_code == 200, asked.text
    code = await stack.inbox.wait_for_account_code(new, purpose="change")
    proved = await stack.http.post("/api/v1/users/verify-email", json={"code": code}, headers=own)
    assert proved.status_code == 200, proved.text


async def admin(stack: Stack) -> dict[str, str]:
    """The header of the administrator, who logs in anew before a login is too old to change others' accounts."""
    if stack.admin_tokens is None or _login_age(stack.admin_tokens.access) > 200:
        stack.admin_tokens = await log_in(stack, stack.admin)
    return bearer(stack.admin_tokens.access)


def _login_age(access: str) -> float:
    return time.time() - float(jwt.decode(access, options={"verify_signature": False})["auth_time"])


async def verify_token(stack: Stack, access: str) -> int:
    return (await stack.http.post("/api/v1/auth/verify-token", headers=bearer(access))).status_code


async def refresh(stack: Stack, refresh_token: str) -> httpx.Response:
    return await stack.http.post("/api/v1/auth/refresh-token", json={"refresh_token": refresh_token})


def pair(answer: httpx.Response) -> Tokens:
    body = answer.json()
    return Tokens(access=body["access_token"], refresh=body["refresh_token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def wrong(code: str) -> str:
    """Another code."""
    return f"{(int(code) + 1) % 1_000_000:06d}"
