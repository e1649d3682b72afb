"""Encrypts secret event fields with Fernet (AES-128-CBC, HMAC-SHA256). The context binds a value to its event."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr


class Unsealable(Exception):
    """Tampered with, moved from another event, or sealed with a key that is not listed."""


class Sealer:
    """Seals with the first key, opens with any. A key is 32 bytes in URL-safe base64.

    Rotate in this order, else a reader lacks the key: append the new key for all openers; move it to the front for all
    sealers; remove the old key when nothing sealed with it is left.
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
