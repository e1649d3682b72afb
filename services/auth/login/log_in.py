"""Checks username and password, then begins a session or a two-factor challenge."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.read_model import Identity
from services.auth.factors.challenges import Challenge, Challenges
from services.auth.factors.methods import Method, second_factors
from services.auth.factors.refusals import refusals
from services.auth.login.attempts import Attempts
from services.auth.login.known_addresses import KnownAddresses
from services.auth.login.password import IncorrectUsernameOrPassword, PasswordCheck
from services.auth.login.trusted_devices import TrustedDevices
from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from shared import failpoints
from shared.database.pool import Database
from shared.tokens.access import PASSWORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    database: Database
    attempts: Attempts
    password: PasswordCheck
    challenges: Challenges
    sessions: Sessions
    addresses: KnownAddresses
    devices: TrustedDevices

    async def log_in(
        self, username: str, password: str, client: Client, device_token: str | None = None
    ) -> TokenPair | Challenge:
        """Only a wrong password counts as a failure; any other error releases the attempt. Raises `TooManyRequests`,
        `IncorrectUsernameOrPassword`, `PerhapsNotKnownYet`, `CodesOff`, `Unavailable`.
        """
        attempt = await self.attempts.reserve(username, client.address or "-")
        try:
            identity = await self.password.check(username, password, attempt)
        except IncorrectUsernameOrPassword as wrong:
            await self.attempts.record_failure(attempt, wrong.account)
            raise
        except BaseException:
            await self.attempts.release(attempt, success=False)
            raise
        try:
            methods = second_factors(identity)
            if not methods:
                async with self.database.statement() as connection:
                    return await self._begin(connection, identity, client)
            if device_token and (pair := await self._start_by_device(identity, device_token, client)):
                return pair
            return await self._start_challenge(identity, methods)
        finally:
            await self.attempts.release(attempt, success=True)

    async def _start_challenge(self, identity: Identity, methods: list[Method]) -> Challenge:
        async with refusals(self.database, "login", account=identity.id), self.database.transaction() as connection:
            challenge = await self.challenges.request(connection, identity, methods)
            failpoints.reach("login: before commit")
        failpoints.reach("login: committed")
        return challenge

    async def _start_by_device(self, identity: Identity, token: str, client: Client) -> TokenPair | None:
        """One transaction, which locks the device: a change of factors comes first, or ends the new session too."""
        async with self.database.transaction() as connection:
            if not await self.devices.use(connection, identity, token, client):
                return None
            return await self._begin(connection, identity, client)

    async def _begin(self, connection: AsyncConnection, identity: Identity, client: Client) -> TokenPair:
        address = self.addresses.hashed(client.address or "-")
        return await self.sessions.begin(connection, identity.id, identity.session_epoch, (PASSWORD,), client, address)
