"""The notifier's idea of the database's clock, with clocks that are wrong, steps of them, and backlogs.

Shown by what it decides: whether a code that lives 240 s has expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from services.notifier.database_time import MOST_APART, DatabaseTime
from shared.messaging.bus import Delivery

LIFETIME = 240.0
BEGIN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


@dataclass
class Clocks:
    """`true` passes by itself nowhere: it is the database's clock. The notifier's wall clock is `wrong` by so much."""

    true: float = 0.0
    wrong: float = 0.0
    began: float = -4321.0  # of the steady clock, which begins anywhere

    def monotonic(self) -> float:
        return self.true - self.began

    def time(self) -> float:
        return BEGIN.timestamp() + self.true + self.wrong

    @property
    def database(self) -> datetime:
        return BEGIN + timedelta(seconds=self.true)


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    clocks = Clocks()
    monkeypatch.setattr("services.notifier.database_time.time", clocks)
    return clocks


def published(clocks: Clocks, *, ago: float = 0.0, fresh: bool = False, stamped: bool = True) -> Delivery:
    moment = clocks.database - timedelta(seconds=ago)
    return Delivery(
        routing_key="auth.otp_requested.v1",
        body=b"{}",
        event_id="e",
        correlation_id="c",
        attempt=1,
        fresh=fresh,
        published_at=moment if stamped else None,
    )


def takes_for_expired(database_time: DatabaseTime, clocks: Clocks, *, age: float) -> bool:
    """Of a code that was asked for `age` seconds ago."""
    expires_at = clocks.database + timedelta(seconds=LIFETIME - age)
    return expires_at <= database_time.now()


each_wrong_clock = pytest.mark.parametrize("wrong", [-86000, -300, -1, 0, 1, 300, 86000])


@each_wrong_clock
def test_with_any_clock_a_code_that_has_just_come_lives_as_long_as_it_should(clocks: Clocks, wrong: float) -> None:
    clocks.wrong = wrong
    database_time = DatabaseTime()
    clocks.true += 30

    database_time.learn(published(clocks, fresh=True))

    assert [takes_for_expired(database_time, clocks, age=age) for age in (0, 239.9, 240.1)] == [False, False, True]
    clocks.true += 100  # a retry, a slow mail server
    assert [takes_for_expired(database_time, clocks, age=age) for age in (100, 239.9, 240.1)] == [False, False, True]


@pytest.mark.parametrize("wrong", [-300, 0, 300])
@pytest.mark.parametrize("step", [-300, -3600, 300])
def test_a_step_of_the_clock_while_running_changes_nothing(clocks: Clocks, wrong: float, step: float) -> None:
    clocks.wrong = wrong
    database_time = DatabaseTime()
    database_time.learn(published(clocks, fresh=True))

    clocks.wrong += step

    assert [takes_for_expired(database_time, clocks, age=age) for age in (0, 239.9, 240.1)] == [False, False, True]


def test_a_step_before_the_first_message_changes_nothing_either(clocks: Clocks) -> None:
    database_time = DatabaseTime()

    clocks.wrong = 300

    assert [takes_for_expired(database_time, clocks, age=age) for age in (239.9, 240.1)] == [False, True]


def test_of_a_backlog_what_has_expired_is_dropped_and_what_lives_is_not(clocks: Clocks) -> None:
    """Each was published long ago; with no clock believed, each would look as if it were new."""
    database_time = DatabaseTime()
    for ago in (500, 400, 300, 239, 100, 0.5):
        database_time.learn(published(clocks, ago=ago))
        assert takes_for_expired(database_time, clocks, age=ago) == (ago >= LIFETIME)


def test_a_clock_that_is_behind_is_found_out_by_any_message(clocks: Clocks) -> None:
    clocks.wrong = -300
    database_time = DatabaseTime()

    database_time.learn(published(clocks, ago=2))

    assert takes_for_expired(database_time, clocks, age=242.1)


def test_a_clock_that_is_behind_never_makes_a_code_older_than_it_is(clocks: Clocks) -> None:
    clocks.wrong = -300
    database_time = DatabaseTime()
    for ago in (500, 100, 20, 0.01, 400):
        database_time.learn(published(clocks, ago=ago))
        assert not takes_for_expired(database_time, clocks, age=239.9)


def test_a_message_that_waited_in_secret_errs_to_the_safe_side_until_the_next(clocks: Clocks) -> None:
    database_time = DatabaseTime()

    database_time.learn(published(clocks, ago=15, fresh=True))
    assert [takes_for_expired(database_time, clocks, age=age) for age in (239.9, 254.9, 255.1)] == [False, False, True]

    database_time.learn(published(clocks))
    assert takes_for_expired(database_time, clocks, age=240.1)


@pytest.mark.parametrize("step", [-300, 300])
def test_a_step_of_the_databases_clock_is_followed_with_the_next_prompt_message(clocks: Clocks, step: float) -> None:
    database_time = DatabaseTime()
    database_time.learn(published(clocks, fresh=True))
    clocks.began += step  # as seen from the database
    clocks.true += step

    database_time.learn(published(clocks, fresh=True))

    assert [takes_for_expired(database_time, clocks, age=age) for age in (239.9, 240.1)] == [False, True]


@pytest.mark.parametrize("wrong", [-300, 300])
def test_without_stamps_the_own_clock_decides_as_it_did_before(clocks: Clocks, wrong: float) -> None:
    clocks.wrong = wrong
    database_time = DatabaseTime()

    database_time.learn(published(clocks, fresh=True, stamped=False))

    assert takes_for_expired(database_time, clocks, age=1) == (wrong > 0)


@pytest.mark.parametrize("ago", [-10 * MOST_APART, 10 * MOST_APART, -60e9, 60e9])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_stamp_that_can_not_be_ours_is_not_believed(clocks: Clocks, ago: float, fresh: bool) -> None:
    database_time = DatabaseTime()

    database_time.learn(published(clocks, ago=ago, fresh=fresh))

    assert [takes_for_expired(database_time, clocks, age=age) for age in (239.9, 240.1)] == [False, True]
