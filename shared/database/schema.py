"""Whether a service's database can be reached and has the tables and columns that this version reads."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog
from sqlalchemy import MetaData, false, select
from sqlalchemy.exc import SQLAlchemyError

from shared.database.pool import Database, sqlstate

log = structlog.get_logger()

_SECONDS: Final = 2.0


class Schema:
    def __init__(self, database: Database, metadata: MetaData) -> None:
        self._database = database
        # It reads no row; Postgres refuses it if a table, a column or the right to read one is missing.
        self._every_column = select(*(select(each).where(false()).exists() for each in metadata.sorted_tables))

    async def is_ready(self) -> bool:
        try:
            async with asyncio.timeout(_SECONDS):
                await self._database.read(self._every_column)
        except (SQLAlchemyError, OSError) as error:
            log.warning("database not ready", error=type(error).__name__, sqlstate=sqlstate(error))
            return False
        return True
