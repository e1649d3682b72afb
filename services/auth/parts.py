"""What is written in one statement with something else (`WITH`), so that both need one round trip and one commit.

Statements of a login are made once, at start-up or at the first use: it takes SQLAlchemy longer to build one than
Postgres to run it. Their values come with each use, by the names of their parameters. None of these is the name of a
column: SQLAlchemy would write the value into that column of whatever the statement changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import CTE


@dataclass(frozen=True, slots=True)
class Part:
    """Parts whose `statements` are the same make one statement, whatever their `values`."""

    statements: tuple[CTE, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def __add__(self, other: Part) -> Part:
        return Part(self.statements + other.statements, {**self.values, **other.values})


NOTHING = Part()
