"""The correlation id: one word that follows a request from HTTP through the outbox and the broker into the mail.

And the address that the request came from, for the audit trail; empty outside a request.
"""

from __future__ import annotations

import re
from contextvars import ContextVar

from uuid_utils import uuid7

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="-")
client_address: ContextVar[str] = ContextVar("client_address", default="")

# Only what is safe to repeat in a header and in a log line.
_ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


def accept(offered: str | None) -> str:
    """The offered id where it is harmless, else a new one."""
    if offered is not None and _ACCEPTABLE.fullmatch(offered):
        return offered
    return str(uuid7())
