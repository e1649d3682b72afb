"""Parameters of statements that are executed with values by name (services.auth.parts)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from services.auth import tables as auth
from services.users import tables as users

SERVICES = Path(__file__).parents[2] / "services"


@pytest.mark.parametrize(("service", "metadata"), [("auth", auth.metadata), ("users", users.metadata)])
def test_no_parameter_is_named_like_a_column_into_which_its_value_would_be_written(
    service: str, metadata: MetaData
) -> None:
    columns = {column.name for table in metadata.tables.values() for column in table.columns}
    sources = [path.read_text() for path in (SERVICES / service).rglob("*.py")]
    parameters = {name for source in sources for name in re.findall(r'bindparam\(\s*"(\w+)"', source)}

    assert parameters  # it looks where they are
    assert not parameters & columns
