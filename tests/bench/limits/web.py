"""The bare endpoints beside ours: the same server (uvicorn, uvloop, httptools), and only what can't be avoided.

`python -m tests.bench.limits.web <name> <port> <settings as JSON>`
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import jwt
import uvicorn
from cryptography.hazmat.primitives import serialization
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uuid_utils.compat import uuid7

from tests.bench import workers

POOL = 10


class Message(BaseModel):
    message: bool = True


class Account(BaseModel):
    id: UUID
    email: str
    username: str
    name: str
    lastname: str
    is_2fa: bool
    is_admin: bool
    is_active: bool
    created_at: datetime
    modified_at: datetime
    full_name: str


class Pair(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"
    expires_in: int = 3600


class Refresh(BaseModel):
    refresh_token: str


@dataclass(frozen=True)
class Given:
    """What the handlers that do something need: `dsn` of the database, auth's key and how its tokens are called."""

    dsn: str = ""
    pem: str = ""
    kid: str = ""
    issuer: str = ""
    audience: str = ""


class _Keys:
    def __init__(self, given: Given) -> None:
        self.private: Any = serialization.load_pem_private_key(Path(given.pem).read_bytes(), password=None)
        self.public: Any = self.private.public_key()
        self._given = given

    def verified(self, token: str, audience: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token, self.public, algorithms=["ES256"], audience=audience, issuer=self._given.issuer
        )
        return claims

    def signed(self, typ: str, audience: str, subject: str, token_id: UUID, lifetime: timedelta, **more: Any) -> str:
        now = datetime.now(UTC)
        claims = {"iss": self._given.issuer, "aud": audience, "sub": subject, "jti": str(token_id), "iat": now}
        headers = {"kid": self._given.kid, "typ": typ}
        return jwt.encode(claims | {"exp": now + lifetime} | more, self.private, "ES256", headers)


def message(_given: Given) -> ASGIApp:
    app = FastAPI()

    @app.post("/")
    async def endpoint() -> Message:
        return Message()

    return app


def empty(_given: Given) -> ASGIApp:
    async def endpoint(_request: Request) -> Response:
        return Response(status_code=204)

    return Starlette(routes=[Route("/", endpoint)])


def page(_given: Given) -> ASGIApp:
    async def endpoint(_request: Request) -> Response:
        return Response("x" * 3000, media_type="text/html")

    return Starlette(routes=[Route("/", endpoint)])


def account(_given: Given) -> ASGIApp:
    app, now = FastAPI(), datetime.now(UTC)
    names = {"email": "user123@bench.example", "username": "user123@bench.example", "name": "Ann", "lastname": "Lee"}
    flags = {"is_2fa": False, "is_admin": False, "is_active": True}

    @app.get("/")
    async def endpoint() -> Account:
        return Account(id=UUID(int=1), **names, **flags, created_at=now, modified_at=now, full_name="Ann Lee")

    return app


_SELECT = (
    "SELECT id, email, username, name, lastname, is_2fa, is_admin, is_active, created_at, modified_at"
    " FROM users.accounts WHERE id = $1"
)


def me(given: Given) -> ASGIApp:
    """One ES256 verification and one `SELECT` by primary key."""
    app, keys = _with_pool(given), _Keys(given)

    @app.get("/")
    async def endpoint(request: Request) -> Account:
        claims = keys.verified(request.headers["authorization"][7:], given.audience)
        row = await request.app.state.pool.fetchrow(_SELECT, UUID(claims["sub"]))
        return Account(**row, full_name=f"{row['name']} {row['lastname']}")

    return app


_USE = (
    "UPDATE auth.refresh_tokens SET used_at = clock_timestamp() WHERE id = $1 AND used_at IS NULL"
    " AND expires_at > clock_timestamp() RETURNING session_id"
)
_INSERT = "INSERT INTO auth.refresh_tokens (id, session_id, parent_id, amr, expires_at)"
_BOTH = (
    f"WITH used AS ({_USE}) {_INSERT}"
    " SELECT $2, session_id, $1, '{pwd}', now() + interval '30 days' FROM used RETURNING session_id"
)


def refresh(given: Given) -> ASGIApp:
    """One ES256 verification, two signatures, one `UPDATE … RETURNING` and one `INSERT`: one statement, committed."""

    async def rotated(pool: Any, token_id: UUID, successor: UUID) -> UUID:
        session: UUID = await pool.fetchval(_BOTH, token_id, successor)
        return session

    return _refreshing(given, rotated)


def refresh_in_two(given: Given) -> ASGIApp:
    """The same, as two statements in a transaction: four round trips instead of one."""

    async def rotated(pool: Any, token_id: UUID, successor: UUID) -> UUID:
        async with pool.acquire() as connection, connection.transaction():
            session: UUID = await connection.fetchval(_USE, token_id)
            await connection.execute(
                f"{_INSERT} VALUES ($1, $2, $3, '{{pwd}}', now() + interval '30 days')", successor, session, token_id
            )
        return session

    return _refreshing(given, rotated)


def _refreshing(given: Given, rotated: Callable[..., Any]) -> ASGIApp:
    app, keys = _with_pool(given), _Keys(given)
    audience = f"{given.audience}/refresh"

    @app.post("/")
    async def endpoint(request: Request, body: Refresh) -> Pair:
        claims = keys.verified(body.refresh_token, audience)
        successor, subject = uuid7(), claims["sub"]
        session = await rotated(request.app.state.pool, UUID(claims["jti"]), successor)
        more = {"client_id": given.audience, "sid": str(session), "epoch": 0, "auth_time": claims["iat"]}
        return Pair(
            access_token=keys.signed(
                "at+jwt", given.audience, subject, uuid7(), timedelta(hours=1), amr=["pwd"], **more
            ),
            refresh_token=keys.signed("rt+jwt", audience, subject, successor, timedelta(days=30)),
        )

    return app


def _with_pool(given: Given) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(given.dsn, min_size=POOL, max_size=POOL) as pool:
            app.state.pool = pool
            yield

    return FastAPI(lifespan=lifespan)


APPS: dict[str, Callable[[Given], ASGIApp]] = {
    "message": message,
    "empty": empty,
    "page": page,
    "account": account,
    "me": me,
    "refresh": refresh,
    "refresh-in-two": refresh_in_two,
}


class _Server(uvicorn.Server):
    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        print(json.dumps({"ready": True}), flush=True)


def main() -> None:
    name, port, given = sys.argv[1:]
    workers.ends_with_its_input()
    app = APPS[name](Given(**json.loads(given)))
    config = uvicorn.Config(
        app, port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning", server_header=False
    )
    _Server(config).run()


if __name__ == "__main__":
    main()
