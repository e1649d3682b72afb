"""Checks a password. A failing check rereads the account until a deadline: a new account gets in once its event
arrives, and all failures take the same time (docs/decisions/0005-looking-again.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from services.auth.accounts.read_model import Identity, find_by_username
from services.auth.accounts.read_model_watch import ReadModelWatch
from services.auth.login.attempts import Attempt
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.web.problems import Problem, Unavailable

# Seconds between reads of the read model; a hash costs a hundred times as much.
_LOOK_EVERY = 0.05


class IncorrectUsernameOrPassword(Problem):
    status = 400
    code = "incorrect_credentials"
    detail = "Incorrect username or password"

    def __init__(self, account: UUID | None = None) -> None:
        """`account`: the owner of the name, if any; not part of the answer."""
        super().__init__()
        self.account = account


class PerhapsNotKnownYet(IncorrectUsernameOrPassword):
    """Every name gets it, or it would reveal which exist. Counts as a failure, or guesses would be free meanwhile."""

    status = Unavailable.status
    code = Unavailable.code
    detail = Unavailable.detail
    headers: Mapping[str, str] = {"Retry-After": "3"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordCheck:
    """`failure_deadline`: seconds after which a failing check ends."""

    database: Database
    passwords: Passwords
    read_model: ReadModelWatch
    failure_deadline: float

    async def check(self, username: str, password: str, attempt: Attempt) -> Identity:
        """Holds no connection while it hashes or waits. Raises `IncorrectUsernameOrPassword`, `PerhapsNotKnownYet`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.failure_deadline
        identity = attempt.identity
        if await self._accepts(identity, password, attempt):
            assert identity is not None  # noqa: S101 - nobody is never accepted
            return identity
        while True:
            left = deadline - loop.time()
            await asyncio.sleep(max(0.0, min(left, _LOOK_EVERY)))
            latest = await self._look_up(username)
            if latest is not None and _has_changed(identity, latest):
                identity = latest
                if await self._accepts(latest, password, attempt):
                    return latest
            if left <= _LOOK_EVERY:  # that was the read at the deadline
                refusal = PerhapsNotKnownYet if self.read_model.behind else IncorrectUsernameOrPassword
                raise refusal(identity.id if identity is not None else None)

    async def _look_up(self, username: str) -> Identity | None:
        async with self.database.statement() as connection:
            return await find_by_username(connection, username)

    async def _accepts(self, identity: Identity | None, password: str, attempt: Attempt) -> bool:
        """Computes a hash without an account too, so that the answer takes as long."""
        stored = identity.password_hash if identity is not None else None
        matches = await self.passwords.verify(password, stored, attempt.key.holders)
        return matches and identity is not None and identity.is_active


def _has_changed(before: Identity | None, after: Identity) -> bool:
    return before is None or (before.id, before.version) != (after.id, after.version)
