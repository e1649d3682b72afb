"""Accounts, sessions and tokens, as many as asked for, straight into the database; each is known by its number."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
from argon2 import PasswordHasher
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from uuid_utils.compat import uuid7

from services.auth.settings import AuthSettings
from tests.forging import Signer

PASSWORD = "correct horse battery"
AUDIENCE = "login2fa"

# So many different ones make the requests, so that nothing that remembers a few of them looks fast.
MANY = 1000

_FIELDS = AuthSettings.model_fields
HASH_PARAMETERS = {
    "memory_kib": _FIELDS["argon2_memory_kib"].default,
    "passes": _FIELDS["argon2_passes"].default,
    "lanes": _FIELDS["argon2_lanes"].default,
}

_ID = "('0190{kind:04x}-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid"
_ACCOUNT, _SESSION, _TOKEN = (_ID.format(kind=kind, number="i") for kind in range(3))
_NAME = "'user' || i || '@bench.example'"

# $1 and $2: from and to; $3 the password hash, $4 who is the first with two factors.
_ACCOUNTS = (
    f"""INSERT INTO users.accounts (id, email, email_key, username, username_key, name, lastname, password_hash, is_2fa)
        SELECT {_ACCOUNT}, {_NAME}, {_NAME}, {_NAME}, {_NAME}, 'Ann', 'Lee', $3, i >= $4
        FROM generate_series($1::bigint, $2::bigint - 1) AS i""",
    f"""INSERT INTO auth.identities (id, incarnation, version, deleted, username_key, email, password_hash, is_2fa,
                                     is_admin, is_active, session_epoch)
        SELECT {_ACCOUNT}, 1, 1, false, {_NAME}, {_NAME}, $3, i >= $4, false, true, 0
        FROM generate_series($1::bigint, $2::bigint - 1) AS i""",
)
_SESSIONS = (
    f"""INSERT INTO auth.sessions (id, account_id, epoch, amr, expires_at, last_used_at, address, user_agent)
        SELECT {_SESSION}, {_ACCOUNT}, 0, '{{pwd}}', now() + interval '30 days', now(), '127.0.0.1', 'bench/1.0'
        FROM generate_series($1::bigint, $2::bigint - 1) AS i""",
    f"""INSERT INTO auth.refresh_tokens (id, session_id, amr, expires_at)
        SELECT {_TOKEN}, {_SESSION}, '{{pwd}}', now() + interval '30 days'
        FROM generate_series($1::bigint, $2::bigint - 1) AS i""",
)


def account_id(number: int) -> UUID:
    return UUID(f"01900000-0000-7000-8000-{number:012x}")


def session_id(number: int) -> UUID:
    return UUID(f"01900001-0000-7000-8000-{number:012x}")


def username(number: int) -> str:
    return f"user{number}@bench.example"


def sampled(total: int) -> range:
    """MANY of the numbers below `total`, spread over all of them."""
    return range(0, total - total % MANY, total // MANY)


async def fill(connection: asyncpg.Connection, total: int, *, two_factor_from: int | None = None) -> None:
    """Accounts 0 to `total` - 1, each with a session and its refresh token; the password hash is nobody's yet."""
    accounts = (0, total, _hasher().hash("nobody's"), total if two_factor_from is None else two_factor_from)
    for statement in _ACCOUNTS:
        await connection.execute(statement, *accounts, timeout=600)
    for statement in _SESSIONS:
        await connection.execute(statement, 0, total, timeout=600)
    await connection.execute("VACUUM ANALYZE", timeout=600)


async def give_passwords(connection: asyncpg.Connection, numbers: range, hashes: list[str]) -> None:
    """Each of these accounts its own hash of PASSWORD."""
    ids = [account_id(number) for number in numbers]
    for table in ("users.accounts", "auth.identities"):
        await connection.execute(
            f"UPDATE {table} SET password_hash = new.hash FROM unnest($1::uuid[], $2::text[]) AS new (id, hash)"
            f" WHERE {table}.id = new.id",
            ids,
            hashes[: len(ids)],
        )


async def make_administrators(connection: asyncpg.Connection, numbers: range) -> None:
    ids = [account_id(number) for number in numbers]
    await connection.execute("UPDATE users.accounts SET is_admin = true WHERE id = ANY($1::uuid[])", ids)
    await connection.execute("UPDATE auth.identities SET is_admin = true WHERE id = ANY($1::uuid[])", ids)


def _hasher() -> PasswordHasher:
    return PasswordHasher(
        memory_cost=HASH_PARAMETERS["memory_kib"],
        time_cost=HASH_PARAMETERS["passes"],
        parallelism=HASH_PARAMETERS["lanes"],
    )


def password_hashes(kept: Path) -> list[str]:
    """MANY hashes of PASSWORD, no two alike; kept in a file, for they take a while."""
    path = kept / f"hashes-{'-'.join(map(str, HASH_PARAMETERS.values()))}.json"
    if path.exists():
        hashes: list[str] = json.loads(path.read_text())
        return hashes
    with ThreadPoolExecutor() as threads:
        hashes = list(threads.map(lambda _: _hasher().hash(PASSWORD), range(MANY)))
    path.write_text(json.dumps(hashes))
    return hashes


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Signs as auth does, with its key: `kid` is auth's name for it."""

    name: str
    signer: Signer

    @classmethod
    def of(cls, name: str, folder: Path, kid: str) -> Issuer:
        (path,) = folder.glob("*.pem")
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
        return cls(name=name, signer=Signer(kid, private))

    def access(self, number: int) -> str:
        claims = self._claims(number, AUDIENCE, uuid7(), 3600)
        claims |= {"client_id": AUDIENCE, "sid": str(session_id(number)), "epoch": 0, "amr": ["pwd"]}
        return self.signer.token(claims | {"auth_time": claims["iat"]})

    def refresh(self, number: int, token_id: UUID) -> str:
        claims = self._claims(number, f"{AUDIENCE}/refresh", token_id, 30 * 86400)
        return self.signer.token(claims, self.signer.header(typ="rt+jwt"))

    def _claims(self, number: int, audience: str, token_id: UUID, lifetime: int) -> dict[str, object]:
        now = int(time.time())
        return {
            "iss": self.name,
            "aud": audience,
            "sub": str(account_id(number)),
            "jti": str(token_id),
            "iat": now,
            "exp": now + lifetime,
        }

    async def new_refresh_tokens(self, connection: asyncpg.Connection, count: int) -> list[str]:
        """Unused ones, each good once, of MANY sessions in turn."""
        ids = [(uuid7(), number % MANY) for number in range(count)]
        expires_at = datetime.now(UTC) + timedelta(days=30)
        await connection.copy_records_to_table(
            "refresh_tokens",
            schema_name="auth",
            columns=("id", "session_id", "amr", "expires_at"),
            records=[(token_id, session_id(number), ["pwd"], expires_at) for token_id, number in ids],
        )
        return [self.refresh(number, token_id) for token_id, number in ids]
