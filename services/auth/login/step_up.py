"""A session authenticates again, for a higher class or a newer time of its login (RFC 9470)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts import read_model
from services.auth.accounts.read_model import Identity
from services.auth.factors.challenges import Challenge, Challenges
from services.auth.factors.methods import Method, second_factors
from services.auth.factors.proofs import Attempt
from services.auth.factors.refusals import refusals
from services.auth.login.attempts import Attempts
from services.auth.login.password import IncorrectUsernameOrPassword
from services.auth.login.second_factor import Completed, SecondFactor
from services.auth.sessions.client import Client
from services.auth.tables import challenges
from shared.audit_words import Act, Reason
from shared.database.pool import Database
from shared.passwords.hashing import Passwords
from shared.tokens.access import PASSWORD, AccessToken
from shared.web.bearer import TokenNotValid
from shared.web.problems import Problem

Acr = Literal[2, 3]


class NoSuchFactor(Problem):
    status = 409
    code = "no_such_factor"
    detail = "No factor of this account gives such a login: add one, such as a passkey or an authenticator app"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepUp:
    database: Database
    challenges: Challenges
    attempts: Attempts
    passwords: Passwords
    second_factor: SecondFactor

    async def begin(self, token: AccessToken, acr: Acr | None) -> Challenge:
        """`acr`: the class that is wanted; None: only a newer login. Raises `NoSuchFactor`, `TokenNotValid`, and as
        `Challenges.request`.
        """
        async with (
            refusals(self.database, "step_up", account=token.account),
            self.database.transaction() as connection,
        ):
            identity = await read_model.find(connection, token.account)
            if identity is None:
                raise TokenNotValid
            methods = _methods(identity, token, acr)
            if not methods:
                raise NoSuchFactor
            return await self.challenges.request(connection, identity, methods, token.session)

    async def verify_password(self, challenge: UUID, password: str, client: Client) -> Completed:
        """Under the limits of a login. Raises `IncorrectUsernameOrPassword`, `TooManyRequests`, `TokenNotValid`."""
        async with self.database.transaction() as connection:
            identity = await _waiting_for_password(connection, challenge)
        if identity is None:
            raise TokenNotValid
        attempt = await self.attempts.reserve(identity.username_key, client.address or "-")
        try:
            right = await self.passwords.verify(password, identity.password_hash, attempt.key.holders)
        except BaseException:
            await self.attempts.release(attempt, success=False)
            raise
        if not right:
            await self.attempts.record_failure(attempt, identity.id)
            raise IncorrectUsernameOrPassword(identity.id)
        await self.attempts.release(attempt, success=True)
        return await self.second_factor.verify(challenge, _RightPassword(), client)


@dataclass(frozen=True, slots=True)
class _RightPassword:
    """A password that was compared already, as a proof: it adds nothing to that of the session."""

    method: ClassVar[Method] = "password"
    amr: ClassVar[Sequence[str]] = ()
    counts: ClassVar[bool] = False
    act: ClassVar[Act] = "step_up"
    wrong: ClassVar[Reason] = "wrong_credentials"
    refusal: ClassVar[type[Problem]] = TokenNotValid

    async def holds(self, _connection: AsyncConnection, _attempt: Attempt) -> bool:
        return True


def _methods(identity: Identity, token: AccessToken, acr: Acr | None) -> list[Method]:
    """A session without a password has nothing that a second factor could complete: only a passkey is a whole login."""
    found = second_factors(identity)
    if acr == 3 or PASSWORD not in token.amr:  # noqa: PLR2004 - `Acr` names the classes
        return [method for method in found if method == "passkey"]
    return found if found or acr else ["password"]


async def _waiting_for_password(connection: AsyncConnection, challenge: UUID) -> Identity | None:
    query = select(challenges.c.account_id).where(challenges.c.id == challenge, challenges.c.methods == ["password"])
    account = (await connection.execute(query)).scalar_one_or_none()
    return await read_model.find(connection, account) if account is not None else None
