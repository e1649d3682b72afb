"""Expiry is judged by the database's clock, so a test that wants time to have passed moves the moments back."""

from __future__ import annotations

from tests.servers.databases import connected
from tests.stacks.stack import Person, Stack

_SHIFTS = (
    """UPDATE auth.challenges SET created_at = created_at - $2, sent_at = sent_at - $2, expires_at = expires_at - $2
        WHERE account_id = $1""",
    """UPDATE auth.refresh_tokens SET used_at = used_at - $2, expires_at = expires_at - $2
        WHERE session_id IN (SELECT id FROM auth.sessions WHERE account_id = $1)""",
    """UPDATE auth.sessions SET auth_time = auth_time - $2, expires_at = expires_at - $2
        WHERE account_id = $1""",
)
_SHIFT_WAIT = """UPDATE auth.login_failures SET wait_until = wait_until - $2
    WHERE name_hash = sha256(convert_to($1, 'UTF8'))"""


async def seconds_pass(stack: Stack, person: Person, seconds: float) -> None:
    """For everything that auth keeps of this person. What is written inside a token stays as it is."""
    async with connected(stack.auth_database_url) as database, database.transaction():
        interval = await database.fetchval("SELECT make_interval(secs => $1)", seconds)
        for shift in _SHIFTS:
            await database.execute(shift, person.id, interval)
        await database.execute(_SHIFT_WAIT, person.username, interval)
