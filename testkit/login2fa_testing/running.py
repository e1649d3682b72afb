"""A Login2FA that somebody else has started: `docker compose up`, `make up`, an environment for tests."""

from __future__ import annotations

import os
from typing import Self

import httpx

from login2fa_testing.inbox import Inbox
from login2fa_testing.inbox_address import inbox_at
from login2fa_testing.inbox_http import without_password
from login2fa_testing.stack import Login2FA
from login2fa_testing.system import LoginSystem

_WRITE = "set LOGIN2FA_URL to its public address, without /api/v1, as in LOGIN2FA_URL=http://localhost:8201."


class NotLogin2FA(ValueError):
    """Nothing answers at the address, or something else does. The message says what to write."""


class RunningLogin2FA(LoginSystem):
    """`url` is its public address. Without an inbox only people without a second factor can log in.

    Nothing is started and nothing is stopped; the accounts that tests register stay. The `with` block begins with a
    look whether it is there, and raises `NotLogin2FA`.
    """

    def __init__(self, url: str, inbox: Inbox | None = None) -> None:
        super().__init__()
        self._url = url.rstrip("/")
        self._inbox = inbox

    def __enter__(self) -> Self:
        if not self._has_public_keys():
            raise NotLogin2FA(f"What answers at {self._shown} is no Login2FA, for it has no public keys: {_WRITE}")
        return super().__enter__()

    def _has_public_keys(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.get(self.jwks_url).json()["keys"])
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NotLogin2FA(f"Nothing answers at {self._shown} ({type(error).__name__}): {_WRITE}") from error
        except (ValueError, KeyError, TypeError):
            return False

    @property
    def _shown(self) -> str:
        try:
            return without_password(self._url)
        except httpx.InvalidURL:
            return "LOGIN2FA_URL, which is no URL"

    @property
    def base_url(self) -> str:
        return self._url

    @property
    def inbox(self) -> Inbox:
        if self._inbox is None:
            raise ValueError(
                f"Nobody said where the codes of {self._url} arrive: set LOGIN2FA_INBOX, as in "
                "LOGIN2FA_INBOX=mailhog:http://127.0.0.1:8025."
            )
        return self._inbox


def login2fa_of_environment() -> LoginSystem:
    """The one at `LOGIN2FA_URL`, with the inbox `LOGIN2FA_INBOX`; without that, one to be started.

    Raises:
        ValueError: LOGIN2FA_INBOX has no form that is known. The `with` block raises `NotLogin2FA`.
    """
    url, inbox = os.environ.get("LOGIN2FA_URL"), os.environ.get("LOGIN2FA_INBOX")
    if not url:
        return Login2FA()
    return RunningLogin2FA(url, inbox_at(inbox) if inbox else None)
