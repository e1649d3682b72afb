"""The second step of a login: verifies a code or sends another one."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.auth.factors.challenges import Challenges, OtpNotValid
from services.auth.factors.open_challenges import OpenChallenges, Progress
from services.auth.factors.refusals import refusals
from services.auth.login.known_addresses import KnownAddresses
from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from shared.database.pool import Database
from shared.tokens.access import MFA

_AMR = ["pwd", "otp", MFA]  # RFC 8176


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    database: Database
    challenges: Challenges
    open_challenges: OpenChallenges
    sessions: Sessions
    addresses: KnownAddresses

    async def verify(self, challenge: UUID, code: str, client: Client) -> TokenPair:
        pair = None
        async with self.database.transaction() as connection:
            verified = await self.challenges.verify(connection, challenge, code)
            if verified is not None:
                address = self.addresses.hashed(client.address or "-")
                pair = await self.sessions.begin(connection, verified.account, verified.epoch, _AMR, client, address)
        if pair is None:  # raised after the commit: a wrong code must stay counted
            raise OtpNotValid
        return pair

    async def resend(self, challenge: UUID) -> None:
        """Raises what `Challenges.resend` raises."""
        async with (
            refusals(self.database, "code_sent", challenge=challenge),
            self.database.transaction() as connection,
        ):
            await self.open_challenges.resend(connection, challenge)

    async def progress(self, challenge: UUID) -> Progress:
        """Raises `TokenNotValid` when the challenge is used, spent or expired."""
        async with self.database.transaction() as connection:
            return await self.open_challenges.progress(connection, challenge)
