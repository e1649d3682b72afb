"""The authenticator app; against the API: test_running.py."""

from __future__ import annotations

import base64
import itertools

import pytest

from login2fa_testing import AuthenticatorApp

SECRET = base64.b32encode(b"12345678901234567890").decode()


class Clock:
    """Stands at a moment, in seconds, and knows how often it was looked at; it may run on with each look."""

    def __init__(self, now: float, *, each_look: float = 0.0) -> None:
        self._moments = itertools.count(now, each_look)
        self.now = now

    def __call__(self) -> float:
        self.now = next(self._moments)
        return self.now


@pytest.mark.parametrize(
    ("moment", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_its_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    """RFC 6238, appendix B: the last six digits of eight."""
    assert AuthenticatorApp(SECRET, clock=Clock(moment)).code() == code


def test_it_gives_no_code_twice_and_runs_one_step_ahead_before_it_waits() -> None:
    clock = Clock(3000.0)
    app = AuthenticatorApp(SECRET, clock=clock)
    assert [app.code(), app.code()] == [app.code_of(100), app.code_of(101)]

    slow = Clock(3000.0, each_look=10.0)
    app = AuthenticatorApp(SECRET, clock=slow)
    assert [app.code() for _ in range(3)] == [app.code_of(step) for step in (100, 101, 102)]
    assert slow.now >= 101 * 30, "the third is not before the step at whose side it stands"


def test_without_drift_it_waits_for_the_next_step() -> None:
    clock = Clock(3000.0, each_look=10.0)
    app = AuthenticatorApp(SECRET, drift=0, clock=clock)

    assert [app.code(), app.code()] == [app.code_of(100), app.code_of(101)]
    assert clock.now >= 101 * 30
