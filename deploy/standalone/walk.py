"""The demo as a client: registration, login, logout, logins by authenticator app and passkey, a forgotten password.

It needs only the HTTP API and an inbox, so any stack will do.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pyotp

from deploy.standalone.demo_passkey import DemoPasskey
from deploy.standalone.otp_inbox import OtpInbox
from deploy.standalone.steps import Calls
from deploy.standalone.transcript import Transcript


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


@dataclass(frozen=True, slots=True)
class App:
    id: str
    codes: pyotp.TOTP


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
        app = steps.enrol_app(tokens)
        steps.confirm_app(tokens, app)
        steps.log_out(tokens)
        steps.access_token_is_refused(tokens)
        steps.refresh_token_is_refused(tokens)
        temporary = steps.log_in_without_mail(person, inbox)
        tokens = steps.verify_app(temporary, app)
        passkey = DemoPasskey(origin=base_url)
        steps.register_passkey(tokens, passkey)
        steps.who_am_i(steps.log_in_with_passkey(passkey), person)
        reset_token = steps.ask_for_new_password(person)
        steps.set_new_password(person, reset_token, steps.read_reset_code(person, inbox))
        steps.log_in_with_new_password(person)


class Steps(Calls):
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

    def enrol_app(self, tokens: Tokens) -> App:
        self._begin("Enrol an authenticator app: the page would show the QR code")
        new = self._call("POST", "/auth/factors/totp", 201, bearer=tokens.access, json={})
        return App(self._text(new, "id"), pyotp.TOTP(self._text(new, "secret")))

    def confirm_app(self, tokens: Tokens, app: App) -> None:
        self._begin("Confirm it with the code that it shows: from now on it is a second factor")
        path = f"/auth/factors/totp/{app.id}/confirm"
        self._call("POST", path, 200, bearer=tokens.access, json={"otp": app.codes.at(time.time())})

    def log_in_without_mail(self, person: Person, inbox: OtpInbox) -> str:
        self._begin("Log in with username and password: the app is asked for, and no code is mailed")
        before = len(inbox.codes(person.email))
        answer = self._challenge(person.email, person.password)
        self._expect(answer, methods=["totp", "email", "recovery"], sent=False)
        self._transcript.command(f"grep -c '^{person.email}/' {inbox.file}")
        if (now := len(inbox.codes(person.email))) != before:
            raise self._failure(f"{before} codes in {inbox.file}, as before", str(now))
        self._transcript.say(f"   {now}")
        return self._text(answer, "temporary_token")

    def verify_app(self, temporary_token: str, app: App) -> Tokens:
        self._begin("Swap the temporary token and the app's next code for a pair: the code that confirmed it is used")
        # A code works half a minute before its time (TOTP_DRIFT).
        code = app.codes.at(time.time(), counter_offset=1)
        return self._tokens(self._call("POST", "/auth/verify-totp", 200, bearer=temporary_token, json={"otp": code}))

    def register_passkey(self, tokens: Tokens, passkey: DemoPasskey) -> None:
        self._begin("Ask what a new passkey has to look like")
        asked = self._call("POST", "/auth/factors/passkeys/options", 200, bearer=tokens.access)
        new = {**self._answered(asked, passkey.create), "name": "Demo"}
        self._begin("Register a passkey, which a browser or a phone would keep")
        self._call("POST", "/auth/factors/passkeys", 201, bearer=tokens.access, json=new)

    def log_in_with_passkey(self, passkey: DemoPasskey) -> Tokens:
        self._begin("Somebody with a passkey comes: ask for a challenge, without saying who it is")
        signed = self._answered(self._call("POST", "/auth/passkey/options", 200), passkey.get)
        self._begin("Log in with the passkey alone: no username, no password, no code")
        return self._tokens(self._call("POST", "/auth/passkey", 200, json=signed))

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

    def _answered(self, asked: Mapping[str, Any], passkey: Callable[[dict[str, Any]], object]) -> dict[str, object]:
        return {"ceremony": self._text(asked, "ceremony"), "credential": passkey(self._part(asked, "options"))}

    def _temporary_token(self, username: str, password: str) -> str:
        return self._text(self._challenge(username, password), "temporary_token")

    def _challenge(self, username: str, password: str) -> dict[str, Any]:
        answer = self._call("POST", "/auth/token", 200, form={"username": username, "password": password})
        self._expect(answer, otp_required=True)
        if "access_token" in answer:
            raise self._failure("no field access_token", json.dumps(answer))
        return answer

    def _delivered(self, file: Path, recipient: str, code: str | None) -> str:
        self._transcript.command(f"tail -n 1 {file}")
        if code is None:
            raise self._failure(f"a line {recipient}/(code) in {file}", "no such line in time")
        self._transcript.secret(code)
        self._transcript.say(self._transcript.hide(f"   {recipient}/{code}"))
        return code

    def _tokens(self, answer: Mapping[str, Any]) -> Tokens:
        return Tokens(self._text(answer, "access_token"), self._text(answer, "refresh_token"))
