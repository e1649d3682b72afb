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


def test_an_access_token_names_account_session_epoch_time_and_factors_of_the_login() -> None:
    token = SIGNER.token(access_claims(epoch=7, auth_time=1_700_000_000, amr=["pwd", "otp", "mfa"]))
    assert AccessTokens().read(token, ACCESS, SIGNER.find) == AccessToken(
        account=UUID(ACCOUNT), session=UUID(SESSION), epoch=7, auth_time=1_700_000_000, amr=("pwd", "otp", "mfa")
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


@pytest.mark.parametrize(
    "amr", [["pwd"], ["otp"], [], ["MFA"], "mfa", "pwd otp mfa", {"mfa": True}, [["mfa"]], None, True, 2]
)
def test_what_does_not_say_in_so_many_words_that_there_was_a_second_factor_says_that_there_was_none(amr: Any) -> None:
    claims = access_claims(amr=amr, acr="urn:login2fa:acr:2")
    assert not AccessTokens().read(SIGNER.token(claims), ACCESS, SIGNER.find).second_factor


def test_a_token_without_a_word_on_factors_is_good_and_had_no_second_one() -> None:
    token = SIGNER.token(without(access_claims(), "amr", "acr", "email_verified"))
    assert not AccessTokens().read(token, ACCESS, SIGNER.find).second_factor


def test_a_refusal_does_not_repeat_what_the_token_holds() -> None:
    with pytest.raises(TokenInvalid) as refused:
        AccessTokens().read(SIGNER.token(access_claims(sid="canary-in-a-claim")), ACCESS, SIGNER.find)
    assert "canary" not in str(refused.value)


def test_the_age_of_a_login_counts_from_its_auth_time() -> None:
    token = AccessTokens().read(SIGNER.token(access_claims(auth_time=int(time.time()) - 1000)), ACCESS, SIGNER.find)
    assert token.login_age() >= 1000
