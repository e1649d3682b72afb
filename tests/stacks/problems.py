"""What every refusal looks like (RFC 9457), checked with each."""

from __future__ import annotations

from typing import Any

import httpx

OTP_NOT_VALID = (400, "otp_not_valid", "OTP not valid")
INCORRECT = (400, "incorrect_credentials", "Incorrect username or password")
TOKEN_MISSING = (401, "token_missing", "There is no token: send the header `Authorization: Bearer <token>`")
SCHEME_NOT_BEARER = (
    401,
    "scheme_not_bearer",
    "The header Authorization does not begin with Bearer: send `Authorization: Bearer <token>`",
)
TOKEN_NOT_VALID = (401, "invalid_token", "Token not valid")
REFRESH_TOKEN_NOT_VALID = (401, "invalid_refresh_token", "Token not valid")
NOT_PERMITTED = (403, "not_enough_permissions", "Not enough permissions")
ITEM_NOT_FOUND = (404, "item_not_found", "Item not found")


def refused(answer: httpx.Response, status: int, code: str, detail: str | None = None) -> dict[str, Any]:
    """The problem document of `answer`, which must have that status, code and sentence."""
    assert answer.status_code == status, f"{answer.status_code}: {answer.text}"
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == f"urn:login2fa:problem:{code}"
    assert problem["title"]
    assert problem["detail"] == detail if detail is not None else problem["detail"]
    return problem


def invalid(answer: httpx.Response, field: str) -> dict[str, Any]:
    """The problem document of a 422 that names `field`, and repeats nothing of what was sent."""
    problem = refused(answer, 422, "invalid_request")
    assert field in [error["field"] for error in problem["errors"]], problem
    assert {key for error in problem["errors"] for key in error} == {"field", "detail"}
    return problem
