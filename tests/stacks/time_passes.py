"""Expiry is judged by the database's clock, so a test that wants time to have passed moves the moments back."""

from __future__ import annotations

from datetime import timedelta

from tests.servers.databases import connected
from tests.stacks.stack import Person, Stack

_SHIFTS = (
    """UPDATE auth.challenges
        SET created_at = created_at - $2::interval, sent_at = sent_at - $2::interval,
            expires_at = expires_at - $2::interval
        WHERE account_id = $1""",
    """UPDATE auth.refresh_tokens
        SET used_at = used_at - $2::interval, auth_time = auth_time - $2::interval,
            expires_at = expires_at - $2::interval
        WHERE session_id IN (SELECT id FROM auth.sessions WHERE account_id = $1)""",
    """UPDATE auth.sessions
        SET began_at = began_at - $2::interval, auth_time = auth_time - $2::interval,
            expires_at = expires_at - $2::interval
        WHERE account_id = $1""",
)
_SHIFT_WAIT = """UPDATE auth.login_failures SET wait_until = wait_until - $2::interval
    WHERE name_hash = sha256(convert_to($1, 'UTF8'))"""


async def seconds_pass(stack: Stack, person: Person, seconds: float) -> None:
    """For all that auth keeps of this person, registered or not. What is written inside a token stays as it is."""
    async with connected(stack.auth_database_url) as database, database.transaction():
        interval = timedelta(seconds=seconds)
        for shift in _SHIFTS if person.id else ():
            await database.execute(shift, person.id, interval)
        await database.execute(_SHIFT_WAIT, person.username, interval)
