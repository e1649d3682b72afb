"""From where an account has logged in before. Of an address nothing is stored but its HMAC under a server key."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Any

from sqlalchemy import CTE, ColumnElement, Exists, LargeBinary, Uuid, any_, bindparam, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from services.auth.parts import Part
from services.auth.settings import AuthSettings
from services.auth.tables import familiar_addresses, identities
from shared.client_address import network_of

# Who logs in all day is not written down each time.
_NOTED_EVERY = timedelta(days=1)


class Addresses:
    def __init__(self, settings: AuthSettings) -> None:
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]
        self._lifetime = timedelta(seconds=settings.familiar_address_lifetime)

    def hashed(self, address: str) -> bytes:
        """Of an IPv6 address its network's: one client may choose any address in it."""
        return _hmac(self._peppers[0], address)

    def all_hashed(self, address: str) -> list[bytes]:
        """Under each server key that there has been."""
        return [_hmac(pepper, address) for pepper in self._peppers]

    def familiar(self, username_key: ColumnElement[str], here: ColumnElement[Any]) -> Exists:
        """Whether the account of this name, if there is one, has logged in from there; `here`: `all_hashed` of it."""
        return exists().where(
            familiar_addresses.c.account_id == identities.c.id,
            familiar_addresses.c.address_hash == any_(here),
            familiar_addresses.c.last_at > func.now() - self._lifetime,
            identities.c.username_key == username_key,
            ~identities.c.deleted,
        )

    def remembering(self, address: str) -> Part:
        """To be done when the session begins: who has the password alone is no owner yet."""
        return Part((_REMEMBERED,), {"from_address": self.hashed(address)})


def _remembered() -> CTE:
    """Of the `account` that the session is of."""
    account, here = bindparam("account", type_=Uuid), bindparam("from_address", type_=LargeBinary)
    lately = exists().where(
        familiar_addresses.c.account_id == account,
        familiar_addresses.c.address_hash == here,
        familiar_addresses.c.last_at >= func.now() - _NOTED_EVERY,
    )
    # Looked up first: the upsert alone locks the row, and that is a write.
    new = insert(familiar_addresses).from_select(["account_id", "address_hash"], select(account, here).where(~lately))
    return new.on_conflict_do_update(index_elements=["account_id", "address_hash"], set_={"last_at": func.now()}).cte(
        "remembered"
    )


_REMEMBERED = _remembered()


def _hmac(pepper: bytes, address: str) -> bytes:
    # Codes are hashed under the same keys: the first bytes keep the two apart.
    return hmac.digest(pepper, b"address:" + network_of(address).encode(), hashlib.sha256)
