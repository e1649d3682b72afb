"""Auth and users on one bus and one database, as they are composed in production, and somebody who is logged in."""

from __future__ import annotations

import pytest

from services.auth.tokens.keys import KeyRing
from tests.composed import AuthApp, Keys, UsersApp, auth_app, bus, inbox, jwks_url, keys, strong_hashes, users_app
from tests.forging import Signer
from tests.inbox import Inbox
from tests.security.doors import Doors
from tests.security.somebody import LoggedIn, log_in

__all__ = ("auth_app", "bus", "inbox", "jwks_url", "keys", "strong_hashes", "users_app")


@pytest.fixture
def forger(keys: Keys) -> Signer:
    """Signs with the very key of auth: what it makes is refused for its content or not at all."""
    key = KeyRing(keys.folder).signing_key()
    return Signer(key.kid, key.private)


@pytest.fixture
def doors(auth_app: AuthApp, users_app: UsersApp) -> Doors:
    return Doors(auth_app, users_app)


@pytest.fixture
async def person(inbox: Inbox, auth_app: AuthApp, users_app: UsersApp) -> LoggedIn:
    """Holds a genuine token of each kind."""
    return await log_in(auth_app, users_app)
