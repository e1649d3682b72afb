"""The read model is behind while its consumer is dead for longer than a login waits, and until what waited has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.auth.accounts.read_model_watch import ReadModelWatch
from shared.messaging.bus import Delivery
from tests.recording import Recorder

PATIENCE = 0.25
CATCHES_UP = 10.0  # twice the longest pause of the relay that has it


class Consumer:
    """Dead or alive, as seen by a watch on a clock of its own."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lives = True
        self.watch = ReadModelWatch(lambda: self.lives, patience=PATIENCE, clock=lambda: self.now)

    def pass_(self, seconds: float) -> bool:
        """Whether it is behind after so many."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            self.watch.look()
        return self.watch.behind


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


def test_it_is_not_while_its_consumer_lives(consumer: Consumer) -> None:
    assert not consumer.pass_(60)


def test_a_death_that_is_shorter_than_a_login_waits_is_none(consumer: Consumer) -> None:
    consumer.lives = False
    assert not consumer.pass_(PATIENCE)
    consumer.lives = True
    assert not consumer.pass_(1)


def test_it_is_from_then_on_and_for_as_long_as_the_death_lasts(consumer: Consumer) -> None:
    consumer.lives = False
    assert consumer.pass_(PATIENCE + 0.1)
    assert consumer.pass_(3600)


def test_it_is_until_what_has_waited_has_had_the_time_to_arrive(consumer: Consumer) -> None:
    consumer.lives = False
    consumer.pass_(60)
    consumer.lives = True
    assert consumer.pass_(CATCHES_UP - 0.2)
    assert not consumer.pass_(0.4)


def test_one_that_has_never_lived_is_dead(consumer: Consumer) -> None:
    consumer.lives = False
    assert consumer.pass_(PATIENCE + 0.1)


# --- how late it is


def test_it_is_as_late_as_the_latest_change_of_the_last_minute(consumer: Consumer) -> None:
    consumer.watch.note(40)
    consumer.watch.note(3)
    consumer.pass_(59)
    assert consumer.watch.lag == 40
    consumer.pass_(2)
    assert consumer.watch.lag < 1
    consumer.watch.note(3)
    assert consumer.watch.lag == 3


def test_without_a_consumer_it_is_later_every_second_and_then_on_time_again(consumer: Consumer) -> None:
    consumer.lives = False
    consumer.pass_(50)
    assert consumer.watch.lag == pytest.approx(50)
    consumer.lives = True
    consumer.pass_(1)
    assert consumer.watch.lag < 1


async def test_a_change_tells_by_its_publication_how_late_it_is(consumer: Consumer) -> None:
    handle = consumer.watch.noting(Recorder())
    published_at = datetime.now(UTC) - timedelta(seconds=90)
    await handle(
        Delivery(routing_key="a", body=b"", event_id="1", correlation_id="-", attempt=1, published_at=published_at)
    )
    assert consumer.watch.lag == pytest.approx(90, abs=10)
