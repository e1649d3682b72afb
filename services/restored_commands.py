"""`login2fa restored`: after a restore of the database, before the services start again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from services.command_run import database_url, fail, load_settings, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from shared.sealing import Sealer


def restored(
    deletions: Annotated[
        typer.FileText,
        typer.Option(help="The audit trail since the backup, one JSON object a line; - is standard input"),
    ],
) -> None:
    """Put a restored database right: all sessions end, and who was deleted since is deleted again.

    MIGRATOR_DATABASE_URL, ACCOUNT_SEALING_KEYS.
    """
    from services.restored import NotMigrated, TrailInvalid, deleted_in
    from services.users.settings import AccountSealing
    from shared.sealing import Sealer

    url = database_url("MIGRATOR_DATABASE_URL")
    sealer = Sealer.of(load_settings(AccountSealing).account_sealing_keys)
    try:
        run(_put_right(url, sealer, deleted_in(deletions)))
    except TrailInvalid as error:
        fail(f"Nothing was changed. {deletions.name}: {error}")
    except NotMigrated as error:
        fail(f"Nothing was changed. {error}")
    typer.echo("All sessions have ended; every account may log in as soon as auth has heard of it")


async def _put_right(url: str, sealer: Sealer, deleted: Sequence[UUID]) -> None:
    from services.restored import put_right

    async for progress in put_right(url, sealer, deleted):
        typer.echo(progress)


def add_to(app: typer.Typer) -> None:
    app.command()(restored)
