"""Checks username and password, then begins a session or a two-factor challenge."""

from __future__ import annotations

from dataclasses import dataclass

from services.auth.accounts.read_model import Identity
from services.auth.factors.challenges import Challenge, Challenges
from services.auth.factors.methods import Method, second_factors
from services.auth.factors.refusals import refusals
from services.auth.login.attempts import Attempts
from services.auth.login.known_addresses import KnownAddresses
from services.auth.login.password import IncorrectUsernameOrPassword, PasswordCheck
from services.auth.login.rehash import Rehash
from services.auth.login.trusted_devices import TrustedDevices
from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from shared import failpoints
from shared.database.pool import Database
from shared.tokens.access import PASSWORD
from shared.web.problems import Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    database: Database
    attempts: Attempts
    password: PasswordCheck
    rehash: Rehash
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
            await self.rehash.after(identity, password, attempt.key.holders)
            methods = second_factors(identity)
            if not methods or (device_token and await self.devices.knows(identity, device_token, client)):
                return await self._start_session(identity, client)
            return await self._start_challenge(identity, methods)
        finally:
            await self.attempts.release(attempt, success=True)

    async def _start_challenge(self, identity: Identity, methods: list[Method]) -> Challenge:
        async with refusals(self.database, "login", account=identity.id), self.database.transaction() as connection:
            challenge = await self.challenges.request(connection, identity, methods)
            failpoints.reach("login: before commit")
        failpoints.reach("login: committed")
        return challenge

    async def _start_session(self, identity: Identity, client: Client) -> TokenPair:
        address = self.addresses.hashed(client.address or "-")
        async with self.database.statement() as connection:
            pair = await self.sessions.begin(
                connection, identity.id, identity.session_epoch, (PASSWORD,), client, address, identity.factors_version
            )
        if pair is None:  # a factor was added or removed in the time of the hash
            raise Unavailable(retry_after=1)
        return pair
