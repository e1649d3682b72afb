"""Events of mailed codes that prove an address (services.users.codes); the rules of shared.messaging.events hold."""

from __future__ import annotations

import json
from typing import ClassVar, Literal
from uuid import UUID

from shared.messaging.events import Event, Moment, utc

CodePurpose = Literal["verify", "change", "reset", "register", "invite", "test"]


class CodeRequested(Event):
    """Users asks for delivery of a code that proves an address, sealed for `code_context` (shared.sealing).

    `verify`: the address of an account. `change`: its new address. `reset`: for a new password. `register`, `invite`:
    the account does not exist yet, so `account_id` is None. `test`: an operator's, which opens nothing. No field holds
    text of whoever asked.
    """

    type: ClassVar[str] = "users.code_requested.v1"

    code_id: UUID
    account_id: UUID | None
    email: str
    purpose: CodePurpose
    sealed_code: str
    requested_at: Moment
    expires_at: Moment

    @property
    def code_context(self) -> str:
        """The code opens only in this event, for this mailbox, purpose and expiry time."""
        ids = (str(self.event_id), str(self.code_id), str(self.account_id))
        return json.dumps(["account_code", *ids, self.email, self.purpose, utc(self.expires_at)])


class AccountCodeOutcome(Event):
    """A delivery result for the code `code_id` of a `CodeRequested`; words and order as in `OtpOutcome`.

    `said`: for a `test` alone, what the mail server said, without address and code.
    """

    type: ClassVar[str] = "notifier.account_code_outcome.v1"

    code_id: UUID
    outcome: Literal["delivered", "deferred", "given_up", "expired"]
    attempt: int
    said: str = ""
    occurred_at: Moment


class AddressProved(Event):
    """A mailed login code was right, so the owner of the account reads the mailbox `email`."""

    type: ClassVar[str] = "auth.address_proved.v1"

    account_id: UUID
    email: str
    session_epoch: int  # of that login: a later epoch may be another address's
    occurred_at: Moment
