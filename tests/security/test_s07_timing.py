"""S7: unknown user, wrong password and inactive account get one answer, in a time that tells nothing either."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.auth import app as auth_service
from services.auth.login.password import PasswordCheck
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts
from tests.builders import OTHER_PASSWORD, PASSWORD
from tests.composed import AuthApp, Keys, auth_settings, running_auth
from tests.integration.auth.conftest import accounts
from tests.security.timing import SIGNIFICANT, Samples, figures, p_value, sample, told_apart
from tests.servers.databases import Databases

__all__ = ("accounts",)

pytestmark = pytest.mark.usefixtures("strong_hashes")

UNKNOWN, WRONG, INACTIVE = KINDS = ("unknown user", "wrong password", "inactive account")
NAMES = 50  # of each kind: six samples for a name stay below every limit of the throttle
# Of the request, not of what it was about.
OF_EACH = {"x-request-id"}


class Failing:
    """Logins that fail in each of the three ways, from an address of their own."""

    def __init__(self, auth: AuthApp) -> None:
        self._auth = auth
        self._names: dict[str, list[str]] = defaultdict(list)

    async def make(self, accounts: Accounts, names: int) -> Failing:
        # One at a time and in turns: neither length nor place in the table goes with the kind.
        for number in range(names):
            self._names[UNKNOWN].append(f"nobody-{number:04}")
            for kind, name in ((WRONG, f"active-{number:04}"), (INACTIVE, f"asleep-{number:04}")):
                await accounts.new(username=name, email=f"{name}@example.org", is_active=kind == WRONG)
                self._names[kind].append(name)
        return self

    async def once(self, kind: str, number: int) -> httpx.Response:
        """An inactive account is asked with its right password: with a wrong one it would be that."""
        names = self._names[kind]
        password = PASSWORD if kind == INACTIVE else OTHER_PASSWORD
        return await self._auth.log_in(names[number % len(names)], password, f"203.0.113.{number % 250}")

    async def sample(self, size: int, seed: int) -> Samples:
        async def once(kind: str, number: int) -> None:
            answer = await self.once(kind, number)
            assert answer.status_code == 400, answer.text

        return await sample(KINDS, size, seed, once)


def told(answer: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    """All that a client sees."""
    return answer.status_code, answer.content, [each for each in answer.headers.items() if each[0] not in OF_EACH]


async def test_the_three_get_the_same_status_body_and_headers(auth_app: AuthApp, accounts: Accounts) -> None:
    failing = await Failing(auth_app).make(accounts, 1)

    unknown, wrong, inactive = [told(await failing.once(kind, 0)) for kind in KINDS]

    assert unknown == wrong == inactive
    assert unknown[0] == 400


@pytest.mark.parametrize("kind", [WRONG, INACTIVE])
async def test_a_wait_tells_nothing_of_the_name(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, kind: str
) -> None:
    settings = auth_settings(databases, keys, throttle_free=3, throttle_first_wait=3600, throttle_longest_wait=3600)
    async with running_auth(settings, bus) as auth:
        failing = await Failing(auth).make(accounts, 1)
        answers = {each: [told(await failing.once(each, 0)) for _ in range(4)] for each in (UNKNOWN, kind)}

    for missing, existing in zip(*answers.values(), strict=True):
        assert _without_seconds(missing) == _without_seconds(existing)
    assert [each[0] for each in answers[UNKNOWN]] == [400, 400, 400, 429]


def _without_seconds(seen: tuple[int, bytes, list[tuple[str, str]]]) -> tuple[Any, ...]:
    """How long the wait still is depends on when one asks."""
    status, body, headers = seen
    return (
        status,
        body,
        [(name, value) for name, value in headers if name != "retry-after"],
        "retry-after" in dict(headers),
    )


# --- time


@pytest.fixture
async def as_shipped(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    """With the deadline that is the default, above the time of a hash; all samples come from one address."""
    settings = auth_settings(databases, keys, login_failure_deadline=0.25, throttle_address_per_hour=10_000)
    async with running_auth(settings, bus) as auth:
        yield auth


@pytest.mark.long
async def test_the_times_of_the_three_can_not_be_told_apart(as_shipped: AuthApp, accounts: Accounts) -> None:
    """Chance alone gives such a sample once in a hundred: what is seen is measured again, and a leak is seen again."""
    failing = await Failing(as_shipped).make(accounts, NAMES)
    for seed in (1, 2):
        samples = await failing.sample(300, seed)
        print(figures(samples))
        if not told_apart(samples):
            return
    raise AssertionError(figures(samples))


async def test_a_service_that_answers_at_once_and_hashes_nothing_for_nobody_is_caught(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def at_once(*, failure_deadline: float, **parts: Any) -> PasswordCheck:
        assert failure_deadline > 0
        return PasswordCheck(failure_deadline=0, **parts)

    monkeypatch.setattr(auth_service, "PasswordCheck", at_once)
    async with running_auth(auth_settings(databases, keys), bus) as leaky:
        verify = leaky.parts.passwords.verify

        async def hashes_for_accounts_only(password: str, stored: str | None, *_: Any) -> bool:
            return stored is not None and await verify(password, stored)

        monkeypatch.setattr(leaky.parts.passwords, "verify", hashes_for_accounts_only)
        samples = await (await Failing(leaky).make(accounts, 10)).sample(60, seed=1)

    caught = {pair for pair in told_apart(samples) if UNKNOWN in pair}
    assert caught == {(INACTIVE, UNKNOWN), (UNKNOWN, WRONG)}, figures(samples)


# --- the statistic


def test_samples_of_one_distribution_are_told_apart_as_often_as_is_claimed() -> None:
    chance = random.Random(1)
    rounds = [{kind: [chance.gauss(0, 1) for _ in range(100)] for kind in KINDS} for _ in range(300)]
    assert sum(1 for samples in rounds if told_apart(samples)) <= 300 * SIGNIFICANT * 3


def test_samples_a_half_of_their_spread_apart_are_told_apart() -> None:
    chance = random.Random(1)
    one, other = ([chance.gauss(mean, 1) for _ in range(300)] for mean in (0, 0.5))
    assert p_value(one, other) * 3 < SIGNIFICANT


def test_the_statistic_is_that_of_the_tables() -> None:
    """The critical distance of two samples of 300 at 5 % is 1.358 * sqrt(2 / 300)."""
    shifted = round(1.358 * (2 / 300) ** 0.5 * 300)
    assert p_value(range(300), range(shifted, 300 + shifted)) == pytest.approx(0.05, abs=0.01)
