"""The second step of a login, and of a session that steps up: a proof completes the challenge."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.challenges import Challenges
from services.auth.factors.open_challenges import OpenChallenges, Progress
from services.auth.factors.proofs import Attempt, Proof
from services.auth.factors.refusals import refusals
from services.auth.login.known_addresses import KnownAddresses
from services.auth.login.trusted_devices import TrustedDevices
from services.auth.sessions.client import Client
from services.auth.sessions.lifecycle import Sessions, TokenPair
from services.auth.sessions.stepping_up import SteppingUp
from services.auth.tables import factors
from shared import failpoints
from shared.database.pool import Database
from shared.tokens.access import PASSWORD


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """`device_token`: None unless the device was to be remembered."""

    pair: TokenPair
    device_token: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactor:
    database: Database
    challenges: Challenges
    open_challenges: OpenChallenges
    sessions: Sessions
    stepping_up: SteppingUp
    addresses: KnownAddresses
    devices: TrustedDevices

    async def verify(self, challenge: UUID, proof: Proof, client: Client, *, remember: bool = False) -> Completed:
        """`remember`: this device; only at a login. Raises the proof's refusal."""
        completed = None
        async with self.database.transaction() as connection:
            attempt = await self.challenges.attempt(connection, challenge, proof)
            if attempt is not None:
                completed = await self._completed(connection, attempt, proof, client, remember=remember)
            failpoints.reach("second step: before commit")
        failpoints.reach("second step: committed")
        if completed is None:  # raised after the commit: a wrong code must stay counted
            raise proof.refusal
        return completed

    async def _completed(
        self, connection: AsyncConnection, attempt: Attempt, proof: Proof, client: Client, *, remember: bool
    ) -> Completed | None:
        account = attempt.account
        if attempt.session is not None:
            pair = await self.stepping_up.renew(connection, attempt.session, account, proof.amr, client)
            return Completed(pair=pair, device_token=None) if pair is not None else None
        if attempt.password_by_mail and proof.method != "email":
            await _vouch_for_password(connection, account, attempt.epoch)
        address = self.addresses.hashed(client.address or "-")
        amr = (PASSWORD, *proof.amr)
        pair = await self.sessions.begin(connection, account, attempt.epoch, amr, client, address)
        if pair is None:
            return None
        device = await self.devices.remember(connection, account, attempt.epoch, client) if remember else None
        return Completed(pair=pair, device_token=device)

    async def send_code(self, challenge: UUID) -> None:
        """Raises what `OpenChallenges.send_code` raises."""
        async with (
            refusals(self.database, "code_sent", challenge=challenge),
            self.database.transaction() as connection,
        ):
            await self.open_challenges.send_code(connection, challenge)

    async def progress(self, challenge: UUID) -> Progress:
        """Raises `TokenNotValid` when the challenge is used, spent or expired."""
        async with self.database.transaction() as connection:
            return await self.open_challenges.progress(connection, challenge)


async def _vouch_for_password(connection: AsyncConnection, account: UUID, epoch: int) -> None:
    """Mailed codes are a second factor again (services.auth.factors.methods.second_factors). A login by passkey alone
    would not show it: the owner may know nothing of a password that a thief has set by mail.
    """
    await connection.execute(update(factors).where(factors.c.account_id == account).values(login_epoch=epoch))
