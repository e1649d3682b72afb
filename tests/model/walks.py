"""How many walks Hypothesis takes through a state machine, and of what a walk can be found guilty.

`MODEL_SEED` draws others; `pytest -m long tests/model` takes many more.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import FlakyFailure
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

SEED = int(os.environ.get("MODEL_SEED", "1"))
STEPS = 15


class Violated(AssertionError):
    def __init__(self, invariant: str, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


def holds(machine: type[RuleBasedStateMachine], *, walks: int, steps: int = STEPS) -> None:
    """Raises what the shortest walk violates that Hypothesis makes of the first that does, its steps in the notes."""
    _run(machine, walks, steps, Phase.generate, Phase.shrink)


def found(machine: type[RuleBasedStateMachine], *, walks: int, steps: int = STEPS) -> Violated | None:
    """What the first walk violates that does. It is not shortened: that takes longer than to find it."""
    try:
        _run(machine, walks, steps, Phase.generate)
    except Violated as violated:
        return violated
    except FlakyFailure as flaky:  # what Postgres decides need not be the same the second time
        return next(each for each in flaky.exceptions if isinstance(each, Violated))
    return None


def _run(machine: type[RuleBasedStateMachine], walks: int, steps: int, *phases: Phase) -> None:
    chosen = settings(
        max_examples=walks,
        stateful_step_count=steps,
        phases=phases,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(SEED)(machine), settings=chosen)
