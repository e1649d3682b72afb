"""Proves that the owner asks for a new password: by a recent login or by the current password."""

from __future__ import annotations

from services.users.callers import Caller, Users
from services.users.guesses import PASSWORDS
from services.users.problems import CurrentPasswordWrong
from shared.web.bearer import TokenNotValid


def require_presence(caller: Caller, proven_by: str | None) -> None:
    """Raises `SecondFactorRequired`; `CurrentPasswordWrong`, also when the password has been changed since. `proven_by`
    is from `prove`.
    """
    caller.require_own_second_factor()
    present = caller.is_recent() if proven_by is None else caller.account.password_hash == proven_by
    if not present:
        raise CurrentPasswordWrong


async def prove(users: Users, known: Caller, current_password: str | None) -> str | None:
    """Returns the hash that a given password matched. Raises `SecondFactorRequired`, `CurrentPasswordWrong`,
    `TooManyGuesses`, `TokenNotValid`.
    """
    known.require_own_second_factor()
    if current_password is None:
        require_presence(known, None)
        return None
    own = known.account
    await PASSWORDS.count(users.database, own.id, limit=users.settings.current_password_guesses)
    right = await users.passwords.verify(current_password, own.password_hash, users.hash_shares.holders(own.id))
    # Hashing may have waited: a thief logged out meanwhile must not learn whether the guess was right.
    if await users.known.behind(known.token) is None:
        raise TokenNotValid
    if not right:
        raise CurrentPasswordWrong
    await PASSWORDS.forgive(users.database, own.id)
    return str(own.password_hash)
