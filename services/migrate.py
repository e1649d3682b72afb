"""Runs the migrations of one service."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from shared.database.migrations import upgrade

Service = Literal["auth", "users"]


async def migrate(service: Service, url: str) -> None:
    """`url` logs in as the role `migrator`. Raises `shared.database.migrations.SchemaRefused`."""
    await upgrade(url, Path(__file__).parent / service / "migrations", schema=service)
