"""Proves that the owner asks for a new password: by a recent login or by the current password."""

from __future__ import annotations

from dataclasses import dataclass

from services.users.callers import Caller, Users
from services.users.guesses import PASSWORDS
from services.users.problems import CurrentPasswordWrong
from shared.web.bearer import TokenNotValid


@dataclass(frozen=True, slots=True)
class Presence:
    """`proven_by`: the hash that the current password matched; None if none was given."""

    proven_by: str | None

    def still_holds(self, caller: Caller) -> None:
        """Raises `CurrentPasswordWrong`, also when the password has been changed since."""
        if self.proven_by is not None:
            if caller.account.password_hash != self.proven_by:
                raise CurrentPasswordWrong
        elif not caller.is_recent():
            raise CurrentPasswordWrong


async def prove(users: Users, known: Caller, current_password: str | None) -> Presence:
    """A given password must be right. Raises `CurrentPasswordWrong`, `TooManyGuesses`, `TokenNotValid`."""
    if current_password is None:
        presence = Presence(None)
        presence.still_holds(known)
        return presence
    own = known.account
    await PASSWORDS.count(users.database, own.id, limit=users.settings.current_password_guesses)
    right = await users.passwords.verify(current_password, own.password_hash, users.hash_shares.holders(own.id))
    # Hashing may have waited: a thief logged out meanwhile must not learn whether the guess was right.
    if await users.known.behind(known.token) is None:
        raise TokenNotValid
    if not right:
        raise CurrentPasswordWrong
    await PASSWORDS.forgive(users.database, own.id)
    return Presence(own.password_hash)
