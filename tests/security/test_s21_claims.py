"""S21: a token without one of its claims, or with a time that is none, is refused, and is never a 500."""

from __future__ import annotations

from typing import Any

import pytest

from tests.forging import Raw, Signer, without
from tests.security.doors import ACCESS, KINDS, Doors
from tests.security.somebody import LoggedIn

NO_TIMES: tuple[Any, ...] = (
    *(Raw(text) for text in ("1e400", "-1e400", "NaN", "Infinity", "-Infinity", "1e12", "9" * 400)),
    *(True, False, None, -1, 2**63, 2**64, 2**40, "4102444800", [4102444800], {}),
)
NO_TEXTS: tuple[Any, ...] = (None, 5, True, [], {}, ["login2fa"])


@pytest.mark.parametrize("kind", KINDS)
async def test_no_claim_may_be_missing(doors: Doors, person: LoggedIn, forger: Signer, kind: str) -> None:
    needed = {"exp", "iat", "iss", "aud", "sub", "jti"} | ({"sid", "epoch", "auth_time"} if kind == ACCESS else set())
    tokens = {claim: person.lacking(kind, forger, claim) for claim in needed}
    for member in ("typ", "alg", "kid"):
        tokens[member] = forger.token(person.claims(kind), without(person.header(kind), member))

    assert await doors.not_refused(kind, tokens) == {}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("claim", ["exp", "iat"])
async def test_a_time_is_a_whole_number_of_seconds(
    doors: Doors, person: LoggedIn, forger: Signer, kind: str, claim: str
) -> None:
    tokens = {f"{value!r}"[:30]: person.like(kind, forger, **{claim: value}) for value in NO_TIMES}

    assert await doors.not_refused(kind, tokens) == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_claims_of_another_shape_are_refused(doors: Doors, person: LoggedIn, forger: Signer, kind: str) -> None:
    tokens = {
        f"{claim} {value!r}": person.like(kind, forger, **{claim: value})
        for claim in ("iss", "aud", "sub", "jti")
        for value in NO_TEXTS
    }

    assert await doors.not_refused(kind, tokens) == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_nested_too_deeply_to_be_read_is_refused(
    doors: Doors, person: LoggedIn, forger: Signer, kind: str
) -> None:
    deep = Raw("[" * 2000 + "]" * 2000)
    tokens = {
        "claims": person.like(kind, forger, sub=deep),
        "header": person.with_header(kind, forger, kid=deep),
    }

    assert await doors.not_refused(kind, tokens) == {}
