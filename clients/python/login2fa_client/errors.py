"""Everything that this package raises."""

from __future__ import annotations

from typing import Any

import httpx


class Login2FAError(Exception):
    """A refusal of the API (RFC 9457). `code` is for programs, `detail` for people; `retry_after`: seconds, or None."""

    def __init__(self, status: int, code: str, detail: str, retry_after: int | None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class LoggedOut(Exception):
    """Nobody is logged in, or the session has ended: show the login."""


class TokenInvalid(Exception):
    """Answer 401. The text is for the log, never for the client."""


class Unavailable(Exception):
    """Login2FA can not be asked, so the token can be called neither good nor bad: answer 503."""


def refusal(response: httpx.Response) -> Login2FAError:
    """A gateway may answer something other than a problem document; its text is not repeated."""
    try:
        problem: Any = response.json()
    except ValueError:
        problem = None
    problem = problem if isinstance(problem, dict) else {}
    code, detail = problem.get("code", "unknown"), problem.get("detail", response.reason_phrase)
    seconds = response.headers.get("retry-after", "")
    retry_after = int(seconds) if seconds.isascii() and seconds.isdigit() else None
    return Login2FAError(response.status_code, str(code), str(detail), retry_after)
