"""Refuses short, own-name, common and stolen passwords; no rules of composition (NIST SP 800-63B-4 3.1.1.2)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Row

from services.users.breach_filter import BreachFilter
from services.users.problems import PasswordTooWeak
from services.users.schemas import RegistrationIn
from shared.names import canonical
from shared.passwords.hashing import normalised

_LIST = Path(__file__).with_name("common_passwords.txt")


def refuse_weak(
    password: str, owner: RegistrationIn | Row[Any], *, min_length: int, breached: BreachFilter | None
) -> None:
    """Raises `PasswordTooWeak`, with the reason."""
    # Both lengths: normalisation may turn several characters into one, or one into several.
    if min(len(password), len(normalised(password))) < min_length:
        raise PasswordTooWeak(f"at least {min_length} characters long")
    same = canonical(password)
    if same in {canonical(name) for name in _own_names(owner)}:
        raise PasswordTooWeak("something else than your own name or address")
    if same in _common():
        raise PasswordTooWeak("less common: this one is among the first that are guessed")
    if breached is not None and breached.holds(password):
        raise PasswordTooWeak("another one: this one is in a list of stolen passwords")


def _own_names(owner: RegistrationIn | Row[Any]) -> list[str]:
    name, lastname = owner.name, owner.lastname
    address = (owner.email, owner.email.partition("@")[0])
    return [*address, owner.username, name, lastname, f"{name} {lastname}", f"{name}{lastname}"]


@cache
def _common() -> frozenset[str]:
    lines = _LIST.read_text().splitlines()
    return frozenset(canonical(line) for line in lines if line and not line.startswith("#"))
