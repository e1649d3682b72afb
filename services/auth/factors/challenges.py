"""Challenges, timed by the database's clock: one is made, then completed once, by one of several proofs. All of them
share its attempts, its life and its use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Row, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from services.auth.accounts.read_model import Identity
from services.auth.factors.challenge_statements import COMPLETE, attempt, insert_challenge, is_open
from services.auth.factors.codes import Codes, new_code
from services.auth.factors.failed_codes import CodesOff, Guess
from services.auth.factors.methods import Method, needs_mail, not_guessed
from services.auth.factors.proofs import Attempt, Proof
from services.auth.settings import AuthSettings
from services.auth.tables import challenges, trail
from shared.audit import outbox_params
from shared.messaging.address_events import AddressProved
from shared.messaging.events import Event, OtpRequested
from shared.names import email_key_hash


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenge:
    """`sent`: whether a code is on its way."""

    id: UUID
    account: UUID
    created_at: datetime
    methods: Sequence[Method]
    sent: bool


class Challenges:
    def __init__(self, settings: AuthSettings, codes: Codes) -> None:
        self._codes = codes
        self._lifetime = timedelta(seconds=settings.otp_lifetime)
        self._insert_challenge = insert_challenge(self._lifetime)
        still_open = is_open(settings.otp_attempts)
        self._attempt = {True: attempt(still_open, codes.wrong.counted()), False: attempt(still_open, None)}

    async def request(
        self, connection: AsyncConnection, identity: Identity, methods: list[Method], session: UUID | None = None
    ) -> Challenge:
        """`session`: the one that steps up. A code is mailed at once only if nothing stronger is there. Raises
        `CodesOff`; if a code is mailed, also `TooManyRequests` (hourly cap of account or mailbox) and `Unavailable`
        (back-pressure).
        """
        mailbox = email_key_hash(identity.email)
        challenge, event_id, code = uuid7(), uuid7(), new_code()
        values = {
            "challenge": challenge,
            "account": identity.id,
            "mailbox": mailbox,
            "of_epoch": identity.session_epoch,
            "of_version": identity.factors_version,
            "session": session,
            "mac": None,
            "code_event": None,
        }
        events: list[OtpRequested] = []
        if mailed := needs_mail(methods):
            locked = await self._codes.lock(connection, identity.id, mailbox)
            if locked.off:
                raise CodesOff
            await self._codes.refuse_beyond_cap(connection, identity.id, mailbox)
            expires = locked.now + self._lifetime
            to = (identity.id, identity.email)
            events = [self._codes.event(event_id, challenge, *to, code, requested=locked.now, expires=expires)]
            values |= {"mac": self._codes.macs(challenge, code)[0], "code_event": event_id}
        elif await self._are_off(connection, identity.id):
            methods = not_guessed(methods)
            if not methods:
                raise CodesOff
        act = trail.event("code_sent" if mailed else "second_factor_asked", account=identity.id)
        values |= {"ways": methods, **outbox_params(connection, act, *events)}
        now = (await connection.execute(self._insert_challenge, values)).scalar_one()
        return Challenge(id=challenge, account=identity.id, created_at=now, methods=methods, sent=mailed)

    async def attempt(self, connection: AsyncConnection, challenge_id: UUID, proof: Proof) -> Attempt | None:
        """Uses the challenge if `proof` is right; None if not. The caller commits in both cases."""
        tried = self._attempt[proof.counts]
        row = (await connection.execute(tried, {"challenge": challenge_id, "way": proof.method})).one_or_none()
        if row is None or row.epoch is None:
            await self._over(connection, challenge_id, proof, row)
            return None
        found = Attempt(
            challenge=challenge_id,
            account=row.account_id,
            epoch=row.epoch,
            session=row.session_id,
            code_mac=row.code_mac,
            email=row.email,
            email_verified=row.email_verified,
            password_by_mail=row.password_by_mail,
            now=row.now,
        )
        if not await proof.holds(connection, found):
            await trail.record(connection, proof.act, "refused", proof.wrong, account=found.account)
            if proof.counts:
                await self._codes.wrong.was_wrong(connection, Guess(account=found.account, number=row.failures))
            return None
        await self._complete(connection, found, proof)
        return found

    async def _over(
        self, connection: AsyncConnection, challenge_id: UUID, proof: Proof, row: Row[*tuple[Any, ...]] | None
    ) -> None:
        if row is None:
            account = await account_of(connection, challenge_id)
        else:
            account = row.account_id
            await self._codes.wrong.was_not_compared(connection, Guess(account=account, number=row.failures))
        await trail.record(connection, proof.act, "refused", "challenge_over", account=account)

    async def _complete(self, connection: AsyncConnection, found: Attempt, proof: Proof) -> None:
        act = trail.event(proof.act, account=found.account, actor=found.account)
        proved = _proved(found) if proof.method == "email" else []
        values = {
            "challenge": found.challenge,
            "account": found.account,
            "right": proof.counts,
            "by_mail": proof.method == "email",
            **outbox_params(connection, act, *proved),
        }
        await connection.execute(COMPLETE, values)

    async def _are_off(self, connection: AsyncConnection, account: UUID) -> bool:
        return bool((await connection.execute(select(self._codes.wrong.are_off(literal(account))))).scalar_one())


def _proved(right: Attempt) -> list[Event]:
    """Repeated at each login until users has said that the address is verified: an event may be late. A right code
    proves the address that it went to: a changed one has another epoch.
    """
    if right.email_verified:
        return []
    facts = {"account_id": right.account, "email": right.email, "session_epoch": right.epoch}
    return [AddressProved(**facts, occurred_at=right.now)]


async def account_of(connection: AsyncConnection, challenge_id: UUID) -> UUID | None:
    query = select(challenges.c.account_id).where(challenges.c.id == challenge_id)
    account: UUID | None = (await connection.execute(query)).scalar_one_or_none()
    return account
