"""What all answers have in common: problem documents, Bearer challenges, what caches may keep."""

from __future__ import annotations

from typing import Any

import pytest

from tests.stacks.problems import NOT_PERMITTED, SCHEME_NOT_BEARER, TOKEN_MISSING, TOKEN_NOT_VALID, refused
from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, log_in, register

REALM = 'Bearer realm="login2fa"'
AUTH = "/api/v1/auth"
USERS = "/api/v1/users"

# Method and path of everything that needs a bearer token, with a body that is right.
GUARDED: list[tuple[str, str, Any]] = [
    ("POST", f"{AUTH}/verify-otp", {"otp": "123456"}),
    ("POST", f"{AUTH}/resend-otp", None),
    ("POST", f"{AUTH}/verify-token", None),
    ("POST", f"{AUTH}/logout", None),
    ("GET", f"{USERS}/me", None),
    ("POST", f"{USERS}/change-password", {"password": "horse battery", "confirm_password": "horse battery"}),
    ("GET", f"{USERS}/", None),
    ("PATCH", f"{USERS}/", {"name": "Alan"}),
    ("DELETE", f"{USERS}/", None),
    ("POST", f"{USERS}/", {"email": "a@example.org", "username": "a", "name": "A", "lastname": "B"}),
    ("POST", f"{USERS}/invitations", {"email": "a@example.org"}),
    ("GET", f"{USERS}/verify-email", None),
    ("POST", f"{USERS}/verify-email", {"code": "00000-00000"}),
    ("POST", f"{USERS}/verify-email/send", None),
    ("DELETE", f"{USERS}/pending-email", None),
]


@pytest.mark.parametrize(("method", "path", "body"), GUARDED, ids=str)
async def test_without_a_token_the_challenge_has_no_error(stack: Stack, method: str, path: str, body: Any) -> None:
    """RFC 6750 section 3.1: a request without credentials is told how to authenticate, and no more."""
    answer = await stack.http.request(method, path, json=body)

    refused(answer, *TOKEN_MISSING)
    assert answer.headers.get_list("www-authenticate") == [REALM]


@pytest.mark.parametrize(("method", "path", "body"), GUARDED, ids=str)
@pytest.mark.parametrize("credentials", ["Bearer no.token.atall", "Bearer a b"])
async def test_a_bad_token_is_called_invalid(stack: Stack, method: str, path: str, body: Any, credentials: str) -> None:
    answer = await stack.http.request(method, path, json=body, headers={"Authorization": credentials})

    refused(answer, *TOKEN_NOT_VALID)
    challenge = f'{REALM}, error="invalid_token", error_description="Token not valid"'
    assert answer.headers.get_list("www-authenticate") == [challenge]


@pytest.mark.parametrize(("method", "path", "body"), GUARDED, ids=str)
@pytest.mark.parametrize("credentials", ["Basic ZGF2ZTp4", "no.token.atall"])
async def test_another_scheme_is_told_apart_from_a_bad_token(
    stack: Stack, method: str, path: str, body: Any, credentials: str
) -> None:
    answer = await stack.http.request(method, path, json=body, headers={"Authorization": credentials})

    refused(answer, *SCHEME_NOT_BEARER)
    assert answer.headers.get_list("www-authenticate") == [REALM]


async def test_a_refused_refresh_token_names_a_challenge_too(stack: Stack) -> None:
    """RFC 9110 section 15.5.2: a 401 without one is none."""
    answer = await stack.http.post(f"{AUTH}/refresh-token", json={"refresh_token": "no.token.atall"})

    refused(answer, 401, "invalid_refresh_token", "Token not valid")
    assert answer.headers.get_list("www-authenticate") == [REALM]


async def test_missing_rights_are_called_insufficient_scope(stack: Stack) -> None:
    tokens = await log_in(stack, await register(stack))

    answer = await stack.http.get(f"{USERS}/", headers=bearer(tokens.access))

    refused(answer, *NOT_PERMITTED)
    assert answer.headers.get_list("www-authenticate") == [f'{REALM}, error="insufficient_scope"']


async def test_the_scheme_is_read_in_any_letters(stack: Stack) -> None:
    """RFC 9110 section 11.1."""
    tokens = await log_in(stack, await register(stack))

    for scheme in ("bearer", "BEARER", "Bearer "):
        answer = await stack.http.get(f"{USERS}/me", headers={"Authorization": f"{scheme} {tokens.access}"})
        assert answer.status_code == 200, scheme


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("token", {"username": "nobody", "password": "horse battery"}),
        ("token", {}),
        ("verify-otp", {"otp": "123456"}),
        ("refresh-token", {"refresh_token": "x"}),
        ("refresh-token", {}),
    ],
)
async def test_the_token_endpoints_speak_oauth_too(stack: Stack, path: str, body: Any) -> None:
    """RFC 6749 section 5.2."""
    answer = await stack.http.post(f"{AUTH}/{path}", json=body)

    problem = refused(answer, answer.status_code, answer.json()["code"])
    assert problem["error"] in {"invalid_request", "invalid_grant"}
    assert problem["error_description"] == problem["detail"]


async def test_other_endpoints_do_not(stack: Stack) -> None:
    for answer in (await stack.http.post(f"{AUTH}/logout"), await stack.http.get(f"{USERS}/me")):
        assert "error" not in answer.json()


@pytest.mark.parametrize("path", ["token", "verify-otp", "resend-otp", "refresh-token", "verify-token", "logout"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_no_answer_of_auth_may_be_kept(stack: Stack, method: str, path: str) -> None:
    answer = await stack.http.request(method, f"{AUTH}/{path}")

    assert answer.headers.get_list("cache-control") == ["no-store"]


async def test_no_answer_of_auth_to_what_is_too_large_may_be_kept(stack: Stack) -> None:
    answer = await stack.http.post(f"{AUTH}/token", content=b"x" * 70_000)

    assert (answer.status_code, answer.headers.get_list("cache-control")) == (413, ["no-store"])


@pytest.mark.parametrize("path", ["/api/v1", f"{AUTH}/nowhere", f"{USERS}/no/where", f"{USERS}/me//", "/.well-known/n"])
async def test_an_unknown_path(stack: Stack, path: str) -> None:
    refused(await stack.http.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"{AUTH}/token", "POST"),
        ("PUT", f"{USERS}/", "GET"),
        ("PUT", f"{USERS}/registration", "POST"),
        ("POST", "/.well-known/jwks.json", "GET"),
    ],
)
async def test_a_method_that_is_not_allowed(stack: Stack, method: str, path: str, allowed: str) -> None:
    answer = await stack.http.request(method, path)

    refused(answer, 405, "method_not_allowed")
    assert allowed in answer.headers["allow"]
