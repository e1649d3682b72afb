"""/docs and /openapi.json at the one public address cover both services, and need no internet."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.stacks.processes import Processes
from tests.stacks.stack import Stack


@pytest.fixture(autouse=True)
def _at_one_address(stack: Stack) -> None:
    if isinstance(stack, Processes):
        pytest.skip("Bare processes have no public address of their own: a gateway gives them one.")


OPERATIONS = {
    "POST /api/v1/auth/token",
    "GET /api/v1/auth/challenge",
    "POST /api/v1/auth/verify-otp",
    "POST /api/v1/auth/resend-otp",
    "POST /api/v1/auth/refresh-token",
    "POST /api/v1/auth/cookie",
    "POST /api/v1/auth/cookie/access",
    "POST /api/v1/auth/verify-token",
    "POST /api/v1/auth/logout",
    "GET /api/v1/auth/sessions",
    "DELETE /api/v1/auth/sessions/{session_id}",
    "POST /api/v1/auth/passkey/options",
    "POST /api/v1/auth/passkey",
    "POST /api/v1/auth/challenge/passkey",
    "POST /api/v1/auth/verify-passkey",
    "POST /api/v1/auth/factors/passkeys/options",
    "POST /api/v1/auth/factors/passkeys",
    "PATCH /api/v1/auth/factors/passkeys/{passkey_id}",
    "DELETE /api/v1/auth/factors/passkeys/{passkey_id}",
    "GET /.well-known/jwks.json",
    "GET /api/v1/users/registration",
    "POST /api/v1/users/registration",
    "GET /api/v1/users/me",
    "POST /api/v1/users/change-password",
    "GET /api/v1/users/",
    "PATCH /api/v1/users/",
    "DELETE /api/v1/users/",
    "POST /api/v1/users/registration/confirm",
    "GET /api/v1/users/verify-email",
    "POST /api/v1/users/verify-email",
    "POST /api/v1/users/verify-email/send",
    "DELETE /api/v1/users/pending-email",
    "POST /api/v1/users/password-reset",
    "POST /api/v1/users/password-reset/confirm",
    "POST /api/v1/users/",
    "POST /api/v1/users/invitations",
    "POST /api/v1/users/{user_id}/verify-email",
    "POST /api/v1/users/{user_id}/password-reset",
}


async def openapi(stack: Stack) -> dict[str, Any]:
    answer = await stack.http.get("/openapi.json")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


async def test_every_operation_of_both_services_is_described(stack: Stack) -> None:
    paths = (await openapi(stack))["paths"]

    described = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    assert described >= OPERATIONS


async def test_every_reference_in_it_leads_somewhere(stack: Stack) -> None:
    document = await openapi(stack)

    references = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    assert references
    for reference in references:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


async def test_the_page_loads_everything_from_here(stack: Stack) -> None:
    page = await stack.http.get("/docs")

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    references = re.findall(r"""(?:src|href|url)\s*[=:]\s*["']([^"']+)""", page.text)
    assert len(references) == 3
    for reference in references:
        assert "//" not in reference, "another host"
        assert (await stack.http.get(f"/{reference.lstrip('/')}")).status_code == 200


async def test_the_address_itself_is_a_page_to_log_in_on(stack: Stack) -> None:
    page = await stack.http.get("/", follow_redirects=True)

    assert (page.status_code, page.url.path) == (200, "/login")
    assert 'autocomplete="current-password"' in page.text


async def test_the_document_names_no_other_host(stack: Stack) -> None:
    document = str(await openapi(stack))

    assert not re.findall(r"https?://[^\s'\"]+", document)
