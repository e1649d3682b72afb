"""A Login2FA that somebody else has started: `docker compose up`, `make up`, an environment for tests."""

from __future__ import annotations

import os

from login2fa_testing.inbox import Inbox
from login2fa_testing.inbox_address import inbox_at
from login2fa_testing.stack import Login2FA
from login2fa_testing.system import LoginSystem


class RunningLogin2FA(LoginSystem):
    """`url` is its public address. Without an inbox only people without a second factor can log in.

    Nothing is started and nothing is stopped; the accounts that tests register stay.
    """

    def __init__(self, url: str, inbox: Inbox | None = None) -> None:
        super().__init__()
        self._url = url.rstrip("/")
        self._inbox = inbox

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
        ValueError: LOGIN2FA_INBOX has no form that is known.
    """
    url, inbox = os.environ.get("LOGIN2FA_URL"), os.environ.get("LOGIN2FA_INBOX")
    if not url:
        return Login2FA()
    return RunningLogin2FA(url, inbox_at(inbox) if inbox else None)
