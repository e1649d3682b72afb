"""Somebody who has registered and logged in, and tokens like theirs but for one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from tests.builders import PASSWORD, registration
from tests.composed import USERS, AuthApp, UsersApp
from tests.forging import Signer, without
from tests.polling import eventually
from tests.security.doors import ACCESS, REFRESH, TEMPORARY


@dataclass(frozen=True, kw_only=True)
class LoggedIn:
    id: str
    username: str
    tokens: Mapping[str, str]

    def like(self, kind: str, signer: Signer, **changes: Any) -> str:
        """Signed anew by `signer`, with other claims."""
        return signer.token(self.claims(kind) | changes, self.header(kind))

    def lacking(self, kind: str, signer: Signer, claim: str) -> str:
        return signer.token(without(self.claims(kind), claim), self.header(kind))

    def with_header(self, kind: str, signer: Signer, **changes: Any) -> str:
        return signer.token(self.claims(kind), self.header(kind) | changes)

    def claims(self, kind: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(self.tokens[kind], options={"verify_signature": False})
        return claims

    def header(self, kind: str) -> dict[str, Any]:
        return jwt.get_unverified_header(self.tokens[kind])


async def register(users: UsersApp, **fields: Any) -> dict[str, Any]:
    """The account, registered by HTTP."""
    answer = await users.http.post(f"{USERS}/registration", json=registration(**fields))
    assert answer.status_code == 201, answer.text
    account: dict[str, Any] = answer.json()
    return account


async def password_accepted(auth: AuthApp, username: str, password: str = PASSWORD) -> httpx.Response:
    """Auth hears of an account, and of a new password, a moment after it was answered."""

    async def accepted() -> httpx.Response:
        answer = await auth.log_in(username, password)
        assert answer.status_code == 200, answer.text
        return answer

    return await eventually(accepted)


async def log_in(auth: AuthApp, users: UsersApp) -> LoggedIn:
    """Two accounts in truth: one token is of somebody with 2FA, the others of somebody without."""
    account = await register(users)
    second = await register(users, is_2fa=True)
    pair = (await password_accepted(auth, account["username"])).json()
    challenge = (await password_accepted(auth, second["username"])).json()
    tokens = {
        ACCESS: pair["access_token"],
        REFRESH: pair["refresh_token"],
        TEMPORARY: challenge["temporary_token"],
    }
    return LoggedIn(id=account["id"], username=account["username"], tokens=tokens)
