"""The addresses from which an account has logged in before, stored as HMACs under a server key."""

from __future__ import annotations

import hashlib
import hmac

from services.auth.settings import AuthSettings
from shared.client_address import network_of, told_apart


class KnownAddresses:
    def __init__(self, settings: AuthSettings) -> None:
        self._peppers = [pepper.get_secret_value().encode() for pepper in settings.otp_peppers]

    def hashed(self, address: str) -> bytes:
        """IPv6: hashes the network, since one client may use any address in it."""
        return self.all_hashed(address)[0]

    def shares(self, address: str) -> list[bytes]:
        """Shares of the hashing queue, the same as at a login by password; none if the client is unknown."""
        return [self.hashed(address)] if told_apart(address) else []

    def all_hashed(self, address: str) -> list[bytes]:
        # Codes use the same keys; the prefix separates the two.
        message = b"address:" + network_of(address).encode()
        return [hmac.digest(pepper, message, hashlib.sha256) for pepper in self._peppers]
