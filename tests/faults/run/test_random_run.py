"""Half a minute of faults that nobody has chosen, while people log in. `make faults` runs longer."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.run.random_run import random_run
from tests.faults.run.world import Servers, own_servers

SECONDS = 25.0
LONGEST = 2.5  # of one fault; `make faults` has longer ones


@pytest.fixture(scope="module", params=[1, pytest.param(3, marks=pytest.mark.long)])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """With so many nodes of the broker."""
    with own_servers(request.param) as servers:
        yield servers


async def test_no_code_is_lost_whatever_happens(servers: Servers, tmp_path: Path) -> None:
    seed = secrets.randbelow(1_000_000)
    print(f"to see these faults again: make faults SEED={seed}")

    result = await random_run(servers, tmp_path, seed=seed, seconds=SECONDS, longest=LONGEST, say=print)

    print(result.text)
    assert result.wrong == []
    assert result.ledger.logins > 0
    assert result.ledger.logins_by_app > 0
    assert len(result.ledger.hurts) > 1
