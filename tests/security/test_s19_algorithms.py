"""S19: a token says nothing about how it is to be verified. RFC 8725 section 3.1."""

from __future__ import annotations

import pytest

from tests.forging import Signer, segment, signing_input
from tests.security.doors import KINDS, Doors
from tests.security.somebody import LoggedIn

UNLISTED = ("ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA", "HS256", "es256", "unknown", "")


@pytest.mark.parametrize("kind", KINDS)
async def test_no_algorithm_but_the_key_s_own_is_taken_at_any_door(
    doors: Doors, person: LoggedIn, forger: Signer, kind: str
) -> None:
    claims, header = person.claims(kind), person.header(kind)
    tokens = {f"signed, {alg!r}": forger.token(claims, header | {"alg": alg}) for alg in UNLISTED}
    for alg in ("none", "None", "nOnE", "NONE"):
        unsigned = signing_input(claims, header | {"alg": alg})
        tokens |= {f"{alg} {end!r}": f"{unsigned}.{end}" for end in ("", "AA", segment(bytes(64)))}
    for alg in ("HS256", "HS384", "HS512"):
        tokens[f"{alg} under the public key"] = forger.hmac_token(claims, alg, header)

    assert await doors.not_refused(kind, tokens) == {}
    assert 401 not in await doors.ask(kind, forger.token(claims, header))
