"""A username that looks like an address must be the account's own, so nobody poses as another or blocks an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.users.problems import UsernameNotOwn
from shared.mail_address import AddressInvalid, one_address
from shared.names import canonical


def refuse_foreign(username: str, *, email: str) -> None:
    """Raises `UsernameNotOwn`. `email` is normalised; every Unicode variant of @ counts as one."""
    if not is_own(username, email=email):
        raise UsernameNotOwn


def is_own(username: str, *, email: str) -> bool:
    key = canonical(username)
    return "@" not in key or canonical(email) in {key, canonical(_in_ascii(key))}


def followed(changes: Mapping[str, Any], *, username: str, email: str) -> dict[str, Any]:
    """A username that was the address follows a change of the address. Raises `UsernameNotOwn`."""
    after = dict(changes)
    if not {"username", "email"} & after.keys():
        return after
    new_email = after.get("email", email)
    if "username" not in after and not is_own(username, email=new_email):
        after["username"] = new_email
    refuse_foreign(after.get("username", username), email=new_email)
    return after


def _in_ascii(address: str) -> str:
    try:
        return one_address(address, reserved=True)
    except AddressInvalid:
        return address
