"""A passkey logs in, alone or as the second step: what a browser is asked for, and what becomes of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.read_model import find
from services.auth.factors.assertions import WITH_PASSKEY, Answer, Assertions, PasskeyNotValid, Question
from services.auth.factors.open_challenges import OpenChallenges
from services.auth.factors.webauthn_options import request_options
from services.auth.login.known_addresses import KnownAddresses
from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from services.auth.tables import trail
from shared.database.pool import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class PasskeyLogin:
    database: Database
    assertions: Assertions
    open_challenges: OpenChallenges
    sessions: Sessions
    addresses: KnownAddresses

    async def ask(self) -> Question:
        """Says nothing of any account, and writes nothing: pages ask at every view. Raises `PasskeysOff`."""
        party = self.assertions.here().party
        async with self.database.statement() as connection:
            ceremony, challenge = await self.assertions.ceremonies.begin(connection, "login")
        return Question(ceremony=ceremony, options=request_options(party, challenge))

    async def ask_second(self, challenge: UUID) -> Question:
        """For the second step. Raises `PasskeysOff`, `MethodNotOffered`, `TokenNotValid`."""
        self.assertions.here()
        async with self.database.transaction() as connection:
            account = await self.open_challenges.account_of(connection, challenge, "passkey")
            return await self.assertions.question(connection, challenge, account)

    async def log_in(self, answer: Answer, client: Client) -> TokenPair:
        """The whole login. Raises `PasskeysOff`, `PasskeyNotValid`."""
        self.assertions.here()
        async with self.database.transaction() as connection:
            pair = await self._pair(connection, answer, client)
        if pair is None:  # raised after the commit: the ceremony must stay used
            raise PasskeyNotValid
        return pair

    async def _pair(self, connection: AsyncConnection, answer: Answer, client: Client) -> TokenPair | None:
        ceremony = self.assertions.ceremonies.read(answer.ceremony, "login")
        account = await self.assertions.owner(connection, ceremony, answer.credential)
        identity = await find(connection, account) if account is not None else None
        if identity is None:
            await trail.record(connection, "login", "refused", "passkey_not_valid", account=account)
            return None
        await trail.record(connection, "passkey_verified", account=identity.id, actor=identity.id)
        address = self.addresses.hashed(client.address or "-")
        return await self.sessions.begin(connection, identity.id, identity.session_epoch, WITH_PASSKEY, client, address)
