"""Second factors of the accounts of the bench, straight into the database, and what their owners send."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pyotp
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from login2fa_testing import AuthenticatorApp, SoftwarePasskey
from login2fa_testing.webauthn_bytes import new_key_data
from shared.sealing import Sealer
from tests import edge_keys
from tests.bench.loading import request
from tests.bench.people import account_id

RP_ID, ORIGIN = "localhost", "http://localhost:8201"

_AUTH = "/api/v1/auth"
_BEFORE_KEY = 18  # bytes of attested data before the id of a credential: AAGUID and length


@dataclass
class AppCodes:
    """The second step by app. `secrets`: base32, by the number of a request."""

    secrets: list[str]

    def __call__(self, number: int, answer: bytes) -> bytes:
        code = AuthenticatorApp(self.secrets[number]).code()
        return request("POST", f"{_AUTH}/verify-totp", bearer=_body(answer)["temporary_token"], body={"otp": code})


@dataclass
class PasskeyAnswers:
    """Answers of a browser. `keys`: private ones, and the ids of their credentials and owners."""

    keys: list[tuple[bytes, bytes, bytes]]
    _made: dict[int, SoftwarePasskey] = field(default_factory=dict)

    def __call__(self, number: int, answer: bytes) -> bytes:
        asked = _body(answer)
        credential = self.passkey(number).answer(asked["options"])
        return request("POST", f"{_AUTH}/passkey", body={"ceremony": asked["ceremony"], "credential": credential})

    def passkey(self, number: int) -> SoftwarePasskey:
        """A synced one: it counts nothing, so its owner may log in twice at once."""
        if number not in self._made:
            made, (private, made_id, handle) = SoftwarePasskey(ORIGIN, synced=True), self.keys[number]
            made.private_key = load_der_private_key(private, None)  # type: ignore[assignment] # it was one of P-256
            made.credential_id, made.user_handle, made.rp_id = made_id, handle, RP_ID
            self._made[number] = made
        return self._made[number]

    def public_key(self, number: int) -> bytes:
        """In COSE, as the API keeps it."""
        passkey = self.passkey(number)
        data = new_key_data(passkey.credential_id, passkey.private_key.public_key())
        return data[_BEFORE_KEY + len(passkey.credential_id) :]


def _body(answer: bytes) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return body


@asynccontextmanager
async def apps(connection: asyncpg.Connection, numbers: range) -> AsyncIterator[AppCodes]:
    """Each of these accounts has one inside the block."""
    sealer = Sealer([edge_keys.FACTOR_SEALING])
    secrets = [pyotp.random_base32() for _ in numbers]
    rows = [
        (account_id(number), sealer.seal(secret, f"{account_id(number)}:totp"))
        for number, secret in zip(numbers, secrets, strict=True)
    ]
    insert = (
        "INSERT INTO auth.totp (id, account_id, sealed_secret, name, confirmed_at) VALUES ($1, $1, $2, 'app', now())"
    )
    async with _enrolled(connection, {number: _handle(number) for number in numbers}, "totp"):
        await connection.executemany(insert, rows)
        yield AppCodes(secrets)


@asynccontextmanager
async def passkeys(connection: asyncpg.Connection, numbers: range) -> AsyncIterator[PasskeyAnswers]:
    """Each of these accounts has one inside the block."""
    answers = PasskeyAnswers([(*_new_key(), _handle(number)) for number in numbers])
    rows = [
        (account_id(number), answers.passkey(place).credential_id, answers.public_key(place))
        for place, number in enumerate(numbers)
    ]
    insert = (
        "INSERT INTO auth.passkeys"
        " (id, account_id, credential_id, public_key, sign_count, synced, transports, aaguid, name)"
        " VALUES ($1, $1, $2, $3, 0, true, '{internal}', '00000000-0000-0000-0000-000000000000', 'key')"
    )
    async with _enrolled(connection, {number: _handle(number) for number in numbers}, "passkey"):
        await connection.executemany(insert, rows)
        yield answers


def _new_key() -> tuple[bytes, bytes]:
    made = SoftwarePasskey(ORIGIN)
    return made.private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()), made.credential_id


def _handle(number: int) -> bytes:
    return account_id(number).bytes.rjust(32)


@asynccontextmanager
async def _enrolled(connection: asyncpg.Connection, handles: Mapping[int, bytes], method: str) -> AsyncIterator[None]:
    """Other rows want accounts without factors: at the end there are none."""
    accounts: list[UUID] = [account_id(number) for number in handles]
    await connection.execute(
        "INSERT INTO auth.factors (account_id, user_handle, methods)"
        " SELECT *, $3::text[] FROM unnest($1::uuid[], $2::bytea[])",
        accounts, list(handles.values()), [method],
    )  # fmt: skip
    try:
        yield
    finally:
        await connection.execute("DELETE FROM auth.factors; DELETE FROM auth.totp; DELETE FROM auth.passkeys")
