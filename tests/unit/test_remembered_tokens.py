"""Only the good signature of an access token is remembered: shared.tokens.access."""

from __future__ import annotations

import time

import pytest

from shared.tokens import access
from shared.tokens.access import AccessTokens, kind
from shared.tokens.signed import TokenInvalid, UnknownKey
from tests.forging import AUDIENCE, ISSUER, Signer, access_claims

ACCESS = kind(issuer=ISSUER, audience=AUDIENCE)


def test_a_token_whose_key_is_gone_or_was_made_anew_is_refused() -> None:
    tokens, signer = AccessTokens(), Signer()
    token = signer.token(access_claims())
    assert tokens.read(token, ACCESS, signer.find) == tokens.read(token, ACCESS, signer.find)
    with pytest.raises(UnknownKey):
        tokens.read(token, ACCESS, lambda _: None)
    tokens.read(token, ACCESS, signer.find)
    with pytest.raises(TokenInvalid):
        tokens.read(token, ACCESS, Signer().find)


def test_a_token_that_is_remembered_is_verified_anew_once_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens, signer = AccessTokens(), Signer()
    token = signer.token(access_claims(exp=int(time.time()) + 100))
    first = tokens.read(token, ACCESS, signer.find)
    later = time.time() + 101

    def anew(*_: object) -> None:
        raise TokenInvalid("verified anew")

    monkeypatch.setattr(access, "verify", anew)
    assert tokens.read(token, ACCESS, signer.find) == first
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(TokenInvalid, match="verified anew"):
        tokens.read(token, ACCESS, signer.find)


def test_a_token_that_is_remembered_is_still_of_one_kind() -> None:
    tokens, signer = AccessTokens(), Signer()
    token = signer.token(access_claims())
    tokens.read(token, ACCESS, signer.find)
    with pytest.raises(TokenInvalid):
        tokens.read(token, kind(issuer=ISSUER, audience="another"), signer.find)


def test_a_token_with_a_beginning_and_one_that_is_refused_are_not_remembered() -> None:
    tokens, signer = AccessTokens(), Signer()
    tokens.read(signer.token(access_claims(nbf=int(time.time()) - 1)), ACCESS, signer.find)
    with pytest.raises(TokenInvalid):
        tokens.read(signer.token(access_claims()) + "A", ACCESS, signer.find)
    assert len(tokens._seen) == 0


def test_so_many_are_remembered_and_no_more() -> None:
    tokens, signer = AccessTokens(most=3), Signer()
    for number in range(5):
        tokens.read(signer.token(access_claims(epoch=number)), ACCESS, signer.find)
    assert len(tokens._seen) == 3
