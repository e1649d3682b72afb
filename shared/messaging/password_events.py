"""Events of passwords; the rules of shared.messaging.events hold."""

from __future__ import annotations

import hashlib
import json
from typing import ClassVar, Self
from uuid import UUID

from shared.messaging.events import Event, Moment
from shared.sealing import Sealer


class PasswordRehashed(Event):
    """Auth has hashed a password anew that it has just found right. `replaced`: SHA-256 of the hash that it matched, in
    hexadecimal; another one has meanwhile taken its place if they differ.
    """

    type: ClassVar[str] = "auth.password_rehashed.v1"

    account_id: UUID
    replaced: str
    sealed_password_hash: str = ""  # sealed for `hash_context` (shared.sealing)
    occurred_at: Moment

    @property
    def hash_context(self) -> str:
        """The hash opens only in this event, for this account and in the place of that hash."""
        return json.dumps(["password_rehashed", str(self.event_id), str(self.account_id), self.replaced])

    def sealed(self, password_hash: str, sealer: Sealer) -> Self:
        return self.model_copy(update={"sealed_password_hash": sealer.seal(password_hash, self.hash_context)})


def digest_of(password_hash: str) -> str:
    return hashlib.sha256(password_hash.encode()).hexdigest()
