"""Takes from a restored database all that could let somebody in who has since been kept out (docs/backup.md)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.factors.totp import STEP
from services.auth.tables import outbox
from shared.messaging.events import OtpRequested

# Factors stay: they are those of the backup.
_VOID: Final = (
    "DELETE FROM auth.sessions",  # their refresh tokens and cookies, too
    "DELETE FROM auth.challenges",
    "DELETE FROM auth.trusted_devices",
)

# An app's code that was used after the backup is used; a client's clock may have been a step ahead.
_SPEND: Final = text(
    "UPDATE auth.totp SET last_step = greatest(last_step, floor(extract(epoch FROM now()) / :step) + 1)"
)

# Until users has published an account anew, nobody logs in to it.
_WAIT: Final = text("UPDATE auth.in_step SET incarnation = greatest(incarnation, :incarnation), heard = NULL")


async def void(connection: AsyncConnection, incarnation: int) -> None:
    """`incarnation`: the one that users has begun in the same transaction."""
    for statement in _VOID:
        await connection.execute(text(statement))
    await connection.execute(_SPEND, {"step": STEP})
    await connection.execute(outbox.delete().where(outbox.c.type == OtpRequested.type))
    await connection.execute(_WAIT, {"incarnation": incarnation})
