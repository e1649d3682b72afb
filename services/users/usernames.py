"""A username in the form of an address is the account's own address: nobody logs in, or is shown, as somebody else's.

It also keeps a stranger from blocking the registration of an address by taking it as a username.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.users.problems import UsernameNotOwn
from shared.mail_address import AddressInvalid, one_address
from shared.names import canonical


def refuse_foreign(username: str, *, email: str) -> None:
    """Raises `UsernameNotOwn`. `email` is normalised; every form of @ that Unicode makes into one counts as one."""
    if not is_own(username, email=email):
        raise UsernameNotOwn


def is_own(username: str, *, email: str) -> bool:
    key = canonical(username)
    return "@" not in key or canonical(email) in {key, canonical(_in_ascii(key))}


def followed(changes: Mapping[str, Any], *, username: str, email: str) -> dict[str, Any]:
    """The changes of an account with these names: a username that was the address follows to the new one.

    Raises `UsernameNotOwn` if the account's username would be in the form of another address.
    """
    after = dict(changes)
    if not {"username", "email"} & after.keys():
        return after
    new_email = after.get("email", email)
    if "username" not in after and not is_own(username, email=new_email):
        after["username"] = new_email
    refuse_foreign(after.get("username", username), email=new_email)
    return after


def _in_ascii(address: str) -> str:
    """With an international domain as an account's address has it; as it is, if it is no address."""
    try:
        return one_address(address, reserved=True)
    except AddressInvalid:
        return address
