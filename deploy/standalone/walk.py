"""The demo as a client: from registration to logout, and a forgotten password. It needs only the HTTP API and an inbox,
so any stack will do.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from deploy.standalone.otp_inbox import OtpInbox
from deploy.standalone.transcript import Call, Transcript


class StepFailed(Exception):
    """The text may hold secrets in full: hide them before it is printed."""

    def __init__(self, step: str, *, expected: str, came: str) -> None:
        super().__init__(f"Step {step} failed.\n  expected: {expected}\n  came:     {came}")


@dataclass(frozen=True, slots=True)
class Person:
    """New for each walk, so that a walk can be repeated on one stack."""

    email: str = field(default_factory=lambda: f"ada.{secrets.token_hex(4)}@example.com")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    new_password: str = field(default_factory=lambda: secrets.token_urlsafe(12))


@dataclass(frozen=True, slots=True)
class Tokens:
    access: str
    refresh: str


def walk(base_url: str, inbox: OtpInbox, transcript: Transcript) -> None:
    """Raises `StepFailed`."""
    with httpx.Client(timeout=15, trust_env=False) as client:
        steps = Steps(client, f"{base_url}/api/v1", transcript)
        person = Person()
        transcript.secret(person.password)
        transcript.secret(person.new_password)
        steps.register(person)
        temporary = steps.log_in(person)
        code = steps.read_code(person, inbox)
        first = steps.verify_code(temporary, code)
        steps.who_am_i(first, person)
        tokens = steps.refresh(first)
        steps.token_is_good(tokens)
        steps.log_out(tokens)
        steps.access_token_is_refused(tokens)
        steps.refresh_token_is_refused(tokens)
        reset_token = steps.ask_for_new_password(person)
        steps.set_new_password(person, reset_token, steps.read_reset_code(person, inbox))
        steps.log_in_with_new_password(person)


class Steps:
    def __init__(self, client: httpx.Client, api: str, transcript: Transcript) -> None:
        self._client = client
        self._api = api
        self._transcript = transcript
        self._number = 0
        self._step = ""

    def register(self, person: Person) -> None:
        self._begin("Register, with two-factor login on")
        new = {
            "email": person.email,
            "username": person.email,
            "name": "Ada",
            "lastname": "Lovelace",
            "password": person.password,
            "is_2fa": True,
        }
        account = self._call("POST", "/users/registration", 201, json=new)
        self._expect(account, email=person.email, is_2fa=True)

    def log_in(self, person: Person) -> str:
        self._begin("Log in with username and password: a code is sent, and there is no access token yet")
        return self._temporary_token(person.email, person.password)

    def read_code(self, person: Person, inbox: OtpInbox) -> str:
        self._begin("Read the code where it was delivered")
        return self._delivered(inbox.file, person.email, inbox.next_code(person.email))

    def verify_code(self, temporary_token: str, code: str) -> Tokens:
        self._begin("Swap the temporary token and the code for an access and a refresh token")
        return self._tokens(self._call("POST", "/auth/verify-otp", 200, bearer=temporary_token, json={"otp": code}))

    def who_am_i(self, tokens: Tokens, person: Person) -> None:
        self._begin("Ask the users service who this is")
        self._expect(self._call("GET", "/users/me", 200, bearer=tokens.access), email=person.email)

    def refresh(self, tokens: Tokens) -> Tokens:
        self._begin("Swap the refresh token for a new pair")
        answer = self._call("POST", "/auth/refresh-token", 200, json={"refresh_token": tokens.refresh})
        renewed = self._tokens(answer)
        if renewed.refresh == tokens.refresh:
            raise self._failure("another refresh token than before", "the same")
        return renewed

    def token_is_good(self, tokens: Tokens) -> None:
        self._begin("Ask whether the new access token is good")
        self._expect(self._call("POST", "/auth/verify-token", 200, bearer=tokens.access), message=True)

    def log_out(self, tokens: Tokens) -> None:
        self._begin("Log out")
        self._call("POST", "/auth/logout", 204, bearer=tokens.access)

    def access_token_is_refused(self, tokens: Tokens) -> None:
        self._begin("The access token is refused now")
        self._expect(self._call("POST", "/auth/verify-token", 401, bearer=tokens.access), detail="Token not valid")

    def refresh_token_is_refused(self, tokens: Tokens) -> None:
        self._begin("So is the refresh token")
        refused = self._call("POST", "/auth/refresh-token", 401, json={"refresh_token": tokens.refresh})
        self._expect(refused, detail="Token not valid")

    def ask_for_new_password(self, person: Person) -> str:
        self._begin("The password is forgotten: have a code mailed for a new one")
        answer = self._call("POST", "/users/password-reset", 202, json={"email": person.email})
        return self._text(answer, "reset_token")

    def read_reset_code(self, person: Person, inbox: OtpInbox) -> str:
        self._begin("Read that code")
        code = inbox.next_code(person.email, "reset")
        return self._delivered(inbox.account_codes, f"{person.email}/reset", code)

    def set_new_password(self, person: Person, reset_token: str, code: str) -> None:
        self._begin("Set a new password with it; every session ends")
        new = {"reset_token": reset_token, "code": code, "password": person.new_password}
        self._call("POST", "/users/password-reset/confirm", 204, json=new)

    def log_in_with_new_password(self, person: Person) -> None:
        self._begin("Log in with the new password: the second factor is asked for as before")
        self._temporary_token(person.email, person.new_password)

    def _temporary_token(self, username: str, password: str) -> str:
        answer = self._call("POST", "/auth/token", 200, form={"username": username, "password": password})
        self._expect(answer, otp_required=True)
        if "access_token" in answer:
            raise self._failure("no field access_token", json.dumps(answer))
        return self._text(answer, "temporary_token")

    def _delivered(self, file: Path, recipient: str, code: str | None) -> str:
        self._transcript.command(f"tail -n 1 {file}")
        if code is None:
            raise self._failure(f"a line {recipient}/(code) in {file}", "no such line in time")
        self._transcript.secret(code)
        self._transcript.say(self._transcript.hide(f"   {recipient}/{code}"))
        return code

    def _begin(self, title: str) -> None:
        self._number += 1
        self._step = f"{self._number} ({title})"
        self._transcript.heading(f"{self._number}. {title}")

    def _call(
        self,
        method: str,
        path: str,
        status: int,
        *,
        bearer: str | None = None,
        json: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        call = Call(method=method, url=self._api + path, bearer=bearer, json=json, form=form)
        self._transcript.request(call)
        headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else None
        try:
            response = self._client.request(method, call.url, json=json, data=form, headers=headers)
        except httpx.HTTPError as error:
            raise self._failure("an answer", f"{type(error).__name__}: {error}") from error
        self._transcript.answer(response)
        if response.status_code != status:
            raise self._failure(f"status {status}", f"status {response.status_code}: {response.text}")
        return {} if status == httpx.codes.NO_CONTENT else self._object(response)

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise self._failure("a JSON object", response.text)
        return body

    def _expect(self, answer: Mapping[str, Any], **fields: object) -> None:
        for name, expected in fields.items():
            if answer.get(name) != expected:
                raise self._failure(f"{name}: {json.dumps(expected)}", json.dumps(answer))

    def _text(self, answer: Mapping[str, Any], name: str) -> str:
        value = answer.get(name)
        if not isinstance(value, str) or not value:
            raise self._failure(f"a field {name}", json.dumps(answer))
        return value

    def _tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return Tokens(self._text(answer, "access_token"), self._text(answer, "refresh_token"))

    def _failure(self, expected: str, came: str) -> StepFailed:
        return StepFailed(self._step, expected=expected, came=came)
