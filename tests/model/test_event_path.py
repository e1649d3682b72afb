"""The event path keeps its promises under every order of faults that Hypothesis thinks of; and a mistake is found."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.model.faulty_event_path import FaultyEventPath
from tests.model.known_bad import KNOWN_BAD, KnownBad
from tests.model.simulated_world import real_code_in_a_simulated_world
from tests.model.walks import found, holds


@pytest.fixture(autouse=True)
def _simulated_world() -> Iterator[None]:
    with real_code_in_a_simulated_world() as FaultyEventPath.log:
        yield


def test_no_order_of_faults_loses_a_code_or_breaks_another_promise() -> None:
    holds(FaultyEventPath, walks=100)


@pytest.mark.long
def test_no_order_of_faults_does_on_many_walks() -> None:
    holds(FaultyEventPath, walks=3000)


@pytest.mark.long
@pytest.mark.parametrize("variant", KNOWN_BAD, ids=lambda variant: variant.name)
def test_the_same_walks_find_the_mistake_in(variant: KnownBad) -> None:
    with variant.switched_on():
        violated = found(FaultyEventPath, walks=800)

    assert violated is not None
    assert violated.invariant in variant.breaks, str(violated)
