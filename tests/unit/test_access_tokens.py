"""Claims of an access token are read, and those of no other token: shared.tokens.access."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import pytest

from shared.tokens.access import AccessToken, AccessTokens, kind
from shared.tokens.signed import TokenInvalid
from tests.forging import ACCOUNT, AUDIENCE, ISSUER, SESSION, Raw, Signer, access_claims, without

SIGNER = Signer()
ACCESS = kind(issuer=ISSUER, audience=AUDIENCE)


def test_an_access_token_names_account_session_epoch_and_time_of_login() -> None:
    token = SIGNER.token(access_claims(epoch=7, auth_time=1_700_000_000))
    assert AccessTokens().read(token, ACCESS, SIGNER.find) == AccessToken(
        account=UUID(ACCOUNT), session=UUID(SESSION), epoch=7, auth_time=1_700_000_000
    )


@pytest.mark.parametrize("claim", ["sub", "sid", "epoch", "auth_time"])
def test_an_access_token_without_one_of_them_is_refused(claim: str) -> None:
    with pytest.raises(TokenInvalid):
        AccessTokens().read(SIGNER.token(without(access_claims(), claim)), ACCESS, SIGNER.find)


@pytest.mark.parametrize("claim", ["sub", "sid"])
@pytest.mark.parametrize("value", ["", "me", "01890a5d", ACCOUNT + "0", 5, True, None, [ACCOUNT], {}])
def test_an_id_that_is_no_uuid_is_refused(claim: str, value: Any) -> None:
    with pytest.raises(TokenInvalid):
        AccessTokens().read(SIGNER.token(access_claims(**{claim: value})), ACCESS, SIGNER.find)


@pytest.mark.parametrize("value", [None, True, "0", 0.0, 1.5, Raw("NaN"), Raw("1e400"), [], {}])
def test_an_epoch_that_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(TokenInvalid):
        AccessTokens().read(SIGNER.token(access_claims(epoch=value)), ACCESS, SIGNER.find)


def test_a_refusal_does_not_repeat_what_the_token_holds() -> None:
    with pytest.raises(TokenInvalid) as refused:
        AccessTokens().read(SIGNER.token(access_claims(sid="canary-in-a-claim")), ACCESS, SIGNER.find)
    assert "canary" not in str(refused.value)


def test_the_age_of_a_login_counts_from_its_auth_time() -> None:
    token = AccessTokens().read(SIGNER.token(access_claims(auth_time=int(time.time()) - 1000)), ACCESS, SIGNER.find)
    assert token.login_age() >= 1000
