"""Which deliveries may be under way together (services.notifier.turns)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from services.notifier import turns
from services.notifier.turns import FIRST_PATIENCE, SLOW_SECONDS, ByDomain, Domains, PutOff


@pytest.fixture
def domains() -> Domains:
    return Domains()


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", 0.05)


@pytest.fixture
async def under_way() -> AsyncExitStack:
    return AsyncExitStack()


async def begun(of: ByDomain, under_way: AsyncExitStack, *addresses: str) -> int:
    """How many of these may begin."""
    count = 0
    for address in addresses:
        try:
            await under_way.enter_async_context(of.turn(address, first_attempt=True))
        except PutOff:
            continue
        count += 1
    return count


async def test_a_quarter_goes_to_one_domain_however_it_is_written(domains: Domains, under_way: AsyncExitStack) -> None:
    of = ByDomain(16, domains)
    addresses = [f"person{number}@{('Evil.org', 'evil.ORG', 'evil.org.')[number % 3]}" for number in range(20)]

    assert await begun(of, under_way, *addresses) == 4
    assert await begun(of, under_way, "ann@example.org") == 1


@pytest.mark.parametrize(
    ("party", "another"),
    [
        ("{}.evil.org", "ann@other.org"),
        ("{}.a.evil.co.uk", "ann@other.co.uk"),
        ("{}.evil.com.br", "ann@other.com.br"),
        ("{}.abc.io", "ann@other.io"),
    ],
)
async def test_its_sub_domains_have_no_more_together_quick_or_not(
    domains: Domains, under_way: AsyncExitStack, party: str, another: str
) -> None:
    of = ByDomain(16, domains)
    addresses = [f"ann@{party.format(number)}" for number in range(20)]
    for address in addresses[:10]:
        async with of.turn(address, first_attempt=True) as turn:
            turn.begin()

    assert await begun(of, under_way, *addresses) == 4
    assert await begun(of, under_way, another) == 1


async def test_slow_domains_have_half_and_those_who_have_not_shown_to_be_quick_three_quarters(
    domains: Domains, under_way: AsyncExitStack
) -> None:
    of = ByDomain(16, domains)
    for number in range(30):
        domains.answered(f"slow{number}.org", SLOW_SECONDS)
        domains.answered(f"quick{number}.org", 0.1)

    assert await begun(of, under_way, *(f"ann@slow{number}.org" for number in range(30))) == 8
    assert await begun(of, under_way, *(f"ann@new{number}.org" for number in range(30))) == 4
    assert await begun(of, under_way, *(f"ann@quick{number}.org" for number in range(4))) == 4


async def test_there_is_always_one_for_everybody(domains: Domains, under_way: AsyncExitStack) -> None:
    assert await begun(ByDomain(1, domains), under_way, "ann@example.org") == 1


async def test_a_place_that_is_given_back_is_free_again(domains: Domains) -> None:
    of = ByDomain(1, domains)
    for _ in range(3):
        async with of.turn("ann@example.org", first_attempt=True):
            pass


async def test_a_domain_that_answers_quickly_waits_for_its_turn_and_is_not_put_off(domains: Domains) -> None:
    domains.answered("company.org", 0.1)
    of, most = ByDomain(4, domains), 0
    together = 0

    async def deliver(number: int) -> None:
        nonlocal together, most
        async with of.turn(f"person{number}@company.org", first_attempt=True):
            together += 1
            most = max(most, together)
            await asyncio.sleep(0)
            together -= 1

    await asyncio.gather(*(deliver(number) for number in range(of.seats // 2)))

    assert most == 1


async def test_who_waits_in_vain_is_put_off(
    domains: Domains, under_way: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "WAITING_SECONDS", 0.01)
    domains.answered("company.org", 0.1)
    of = ByDomain(4, domains)

    assert await begun(of, under_way, *["ann@company.org"] * 3) == 1
    await under_way.aclose()
    assert await begun(of, under_way, "ann@company.org") == 1


async def test_a_domain_that_was_slow_is_slow_for_a_while_however_quick_it_is_in_between(domains: Domains) -> None:
    domains.answered("evil.org", SLOW_SECONDS)
    domains.answered("evil.org", 0.1)

    assert domains.is_slow("evil.org")
    assert not domains.is_quick("evil.org")


async def test_the_first_attempt_has_less_time_when_many_are_under_way_and_later_ones_have_all(
    domains: Domains, under_way: AsyncExitStack
) -> None:
    of = ByDomain(4, domains)
    first = await under_way.enter_async_context(of.turn("ann@a.org", first_attempt=True))
    crowded = await under_way.enter_async_context(of.turn("ann@b.org", first_attempt=True))
    later = await under_way.enter_async_context(of.turn("ann@c.org", first_attempt=False))

    assert (first.patience, crowded.patience, later.patience) == (FIRST_PATIENCE, SLOW_SECONDS, None)


async def test_what_a_mail_server_took_before_it_was_told_of_the_recipient_makes_no_domain_slow(
    domains: Domains, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = ByDomain(4, domains)
    async with of.turn("ann@a.org", first_attempt=True):
        pass  # the connection was refused: no recipient was named
    async with of.turn("ann@b.org", first_attempt=True) as turn:
        turn.begin()

    assert (domains.is_quick("a.org"), domains.is_quick("b.org")) == (False, True)
