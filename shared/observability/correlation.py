"""The correlation id of a request, from HTTP to the mail, and the client's address for the audit trail."""

from __future__ import annotations

import re
from contextvars import ContextVar

from uuid_utils import uuid7

correlation_id: ContextVar[str] = ContextVar("correlation_id", default="-")
client_address: ContextVar[str] = ContextVar("client_address", default="")

_ACCEPTABLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")  # safe to repeat in a header and in a log line


def accept(offered: str | None) -> str:
    if offered is not None and _ACCEPTABLE.fullmatch(offered):
        return offered
    return str(uuid7())
