"""Who logs in: people with accounts, and the tokens that they get."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with an account; by default a new one each time.

    `email`, `username` (the address, unless given), `password`, `name` and `lastname` are as they are registered;
    `is_2fa` is whether a login asks for a code, `is_admin` whether the account has an administrator's rights. `id` is
    the account's UUID, once it is registered: `sub` of its tokens, and `X-Auth-Subject`.
    """

    email: str = field(default_factory=lambda: f"ann.{secrets.token_hex(6)}@example.org")
    username: str = ""
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12), repr=False)
    name: str = "Ann"
    lastname: str = "Lee"
    is_2fa: bool = False
    is_admin: bool = False
    id: str = ""

    def __post_init__(self) -> None:
        if not self.username:
            object.__setattr__(self, "username", self.email)


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """`access` is good for an hour; `refresh` for 30 days, and for one use. Both are JWTs, as text."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Self:
        return cls(access=answer["access_token"], refresh=answer["refresh_token"])


# The accounts that a stack for development starts with.
DEMO_ADMIN = Person(
    email="rs.smith@test.com",
    password="testtest11&@admin",  # noqa: S106 - published with the product, for development only
    name="Robert",
    lastname="Smith",
    is_2fa=True,
    is_admin=True,
)
DEMO_CUSTOMER = Person(
    email="dv.gahan@test.com",
    password="testtest11&@",  # noqa: S106 - the same
    name="Dave",
    lastname="Gahan",
)
