"""GET /.well-known/jwks.json: everything that somebody else needs to check an access token."""

from __future__ import annotations

import base64
import json

import jwt

from tests.stacks.stack import Stack
from tests.stacks.steps import log_in, register

PATH = "/.well-known/jwks.json"


async def test_the_keys_are_public_and_can_be_cached(stack: Stack) -> None:
    answer = await stack.http.get(PATH)

    assert answer.status_code == 200
    assert "max-age=" in answer.headers["cache-control"]
    assert "no-store" not in answer.headers["cache-control"]
    keys = answer.json()["keys"]
    assert keys
    for key in keys:
        assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
        assert (key["alg"], key["use"]) == ("ES256", "sig")


async def test_what_the_client_has_already_is_not_sent_again(stack: Stack) -> None:
    etag = (await stack.http.get(PATH)).headers["etag"]

    for known in (etag, f'W/{etag}, "other"'):
        answer = await stack.http.get(PATH, headers={"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
        assert "max-age=" in answer.headers["cache-control"]
    assert (await stack.http.get(PATH, headers={"If-None-Match": '"other"'})).status_code == 200


async def test_pyjwt_verifies_an_access_token_with_them(stack: Stack) -> None:
    person = await register(stack)
    access = (await log_in(stack, person)).access
    keys = jwt.PyJWKSet.from_dict((await stack.http.get(PATH)).json())
    header = jwt.get_unverified_header(access)

    claims = jwt.decode(access, keys[header["kid"]], algorithms=["ES256"], audience="login2fa")

    assert header.keys() == {"alg", "kid", "typ"}
    assert header["typ"] == "at+jwt"
    # RFC 9068 section 2.2, then ours.
    required = {"iss", "exp", "aud", "sub", "client_id", "iat", "jti", "auth_time", "amr", "acr", "sid"}
    assert required <= claims.keys()
    assert claims["sub"] == person.id
    assert claims["exp"] - claims["iat"] == 3600
    assert (claims["amr"], claims["acr"]) == (["pwd"], "urn:login2fa:acr:1")
    assert claims["iss"].startswith("http://localhost:")


async def test_a_token_holds_nothing_personal(stack: Stack) -> None:
    person = await register(stack)
    tokens = await log_in(stack, person)

    for token in (tokens.access, tokens.refresh):
        payload = base64.urlsafe_b64decode(token.split(".")[1] + "==").decode()
        assert person.email not in payload
        assert person.username not in payload
        assert "is_admin" not in json.loads(payload)
