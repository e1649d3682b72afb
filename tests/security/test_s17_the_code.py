"""S17: a code is any of a million, from the system's CSPRNG; six ASCII digits in a JSON string and no other characters.

But blanks and hyphens: as somebody pastes them they are dropped (tests/integration/auth/test_verify_otp.py).
"""

from __future__ import annotations

import math
import random
import secrets
from collections import Counter
from collections.abc import Callable, Sequence

import asyncpg
import pytest

from services.auth.factors.codes import new_code
from tests.auth_steps import Accounts, Steps, pair
from tests.builders import full_width
from tests.composed import AUTH, AuthApp, bearer
from tests.integration.auth.conftest import accounts, sql, steps

__all__ = ("accounts", "sql", "steps")

MILLION = 1_000_000
CODES = 20_000
# Four of these are looked at: what is truly uniform fails less often than once in 10^9 runs.
CHANCE = 1e-10

ENOUGH_BYTES = 20  # RFC 4226 section 4, R6

ARABIC_INDIC = {ord("0") + digit: 0x660 + digit for digit in range(10)}
MATHEMATICAL = {ord("0") + digit: 0x1D7CE + digit for digit in range(10)}
SPELLINGS: dict[str, Callable[[str], object]] = {
    "full width": full_width,
    "Arabic-Indic": lambda code: code.translate(ARABIC_INDIC),
    "mathematical": lambda code: code.translate(MATHEMATICAL),
    "one of them full width": lambda code: code[:5] + full_width(code[5]),
    "a zero-width space within": lambda code: f"{code[:3]}\u200b{code[3:]}",
    "a space for a digit": lambda code: f"{code[:5]} ",
    "another digit behind a line feed": lambda code: f"{code}\n0",
    "NUL after": lambda code: f"{code}\0",
    "a sign": lambda code: f"+{code}",
    "a sign for a digit": lambda code: f"-{code[1:]}",
    "five digits": lambda code: code[:5],
    "seven digits": lambda code: f"0{code}",
    "an underscore": lambda code: f"{code[:3]}_{code[3:]}",
    "a point": lambda code: f"{code}.",
    "nothing": lambda _: "",
    "a number": int,
    "a fraction": float,
    "a list": lambda code: [code],
    "an object": lambda code: {"otp": code},
    "true": lambda _: True,
    "null": lambda _: None,
}


def by_chance(numbers: Sequence[int], kinds: int) -> float:
    """How often chance spreads so many numbers over so many kinds as unevenly as these, or more so: Pearson's test."""
    counts, expected = Counter(numbers), len(numbers) / kinds
    return beyond(sum((counts[kind] - expected) ** 2 / expected for kind in range(kinds)), kinds - 1)


def beyond(chi_square: float, freedom: int) -> float:
    """The tail of the distribution, in closed form (Abramowitz and Stegun, 26.4.4 and 26.4.5)."""
    half = chi_square / 2
    powers = (freedom / 2 - step for step in range(1, freedom // 2 + 1))
    terms = [math.exp(power * math.log(half) - half - math.lgamma(power + 1)) for power in powers]
    return math.fsum(terms) + (math.erfc(math.sqrt(half)) if freedom % 2 else 0.0)


def is_uniform(source: Callable[[], str]) -> bool:
    """Any three neighbouring digits are as likely as any other three."""
    codes = [int(source()) for _ in range(CODES)]
    views = [[code // power % 1000 for code in codes] for power in (1, 10, 100, 1000)]
    return all(by_chance(view, 1000) > CHANCE for view in views)


@pytest.mark.parametrize(("freedom", "chi_square"), [(1, 10.828), (2, 13.816), (9, 27.877), (10, 29.588)])
def test_the_measure_of_chance_is_that_of_the_printed_tables(freedom: int, chi_square: float) -> None:
    assert beyond(chi_square, freedom) == pytest.approx(0.001, rel=0.001)


def test_codes_are_uniform() -> None:
    assert is_uniform(new_code)


BIASED: dict[str, Callable[[], str]] = {
    "without leading zeros": lambda: str(100_000 + secrets.randbelow(900_000)),
    "the remainder of twenty bits": lambda: f"{secrets.randbits(20) % MILLION:06}",
    "never twice the same digit": lambda: "".join(secrets.SystemRandom().sample("0123456789", 6)),
    "without a digit that is misread": lambda: "".join(secrets.choice("023456789") for _ in range(6)),
    "even": lambda: f"{secrets.randbelow(MILLION // 2) * 2:06}",
}


@pytest.mark.parametrize("biased", BIASED)
def test_the_same_look_finds_codes_that_are(biased: str) -> None:
    assert not is_uniform(BIASED[biased])


def test_codes_are_six_ascii_digits_and_keep_their_leading_zeros() -> None:
    codes = [new_code() for _ in range(2000)]

    assert [code for code in codes if len(code) != 6 or not set(code) <= set("0123456789")] == []
    assert any(code.startswith("0") for code in codes)  # of as many without bias none does once in 10^91


def test_codes_do_not_repeat_more_than_chance_has_it() -> None:
    codes = [new_code() for _ in range(2000)]

    assert len(codes) - len(set(codes)) < 20  # two pairs are to be expected


def test_all_that_makes_a_code_comes_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """When that says always the same, all codes are the same: no clock, no counter and no other source is in it."""
    asked: list[int] = []

    def constant(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    monkeypatch.setattr(random, "_urandom", constant)  # of SystemRandom, which `secrets` and pyotp use

    assert len({new_code() for _ in range(3)}) == 1
    assert sum(asked) / 3 >= ENOUGH_BYTES


def test_a_seed_that_is_known_tells_no_code() -> None:
    state = random.getstate()
    try:
        drawn = []
        for _ in range(2):
            random.seed(1)
            drawn.append([new_code() for _ in range(5)])
    finally:
        random.setstate(state)

    assert drawn[0] != drawn[1]


async def test_leading_zeros_are_kept_all_the_way(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.auth.factors.challenges.new_code", lambda: "000042")

    login = await steps.begin(await accounts.new(is_2fa=True))

    assert login.code == "000042"
    assert (await auth_app.verify_otp(login.temporary, "42")).status_code == 422
    pair(await auth_app.verify_otp(login.temporary, "000042"))


async def test_the_right_code_in_another_spelling_is_refused_and_costs_no_attempt(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, sql: asyncpg.Connection
) -> None:
    login = await steps.begin(await accounts.new(is_2fa=True))

    for name, spelt in SPELLINGS.items():
        answer = await auth_app.http.post(
            f"{AUTH}/verify-otp", headers=bearer(login.temporary), json={"otp": spelt(login.code)}
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request"), name
    assert await sql.fetchval("SELECT attempts FROM challenges") == 0
    pair(await auth_app.verify_otp(login.temporary, login.code))
