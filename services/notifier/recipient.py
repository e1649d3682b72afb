"""The address of an event, which must be one address and nothing else."""

from __future__ import annotations

import re

from email_validator import SPECIAL_USE_DOMAIN_NAMES

from shared.mail_address import RESERVED, AddressInvalid, one_address
from shared.messaging.events import MalformedEvent

# A fast path for plain addresses, which the library would accept unchanged: the library is slow.
_PLAIN_ADDRESS = re.compile(r"[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z0-9]+(?:-[a-z0-9]+)*\.)+[a-z]{2,}")
_SHORT = 64  # characters: so no part of the address is too long either
_NOT_PLAIN = tuple(f".{name}" for name in (*SPECIAL_USE_DOMAIN_NAMES, *RESERVED))


def recipient(given: str, event_type: str, *, reserved: bool) -> str:
    """Raises `MalformedEvent`: a comma or line break could add a recipient. `reserved` allows reserved domains."""
    if len(given) <= _SHORT and _PLAIN_ADDRESS.fullmatch(given) and not given.endswith(_NOT_PLAIN):
        return given
    try:
        return one_address(given, reserved=reserved)
    except AddressInvalid:
        raise MalformedEvent(f"malformed {event_type}: email") from None
