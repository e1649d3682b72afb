"""Login2FA as the services under test see it: an address, an inbox, and people who are logged in."""

from __future__ import annotations

import base64
import json
import threading
from abc import ABC, abstractmethod
from contextlib import ExitStack
from functools import cached_property
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

from login2fa_testing import login
from login2fa_testing.answers import UnexpectedAnswer
from login2fa_testing.inbox import Inbox
from login2fa_testing.inbox_http import on_this_machine
from login2fa_testing.people import DEMO_ADMIN, DEMO_CUSTOMER, Person, Tokens
from login2fa_testing.software_passkey import SoftwarePasskey

ANSWER_SECONDS = 15.0


class LoginSystem(ABC):
    """A running Login2FA. Use it in a `with` block, which closes every client that it gave."""

    demo_admin = DEMO_ADMIN
    demo_customer = DEMO_CUSTOMER

    def __init__(self) -> None:
        self._clients = ExitStack()
        self._lock = threading.RLock()
        self._administrator: Tokens | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._administrator = None
        self._clients.close()

    @property
    @abstractmethod
    def base_url(self) -> str:
        """The public address, as `http://localhost:8201`."""

    @property
    @abstractmethod
    def inbox(self) -> Inbox:
        """Where the mailed codes arrive."""

    @property
    def api_url(self) -> str:
        return f"{self.base_url}/api/v1"

    @property
    def jwks_url(self) -> str:
        """The public keys of the access tokens (RFC 7517)."""
        return f"{self.base_url}/.well-known/jwks.json"

    @cached_property
    def issuer(self) -> str:
        """What stands in `iss` of the access tokens: not the address, whose port is another one each time."""
        payload = self.log_in(self.register()).access.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["iss"])

    def client(self, tokens: Tokens | None = None) -> httpx.Client:
        """A client of the API, whose paths begin after `/api/v1`; with `tokens`, it sends the access token."""
        client = httpx.Client(
            base_url=self.api_url,
            headers={"authorization": f"Bearer {tokens.access}"} if tokens else {},
            timeout=ANSWER_SECONDS,
            trust_env=not on_this_machine(self.base_url),
        )
        with self._lock:
            self._clients.callback(client.close)
        return client

    def register(
        self,
        *,
        email: str = "",
        username: str = "",
        password: str = "",
        name: str = "",
        lastname: str = "",
        is_2fa: bool = False,
        is_admin: bool = False,
    ) -> Person:
        """Make an account for somebody new; what is not given is chosen.

        Raises:
            UnexpectedAnswer: the API refused it, or, for an administrator, the demo administrator is not there.
        """
        fields = {"email": email, "username": username, "password": password, "name": name, "lastname": lastname}
        given: dict[str, Any] = {field: value for field, value in fields.items() if value}
        with self.client() as client:
            person = login.register(client, Person(**given, is_2fa=is_2fa))
        return self._promoted(person) if is_admin else person

    def passkey(self, *, synced: bool = False) -> SoftwarePasskey:
        """A new passkey, as a browser at the issuer's address has it. It belongs to nobody before its `register`."""
        issuer = httpx.URL(self.issuer)
        return SoftwarePasskey(f"{issuer.scheme}://{issuer.netloc.decode()}", synced=synced)

    def log_in(self, person: Person, *, factor: login.SecondFactor | None = None) -> Tokens:
        """Log in with the password and, if it is asked for, `factor`: an app, a passkey, else the code from the inbox.

        Raises:
            UnexpectedAnswer: the API refused it.
            NoCode: no mail came.
        """
        with self.client() as client:
            return login.log_in(client, person, lambda: self.inbox, factor)

    def logged_in(self, person: Person | None = None, *, is_2fa: bool = False, is_admin: bool = False) -> httpx.Client:
        """A client for `person`, or for somebody new. Its access token is good for an hour."""
        return self.client(self.log_in(person or self.register(is_2fa=is_2fa, is_admin=is_admin)))

    def _promoted(self, person: Person) -> Person:
        # One login for all of them: the codes that one account is sent in an hour are limited.
        with self._lock:
            tokens = self._administrator = self._administrator or self.log_in(self.demo_admin)
        with self.client(tokens) as client:
            try:
                return login.make_admin(client, person)
            except UnexpectedAnswer as error:
                if error.answer.status_code not in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                    raise
        self._administrator = None  # its login is older than five minutes, or was ended by a test
        return self._promoted(person)
