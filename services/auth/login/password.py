"""Username and password in, an identity out.

A failing login is answered at a fixed deadline after it began, never at once, and until then looks at the read model
again and again. So an account that registered or changed its password a moment ago gets in as soon as its event has
arrived; and unknown user, wrong password and inactive account take the same time (docs/decisions/0005).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable
from uuid import UUID

from services.auth.accounts.read_model import Identity, find_by_username
from services.auth.accounts.read_model_watch import ReadModelWatch
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.web.problems import Problem, Unavailable

# Seconds between two looks; each is one read by an index, where the hash before it took a hundred times as long.
_LOOK_EVERY = 0.05

# Seconds, for whom we may not know yet. Ten such answers are free (throttle).
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


async def authenticate(
    database: Database,
    passwords: Passwords,
    username: str,
    password: str,
    identity: Identity | None,
    holders: Collection[Hashable],
    read_model: ReadModelWatch,
    *,
    failure_deadline: float,
) -> Identity:
    """`identity`: who had the name a moment ago; `holders`: whose shares of the hashing queue it takes.

    Holds no database connection while it hashes or waits.

    Raises:
        IncorrectUsernameOrPassword: at the deadline; `PerhapsNotKnownYet` while the read model is behind.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + failure_deadline
    if await _accepted(passwords, identity, password, holders):
        assert identity is not None  # noqa: S101 - nobody is never accepted
        return identity
    while True:
        left = deadline - loop.time()
        await asyncio.sleep(max(0.0, min(left, _LOOK_EVERY)))
        latest = await _look_up(database, username)
        if latest is not None and _moved(identity, latest):
            identity = latest
            if await _accepted(passwords, latest, password, holders):
                return latest
        if left <= _LOOK_EVERY:  # that was the look at the deadline
            refusal = PerhapsNotKnownYet if read_model.behind else IncorrectUsernameOrPassword
            raise refusal(identity.id if identity is not None else None)


async def _look_up(database: Database, username: str) -> Identity | None:
    async with database.statement() as connection:
        return await find_by_username(connection, username)


async def _accepted(
    passwords: Passwords, identity: Identity | None, password: str, holders: Collection[Hashable]
) -> bool:
    matches = await passwords.verify(password, identity.password_hash if identity is not None else None, holders)
    return matches and identity is not None and identity.is_active


def _moved(before: Identity | None, after: Identity) -> bool:
    return before is None or (before.id, before.version) != (after.id, after.version)
