"""Registration and login over the HTTP API, as any client does them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Protocol

import httpx

from login2fa_testing.answers import bearer, expect
from login2fa_testing.inbox import Inbox
from login2fa_testing.people import Person, Tokens

# A login right after the registration gets in; on a machine that is short of breath it may need another try. So many
# are below the number of wrong passwords after which there is a wait.
_MORE_TRIES = 4
_TRY_AGAIN_SECONDS = 0.5


def register(client: httpx.Client, person: Person) -> Person:
    """Return `person` with the id of the new account. `is_admin` is left for an administrator to give."""
    new = {
        "email": person.email,
        "username": person.username,
        "name": person.name,
        "lastname": person.lastname,
        "password": person.password,
        "is_2fa": person.is_2fa,
    }
    account = expect(client.post("/users/registration", json=new), HTTPStatus.CREATED)
    return replace(person, id=account["id"], is_admin=False)


def make_admin(client: httpx.Client, person: Person) -> Person:
    """`client` is that of an administrator."""
    expect(client.patch(f"/users/{person.id}", json={"is_admin": True}))
    return replace(person, is_admin=True)


class SecondFactor(Protocol):
    """An authenticator app, or a passkey."""

    def verify(self, client: httpx.Client, temporary_token: str) -> Tokens: ...


def log_in(
    client: httpx.Client, person: Person, inbox: Callable[[], Inbox], factor: SecondFactor | None = None
) -> Tokens:
    """Raises `UnexpectedAnswer`, and `NoCode` when the mail does not come. Without a factor it is a mailed code."""
    before = len(inbox().codes(person.email)) if person.is_2fa and factor is None else None
    answer = expect(_password_step(client, person))
    if not answer.get("otp_required"):
        return Tokens.of(answer)
    temporary = answer["temporary_token"]
    if factor is not None:
        return factor.verify(client, temporary)
    # An account that has other factors is mailed a code only if it asks for one.
    if answer.get("sent") is False:
        expect(client.post("/auth/challenge/email", headers=bearer(temporary)), HTTPStatus.ACCEPTED)
    code = inbox().wait_for_code(person.email, after=before)
    return Tokens.of(expect(client.post("/auth/verify-otp", json={"otp": code}, headers=bearer(temporary))))


def _password_step(client: httpx.Client, person: Person) -> httpx.Response:
    form = {"username": person.username, "password": person.password}
    answer = client.post("/auth/token", data=form)
    for _ in range(_MORE_TRIES if person.id else 0):
        if answer.status_code != HTTPStatus.BAD_REQUEST:
            break
        time.sleep(_TRY_AGAIN_SECONDS)
        answer = client.post("/auth/token", data=form)
    return answer
