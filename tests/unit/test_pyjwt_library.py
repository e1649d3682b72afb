"""PyJWT accepts tokens that shared/tokens/signed.py refuses. A failure here says that it has been mended upstream, and
that a guard may go; tests/unit/test_signed_tokens.py shows that we are not hurt.
"""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from tests.forging import Signer, access_claims, without

SIGNER = Signer()


def accepted(token: str) -> dict[str, Any]:
    return jwt.decode(token, SIGNER.public, algorithms=["ES256"], options={"verify_aud": False})


def test_a_token_with_padding_is_accepted() -> None:
    assert accepted(SIGNER.token(access_claims()) + "==")  # so the hash of a token does not name it


def test_a_token_without_an_expiry_is_accepted() -> None:
    assert accepted(SIGNER.token(without(access_claims(), "exp")))


def test_an_expiry_in_a_string_is_accepted() -> None:
    assert accepted(SIGNER.token(access_claims(exp=str(int(time.time()) + 60))))


@pytest.mark.parametrize("member", [{"typ": "rt+jwt"}, {"zip": "DEF"}, {"jku": "http://127.0.0.1:1/keys.json"}])
def test_any_type_and_members_that_it_does_not_understand_are_accepted(member: dict[str, str]) -> None:
    assert accepted(SIGNER.token(access_claims(), SIGNER.header(**member)))
