"""One mail address, in ASCII: the users service takes what the notifier can send to, and both judge by this.

No look-up in the network, no quoted local part. An international domain is kept in its ASCII form, and a local part
must be ASCII: few mail servers take others (RFC 6531), and who registered with one would never get a code.
"""

from __future__ import annotations

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

# No mail is delivered there from the public network (RFC 2606, 6761, 6762, and ICANN for `internal`); inside a company
# and in tests it is.
RESERVED = ("test", "example", "local", "internal", "localhost")

RESERVED_DOMAINS = (
    "Take addresses at `.test`, `.example`, `.local`, `.internal` and `localhost`; the same for users and notifier"
)

# The library's own way to be told which it is to take. The rest (`invalid`, `onion`, `arpa`) it refuses.
for _name in RESERVED:
    if _name in SPECIAL_USE_DOMAIN_NAMES:
        SPECIAL_USE_DOMAIN_NAMES.remove(_name)

_ENDINGS = tuple(f".{name}" for name in RESERVED)


class AddressInvalid(Exception):
    """Its text says nothing of the address."""


def is_reserved(address: str) -> bool:
    return f".{address.rpartition('@')[2]}".casefold().endswith(_ENDINGS)


def one_address(given: str, *, reserved: bool, strict: bool = False) -> str:
    """The normalised address. Raises `AddressInvalid`.

    `reserved`: one at a reserved domain is taken. `strict`: the local part has at most 64 octets (RFC 5321 4.5.3.1.1).
    """
    try:
        checked = validate_email(
            given, allow_smtputf8=False, strict=strict, check_deliverability=False, globally_deliverable=False
        )
    except EmailNotValidError:
        raise AddressInvalid("not one mail address") from None
    address = checked.ascii_email or checked.normalized
    if "=?" in address:  # RFC 2047: mail programs decode it, to an address that nobody has checked
        raise AddressInvalid("a part of it would be decoded by mail programs")
    if not reserved and is_reserved(address):
        raise AddressInvalid("at a reserved domain, which MAIL_RESERVED_DOMAINS=false refuses")
    return address
