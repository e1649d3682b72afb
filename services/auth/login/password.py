"""Is this the password of the account that has this name? Asked again whenever the account has changed meanwhile.

A failing check ends at a fixed deadline, and until then looks at the read model again and again. So an account that
registered or changed its password a moment ago gets in as soon as its event has arrived; and unknown user, wrong
password and inactive account take the same time (docs/decisions/0005).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import UUID

from services.auth.accounts.read_model import Identity, find_by_username
from services.auth.accounts.read_model_watch import ReadModelWatch
from services.auth.login.attempts import Attempt
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.web.problems import Problem, Unavailable

# Seconds between two looks; each is one read by an index, where the hash before it took a hundred times as long.
_LOOK_EVERY = 0.05

# Seconds, for an account that may not be known yet. Ten such answers are free (services.auth.login.attempts).
_COME_AGAIN = 3


class IncorrectUsernameOrPassword(Problem):
    status = 400
    code = "incorrect_credentials"
    detail = "Incorrect username or password"

    def __init__(self, account: UUID | None = None) -> None:
        """`account`: whose name it was, if anybody's; for the audit trail alone."""
        super().__init__()
        self.account = account


class PerhapsNotKnownYet(IncorrectUsernameOrPassword):
    """While the read model is behind. Every name is answered alike, or the answer would tell which ones exist.

    Counted like any wrong password: guesses would else be free for as long as the broker is away.
    """

    status = Unavailable.status
    code = Unavailable.code
    detail = Unavailable.detail

    def __init__(self, account: UUID | None = None) -> None:
        super().__init__(account)
        self.headers["Retry-After"] = str(_COME_AGAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordCheck:
    """`failure_deadline`: seconds after its start at which a failing check ends."""

    database: Database
    passwords: Passwords
    read_model: ReadModelWatch
    failure_deadline: float

    async def check(self, username: str, password: str, attempt: Attempt) -> Identity:
        """Holds no database connection while it hashes or waits.

        Raises:
            IncorrectUsernameOrPassword: at the deadline; `PerhapsNotKnownYet` while the read model is behind.
        """
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
            if left <= _LOOK_EVERY:  # that was the look at the deadline
                refusal = PerhapsNotKnownYet if self.read_model.behind else IncorrectUsernameOrPassword
                raise refusal(identity.id if identity is not None else None)

    async def _look_up(self, username: str) -> Identity | None:
        async with self.database.statement() as connection:
            return await find_by_username(connection, username)

    async def _accepts(self, identity: Identity | None, password: str, attempt: Attempt) -> bool:
        """Where there is no account a hash is computed all the same, so that the answer takes as long."""
        stored = identity.password_hash if identity is not None else None
        matches = await self.passwords.verify(password, stored, attempt.key.holders)
        return matches and identity is not None and identity.is_active


def _has_changed(before: Identity | None, after: Identity) -> bool:
    return before is None or (before.id, before.version) != (after.id, after.version)
