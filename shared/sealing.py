"""Sealing of the secret fields of an event: authenticated encryption, bound to its place.

Fernet (AES-128-CBC with HMAC-SHA256, from `cryptography`). The context, which names the field, its event
and what it is true of, is encrypted with the value and compared on opening: a ciphertext opens nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class Unsealable(Exception):
    """Tampered with, moved from another event, or sealed with a key that is not (or no longer) listed."""


class Sealer:
    """Seals with the first key, opens with any.

    To rotate, add the new key as the last one of all who open, then make it the first of all who seal, and drop the
    old one when nothing is left that was sealed with it. In another order a message meets a reader without its key.

    Keys are as `Fernet.generate_key()` makes them: 32 bytes, URL-safe base64.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    @classmethod
    def of(cls, keys: Sequence[SecretStr]) -> Self:
        return cls([key.get_secret_value() for key in keys])

    def seal(self, value: str, context: str) -> str:
        return self._fernet.encrypt(json.dumps([context, value]).encode()).decode()

    def open(self, sealed: str, context: str) -> str:
        """Raises `Unsealable`."""
        try:
            found, value = json.loads(self._fernet.decrypt(sealed.encode()))
        except (InvalidToken, ValueError) as error:
            raise Unsealable(type(error).__name__) from None
        if found != context:
            raise Unsealable("sealed for another event")
        return str(value)
