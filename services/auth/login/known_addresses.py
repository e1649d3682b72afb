"""The addresses from which an account has logged in before, stored as HMACs under a server key."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Exists, any_, exists, func

from services.auth.settings import AuthSettings
from services.auth.tables import familiar_addresses, identities
from shared.client_address import network_of


class KnownAddresses:
    def __init__(self, settings: AuthSettings) -> None:
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]
        self._lifetime = timedelta(seconds=settings.familiar_address_lifetime)

    def hashed(self, address: str) -> bytes:
        """IPv6: hashes the network, since one client may use any address in it."""
        return _hmac(self._peppers[0], address)

    def all_hashed(self, address: str) -> list[bytes]:
        return [_hmac(pepper, address) for pepper in self._peppers]

    def familiar(self, username_key: ColumnElement[str], here: ColumnElement[Any]) -> Exists:
        return exists().where(
            familiar_addresses.c.account_id == identities.c.id,
            familiar_addresses.c.address_hash == any_(here),
            familiar_addresses.c.last_at > func.now() - self._lifetime,
            identities.c.username_key == username_key,
            ~identities.c.deleted,
        )


def _hmac(pepper: bytes, address: str) -> bytes:
    # Codes use the same keys; the prefix separates the two.
    return hmac.digest(pepper, b"address:" + network_of(address).encode(), hashlib.sha256)
