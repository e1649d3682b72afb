"""Registration and login over the HTTP API, as any client does them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus
from typing import Any

import httpx

from login2fa_testing.inbox import Inbox
from login2fa_testing.people import Person, Tokens

# A login right after the registration gets in; on a machine that is short of breath it may need another try. So many
# are below the number of wrong passwords after which there is a wait.
_MORE_TRIES = 4
_TRY_AGAIN_SECONDS = 0.5


class UnexpectedAnswer(Exception):
    """The API did not answer as it should; the message is the request and the sentence that came."""

    def __init__(self, answer: httpx.Response) -> None:
        request = answer.request
        super().__init__(f"{request.method} {request.url.path} answered {answer.status_code}: {_sentence(answer)}")
        self.answer = answer


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
    account = _expect(client.post("/users/registration", json=new), HTTPStatus.CREATED)
    return replace(person, id=account["id"], is_admin=False)


def make_admin(client: httpx.Client, person: Person) -> Person:
    """`client` is that of an administrator."""
    answer = client.patch(f"/users/{person.id}", json={"is_admin": True})
    _expect(answer, HTTPStatus.OK)
    return replace(person, is_admin=True)


def log_in(client: httpx.Client, person: Person, inbox: Callable[[], Inbox]) -> Tokens:
    """Raises `UnexpectedAnswer`, and `NoCode` when the mail does not come."""
    before = len(inbox().codes(person.email)) if person.is_2fa else None
    answer = _expect(_password_step(client, person), HTTPStatus.OK)
    if answer.get("otp_required"):
        code = inbox().wait_for_code(person.email, after=before)
        bearer = {"authorization": f"Bearer {answer['temporary_token']}"}
        answer = _expect(client.post("/auth/verify-otp", json={"otp": code}, headers=bearer), HTTPStatus.OK)
    return Tokens(access=answer["access_token"], refresh=answer["refresh_token"])


def _password_step(client: httpx.Client, person: Person) -> httpx.Response:
    form = {"username": person.username, "password": person.password}
    answer = client.post("/auth/token", data=form)
    for _ in range(_MORE_TRIES if person.id else 0):
        if answer.status_code != HTTPStatus.BAD_REQUEST:
            break
        time.sleep(_TRY_AGAIN_SECONDS)
        answer = client.post("/auth/token", data=form)
    return answer


def _expect(answer: httpx.Response, status: HTTPStatus) -> dict[str, Any]:
    if answer.status_code != status:
        raise UnexpectedAnswer(answer)
    body: dict[str, Any] = answer.json()
    return body


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.reason_phrase
