"""What a process asks of Postgres, counted: a number that does not depend on how fast the machine is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from shared.database.pool import Database


@contextmanager
def statements_of(database: Database) -> Iterator[list[str]]:
    """The statements that are executed in the block, each as its verb and its table."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        verb = words[0]
        # The last: "EXTRACT(epoch FROM …)" has one too.
        table = statement.rpartition("FROM ")[2].split()[0] if verb in ("SELECT", "DELETE") else words[1]
        seen.append(f"{verb} {table}")

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)
