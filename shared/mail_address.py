"""Mail addresses for users and notifier: ASCII only, as few servers accept others (RFC 6531) and codes get lost."""

from __future__ import annotations

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# No public mail goes there (RFC 2606, 6761, 6762, and ICANN for `internal`), but mail in companies and tests does.
RESERVED = ("test", "example", "local", "internal", "localhost")

RESERVED_DOMAINS = (
    "Take addresses at `.test`, `.example`, `.local`, `.internal` and `localhost`; the same for users and notifier"
)

# The library's documented way to allow them. It still refuses the rest (`invalid`, `onion`, `arpa`).
for _name in RESERVED:
    if _name in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_name)

_ENDINGS = tuple(f".{name}" for name in RESERVED)


class AddressInvalid(Exception):
    """The message does not contain the address."""


def one_address(given: str, *, reserved: bool, strict: bool = False) -> str:
    """The normalised address. `strict`: at most 64 octets before @ (RFC 5321 4.5.3.1.1). Raises `AddressInvalid`."""
    try:
        checked = validate_email(
            given, allow_smtputf8=False, strict=strict, check_deliverability=False, globally_deliverable=False
        )
    except EmailNotValidError:
        raise AddressInvalid("not one mail address") from None
    address = checked.ascii_email or checked.normalized
    if "=?" in address:  # RFC 2047: mail programs decode it to an unchecked address
        raise AddressInvalid("a part of it would be decoded by mail programs")
    if not reserved and f".{address.rpartition('@')[2]}".casefold().endswith(_ENDINGS):
        raise AddressInvalid("at a reserved domain, which MAIL_RESERVED_DOMAINS=false refuses")
    return address
