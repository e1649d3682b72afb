"""A token is read as one kind, signed by a published key, or it is `TokenInvalid` and nothing else."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from shared.tokens.access import AccessTokens, kind
from shared.tokens.signed import MAX_LENGTH, Kind, TokenInvalid, UnknownKey, read
from tests.forging import AUDIENCE, ISSUER, Raw, Signer, access_claims, segment, signing_input, without

SIGNER = Signer()
ACCESS = kind(issuer=ISSUER, audience=AUDIENCE)
GOOD = SIGNER.token(access_claims())

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def refused(token: str, expected: Kind = ACCESS) -> str:
    with pytest.raises(TokenInvalid) as error:
        read(token, expected, SIGNER.find)
    return str(error.value)


def test_a_good_token_is_read() -> None:
    claims = access_claims()
    assert read(SIGNER.token(claims), ACCESS, SIGNER.find) == claims


# --- the header


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE", ""])
@pytest.mark.parametrize("signature", ["", "A", "AA"])
def test_an_unsigned_token_is_refused(algorithm: str, signature: str) -> None:
    refused(f"{signing_input(access_claims(), SIGNER.header(alg=algorithm))}.{signature}")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_used_as_a_shared_secret_is_refused(algorithm: str) -> None:
    refused(SIGNER.hmac_token(access_claims(), algorithm))


@pytest.mark.parametrize(
    "algorithm", ["ES384", "ES512", "ES256K", "RS256", "PS256", "EdDSA", "es256", "ES256 ", "unknown"]
)
def test_an_algorithm_that_is_not_the_key_s_own_is_refused(algorithm: str) -> None:
    refused(SIGNER.token(access_claims(), SIGNER.header(alg=algorithm)))


@pytest.mark.parametrize("algorithm", [None, 5, True, ["ES256"], {"alg": "ES256"}])
def test_an_algorithm_that_is_no_string_is_refused(algorithm: Any) -> None:
    refused(SIGNER.token(access_claims(), SIGNER.header(alg=algorithm)))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("jku", "http://127.0.0.1:1/keys.json"),
        ("x5u", "http://127.0.0.1:1/cert.pem"),
        ("x5c", ["MIIB"]),
        ("x5t", "abc"),
        ("jwk", Signer().jwk),
        ("jwk", SIGNER.jwk),
        ("crit", ["exp"]),
        ("crit", []),
        ("zip", "DEF"),
        ("b64", False),
        ("b64", True),
        ("cty", "JWT"),
        ("anything", None),
    ],
)
def test_a_header_member_beyond_alg_kid_and_typ_is_refused(member: str, value: Any) -> None:
    assert refused(SIGNER.token(access_claims(), SIGNER.header(**{member: value})))


@pytest.mark.parametrize("member", ["alg", "kid", "typ"])
def test_a_missing_header_member_is_refused(member: str) -> None:
    refused(SIGNER.token(access_claims(), without(SIGNER.header(), member)))


@pytest.mark.parametrize(
    "kid",
    ["", "key-2", "KEY-1", "key-1\0", " key-1", "../../etc/passwd", "' OR 1=1 --", "\0", "\ud800", "k" * 4000],
)
def test_a_kid_that_is_not_published_is_an_unknown_key(kid: str) -> None:
    with pytest.raises(UnknownKey):
        read(SIGNER.token(access_claims(), SIGNER.header(kid=kid)), ACCESS, SIGNER.find)


@pytest.mark.parametrize("kid", [None, 1, True, ["key-1"], {"key-1": 1}])
def test_a_kid_that_is_no_string_is_refused_without_a_look_at_the_keys(kid: Any) -> None:
    def find(_kid: str) -> jwt.PyJWK | None:
        pytest.fail("looked for")

    with pytest.raises(TokenInvalid):
        read(SIGNER.token(access_claims(), SIGNER.header(kid=kid)), ACCESS, find)


@pytest.mark.parametrize(
    "typ", ["JWT", "jwt", "AT+JWT", "application/at+jwt", "rt+jwt", "otp+jwt", "", None, ["at+jwt"]]
)
def test_another_type_is_refused(typ: Any) -> None:
    refused(SIGNER.token(access_claims(), SIGNER.header(typ=typ)))


@pytest.mark.parametrize(
    "header",
    [
        "[]", "null", "5", '"text"', "{", "", "{}", "\ufeff{}",
        '{"alg":"ES256","kid":"key-1","typ":"at+jwt","alg":"none"}',
        '{"alg":"ES256","kid":"key-1","typ":"JWT"}',
        "[" * 6000,
    ],
)  # fmt: skip
def test_a_header_that_is_no_header_is_refused(header: str) -> None:
    refused(SIGNER.token(access_claims(), header))


# --- the signature


def test_a_token_of_another_key_under_our_kid_is_refused() -> None:
    assert refused(Signer(SIGNER.kid).token(access_claims())) == "InvalidSignatureError"


def test_a_token_of_another_curve_is_refused() -> None:
    private = ec.generate_private_key(ec.SECP384R1())
    refused(jwt.encode(access_claims(), private, algorithm="ES384", headers={"kid": SIGNER.kid, "typ": "at+jwt"}))


def test_changed_claims_are_refused() -> None:
    header, _, signature = GOOD.split(".")
    claims = access_claims(sub="01890a5d-ac96-774b-bcce-b302099a8050")
    refused(f"{header}.{segment(json.dumps(claims))}.{signature}")


@pytest.mark.parametrize("signature", ["", "AA", segment(bytes(64)), segment(bytes(63)), segment(b"\xff" * 64)])
def test_a_made_up_signature_is_refused(signature: str) -> None:
    header, claims, _ = GOOD.split(".")
    refused(f"{header}.{claims}.{signature}")


# --- the form


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token + "==",
        lambda token: token + ".",
        lambda token: "." + token,
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token + " ",
        lambda token: token.replace(".", " .", 1),
        lambda token: token.replace(".", ".\n", 1),
        lambda token: token.replace(".", "..", 1),
        lambda token: token.rpartition(".")[0],
        lambda token: token + "\0",
        lambda token: token + "\u00e9",
        lambda token: token.replace("e", "\uff45", 1),
        lambda token: json.dumps(dict(zip(("protected", "payload", "signature"), token.split("."), strict=True))),
        lambda _: "",
        lambda _: "..",
    ],
)
def test_any_other_writing_of_a_good_token_is_refused(change: Any) -> None:
    assert refused(change(GOOD)) == "not a compact JWS"


def test_a_token_beyond_the_length_limit_is_refused_unread() -> None:
    assert refused("A" * MAX_LENGTH + ".A.A") == "not a compact JWS"
    assert refused(SIGNER.token(access_claims(filler="x" * MAX_LENGTH))) == "not a compact JWS"


# --- the claims


@pytest.mark.parametrize("claim", ["exp", "iat", "iss", "aud", "sub", "jti"])
def test_a_missing_claim_is_refused(claim: str) -> None:
    refused(SIGNER.token(without(access_claims(), claim)))


NO_TIMES = [
    Raw("1e400"), Raw("-1e400"), Raw("NaN"), Raw("Infinity"), Raw("1" + "0" * 5000), 2**63, 2**64, 2**1000, 2**40, -1,
    True, False, None, "", "x", str(int(time.time()) + 3600), time.time() + 3600.5, 1e12, 1e300, [], {}, [2**31],
]  # fmt: skip


@pytest.mark.parametrize("claim", ["exp", "iat", "auth_time"])
@pytest.mark.parametrize("value", NO_TIMES, ids=lambda value: str(value)[:20])
def test_a_time_that_is_no_whole_number_of_seconds_is_refused(claim: str, value: Any) -> None:
    refused(SIGNER.token(access_claims(**{claim: value})))


@pytest.mark.parametrize("value", [0, 1, int(time.time()) - 1])
def test_an_expired_token_is_refused(value: int) -> None:
    assert refused(SIGNER.token(access_claims(exp=value))) == "ExpiredSignatureError"


def test_leeway_is_for_kinds_that_ask_for_it() -> None:
    token = SIGNER.token(access_claims(exp=int(time.time()) - 5))
    lenient = Kind("at+jwt", AUDIENCE, ISSUER, leeway=3600)

    assert read(token, lenient, SIGNER.find)["iss"] == ISSUER
    assert refused(token) == "ExpiredSignatureError"


@pytest.mark.parametrize("value", [int(time.time()) + 3600, "soon", Raw("1e400"), Raw("NaN"), None, []])
def test_a_token_that_is_not_valid_yet_is_refused(value: Any) -> None:
    refused(SIGNER.token(access_claims(nbf=value)))


@pytest.mark.parametrize(
    "value", ["https://evil.test", ISSUER + "/", ISSUER.upper(), "", None, 5, [ISSUER], {ISSUER: 1}]
)
def test_another_issuer_is_refused(value: Any) -> None:
    refused(SIGNER.token(access_claims(iss=value)))


@pytest.mark.parametrize(
    "value", ["other", AUDIENCE + "/refresh", "", None, 5, [AUDIENCE], [AUDIENCE, "other"], [], {AUDIENCE: 1}]
)
def test_another_audience_or_several_are_refused(value: Any) -> None:
    refused(SIGNER.token(access_claims(aud=value)))


@pytest.mark.parametrize("claim", ["sub", "jti"])
@pytest.mark.parametrize("value", [None, 5, True, ["x"], {}])
def test_a_subject_or_an_id_that_is_no_string_is_refused(claim: str, value: Any) -> None:
    refused(SIGNER.token(access_claims(**{claim: value})))


@pytest.mark.parametrize("payload", ["[]", "null", "5", '"text"', "{", "", "{}", "[" * 5000, '{"exp":'])
def test_a_payload_that_holds_no_claims_is_refused(payload: str) -> None:
    refused(SIGNER.token(payload))


# --- whatever comes


def read_or_refuse(token: str) -> None:
    """Fails on any exception but `TokenInvalid`."""
    try:
        AccessTokens().read(token, ACCESS, SIGNER.find)
    except TokenInvalid:
        return


@given(st.text(st.characters()))
@example(GOOD[:-1])
def test_no_text_raises_anything_but_token_invalid(token: str) -> None:
    with pytest.raises(TokenInvalid):
        AccessTokens().read(token, ACCESS, SIGNER.find)


@given(header=st.text(max_size=200), claims=st.text(max_size=200))
def test_no_signed_text_raises_anything_but_token_invalid(header: str, claims: str) -> None:
    for token in (SIGNER.token(claims), SIGNER.token(access_claims(), header), SIGNER.token(claims, header)):
        with pytest.raises(TokenInvalid):
            AccessTokens().read(token, ACCESS, SIGNER.find)


@given(changes=st.dictionaries(st.sampled_from(sorted(access_claims())) | st.just("nbf"), JSON, min_size=1, max_size=3))
def test_no_signed_claims_raise_anything_but_token_invalid(changes: dict[str, Any]) -> None:
    read_or_refuse(SIGNER.token(access_claims(**changes)))


@given(changes=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), JSON, min_size=1, max_size=3))
def test_no_signed_header_raises_anything_but_token_invalid(changes: dict[str, Any]) -> None:
    read_or_refuse(SIGNER.token(access_claims(), SIGNER.header(**changes)))


@given(position=st.integers(0, len(GOOD) - 1), character=st.characters(codec="ascii"))
def test_no_damage_raises_anything_but_token_invalid(position: int, character: str) -> None:
    read_or_refuse(GOOD[:position] + character + GOOD[position + 1 :])
