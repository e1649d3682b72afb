"""S22: a token is taken where its kind belongs and nowhere else, from this issuer and for this audience."""

from __future__ import annotations

from itertools import permutations

import pytest

from tests.forging import Signer
from tests.security.doors import KINDS, Doors
from tests.security.somebody import LoggedIn


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_taken_at_every_door_of_its_own(doors: Doors, person: LoggedIn, kind: str) -> None:
    """Else the refusals below would prove nothing."""
    assert 401 not in await doors.ask(kind, person.tokens[kind])


@pytest.mark.parametrize(("kind", "door"), list(permutations(KINDS, 2)))
async def test_no_kind_is_taken_for_another(
    doors: Doors, person: LoggedIn, forger: Signer, kind: str, door: str
) -> None:
    tokens = {
        "as it is": person.tokens[kind],
        "under the other's type": forger.token(person.claims(kind), person.header(door)),
        "for the other's audience": person.like(kind, forger, aud=person.claims(door)["aud"]),
    }

    assert await doors.not_refused(door, tokens) == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_no_token_of_another_issuer_audience_or_key_is_taken(
    doors: Doors, person: LoggedIn, forger: Signer, kind: str
) -> None:
    issuer, audience = person.claims(kind)["iss"], person.claims(kind)["aud"]
    tokens = {
        f"{claim} {value!r}": person.like(kind, forger, **{claim: value})
        for claim, values in {
            "iss": (f"{issuer}/", issuer.upper(), "https://evil.test", [issuer]),
            "aud": (f"{audience}/", audience.upper(), "other", [audience], [audience, "other"]),
        }.items()
        for value in values
    }
    tokens["another key under our kid"] = person.like(kind, Signer(forger.kid))

    assert await doors.not_refused(kind, tokens) == {}
