"""Whatever a client sends wrong gets a 4xx problem document, and changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.stacks.problems import INCORRECT, invalid, refused
from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, log_in, refresh, register, registration, somebody, submit_password

REGISTRATION = "/api/v1/users/registration"
TOKEN = "/api/v1/auth/token"
REFRESH = "/api/v1/auth/refresh-token"
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}

BODY_LIMIT = 65_536
HEADER_LIMIT = 8_192


@pytest.mark.parametrize("field", ["email", "username", "name", "lastname", "password"])
@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b", "a\\udc00b"], ids=["NUL", "high half", "low half"])
async def test_registration_refuses_what_postgres_can_not_hold(stack: Stack, field: str, text: str) -> None:
    body = '{"email": "a@example.org", "username": "a", "name": "A", "lastname": "B", "password": "horse battery"}'
    body = body[:-1] + f', "{field}": "{text}"}}'  # the last of two counts

    invalid(await stack.http.post(REGISTRATION, content=body, headers=JSON), field)


@pytest.mark.parametrize("field", ["email", "username", "name", "lastname"])
@pytest.mark.parametrize(
    "character", ["\r", "\n", "\u0085", "\u2028", "\u202e", "\u200b", "\x1b"], ids=lambda text: f"U+{ord(text):04X}"
)
async def test_registration_refuses_characters_that_nobody_sees(stack: Stack, field: str, character: str) -> None:
    fields = registration(somebody())
    fields[field] = fields[field][:2] + character + fields[field][2:]

    invalid(await stack.http.post(REGISTRATION, json=fields), field)


@pytest.mark.parametrize("field", ["username", "password"])
@pytest.mark.parametrize("text", ["a\\u0000b", "a\\ud800b"], ids=["NUL", "half a pair"])
async def test_login_refuses_what_postgres_can_not_hold(stack: Stack, field: str, text: str) -> None:
    body = f'{{"username": "a", "password": "b", "{field}": "{text}"}}'

    invalid(await stack.http.post(TOKEN, content=body, headers=JSON), field)


@pytest.mark.parametrize("field", ["username", "password"])
async def test_login_by_form_refuses_nul(stack: Stack, field: str) -> None:
    other = "password" if field == "username" else "username"

    invalid(await stack.http.post(TOKEN, content=f"{other}=a&{field}=a%00b", headers=FORM), field)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nothing",
        b"\xff\xfe",
        b'{"username": NaN}',
        b'{"a":' * 10_000,
        b"[" * 60_000,
        b"[" * 30_000 + b"]" * 30_000,
        b'{"a":' * 9_000 + b"1" + b"}" * 9_000,
        b"1" * 60_000,
        b'{"username": 1e999999, "password": "x"}',
        b"{" + b",".join(b'"k%d":1' % number for number in range(5_000)) + b"}",
    ],
    ids=lambda body: f"{body[:20]!r} of {len(body)}",
)
@pytest.mark.parametrize("path", [TOKEN, REGISTRATION, REFRESH])
async def test_a_body_that_is_no_json_of_ours(stack: Stack, path: str, body: bytes) -> None:
    answer = await stack.http.post(path, content=body, headers=JSON)

    assert answer.status_code in {400, 422}, answer.text
    problem = refused(answer, answer.status_code, answer.json()["code"])
    assert len(answer.content) < 4_000, "an answer much longer than a person would read"
    assert problem["detail"]


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (b"%ZZ=%&=&&&", "application/x-www-form-urlencoded"),
        (b"username=%ED%A0%80&password=x", "application/x-www-form-urlencoded"),
        (b"username=%ff&password=%fe", "application/x-www-form-urlencoded"),
        (b"&".join(b"k%d=1" % number for number in range(5_000)), "application/x-www-form-urlencoded"),
        (b"username=a&password=b", "text/plain"),
        (b"username=a&password=b", "application/xml"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"--x\r\nnonsense", "multipart/form-data"),
        (
            b'--x\r\nContent-Disposition: form-data; name="username"; filename="a"\r\n\r\na\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
async def test_a_form_that_is_none_of_ours(stack: Stack, body: bytes, media_type: str) -> None:
    answer = await stack.http.post(TOKEN, content=body, headers={"Content-Type": media_type})

    assert answer.status_code in {400, 415, 422}, answer.text
    refused(answer, answer.status_code, answer.json()["code"])


async def test_a_password_of_more_than_72_bytes_is_used_whole(stack: Stack) -> None:
    """Bcrypt would not look at what comes after."""
    person = await register(stack, somebody(password="a" * 72 + "tail"))

    refused(await submit_password(stack, replace(person, password="a" * 72)), *INCORRECT)
    refused(await submit_password(stack, replace(person, password="a" * 72 + "tale")), *INCORRECT)
    assert (await submit_password(stack, person)).status_code == 200


async def test_the_longest_password_of_four_byte_characters(stack: Stack) -> None:
    person = await register(stack, somebody(password="\U0001f40e" * 128))

    assert (await submit_password(stack, person)).status_code == 200
    refused(await submit_password(stack, replace(person, password="\U0001f40e" * 127)), *INCORRECT)


async def test_a_password_may_begin_and_end_with_a_space(stack: Stack) -> None:
    person = await register(stack, somebody(password=" horse battery "))

    refused(await submit_password(stack, replace(person, password="horse battery")), *INCORRECT)
    assert (await submit_password(stack, person)).status_code == 200


@pytest.mark.parametrize("path", [TOKEN, REGISTRATION, REFRESH])
@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
async def test_a_body_of_more_than_64_kb_is_refused(stack: Stack, path: str, chunked: bool) -> None:
    body = b'{"username": "' + b"a" * BODY_LIMIT + b'"}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 8_192):
            yield body[start : start + 8_192]

    answer = await stack.http.post(path, content=chunks() if chunked else body, headers=JSON)

    refused(answer, 413, "content_too_large")


async def test_a_form_of_more_than_64_kb_in_chunks_is_refused(stack: Stack) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"username=a&password="
        for _ in range(BODY_LIMIT // 8_192):
            yield b"a" * 8_192

    refused(await stack.http.post(TOKEN, content=chunks(), headers=FORM), 413, "content_too_large")


async def test_a_body_of_almost_64_kb_is_read(stack: Stack) -> None:
    body = b'{"refresh_token": "x", "padding": "' + b"a" * (BODY_LIMIT - 100) + b'"}'

    assert (await stack.http.post(REFRESH, content=body, headers=JSON)).status_code == 401


@pytest.mark.parametrize("path", ["/api/v1/users/me", "/.well-known/jwks.json"])
@pytest.mark.parametrize(
    "headers", [{"X-Padding": "a" * HEADER_LIMIT}, {f"X-{number}": "a" * 80 for number in range(110)}]
)
async def test_headers_of_more_than_8_kb_are_refused(stack: Stack, path: str, headers: dict[str, str]) -> None:
    refused(await stack.http.get(path, headers=headers), 431, "headers_too_large")


async def test_an_authorization_header_of_more_than_8_kb_is_refused(stack: Stack) -> None:
    answer = await stack.http.get("/api/v1/users/me", headers=bearer("a" * HEADER_LIMIT))

    refused(answer, 431, "headers_too_large")


def naughty() -> Iterator[str]:
    yield from ("' OR '1'='1", "'; DROP TABLE users.accounts; --", "%s%n%x", "{{7*7}}", "${jndi:ldap:x}", "../../etc")
    yield from (
        "<script>alert(1)</script>",
        "\\",
        '"',
        "null",
        "undefined",
        "NaN",
        "-1",
        "1e999",
        "\u0130\u0131",
        "\ufb01",
    )
    yield from ("\u0626\u064a\u0627", "\u7530\u4e2d", "\U0001f469\U0001f3fd", "Z\u0351\u036b\u0343", "\ufdfa" * 20)


@pytest.mark.parametrize("text", list(naughty()))
async def test_a_name_is_only_a_name(stack: Stack, text: str) -> None:
    """It is kept as it was sent, or refused; it is never run, and never a 500."""
    person = somebody()
    fields: dict[str, Any] = registration(person, name=text, lastname=text, username=f"{text}{person.username}")

    answer = await stack.http.post(REGISTRATION, json=fields)

    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["username"]) == (fields["name"], fields["username"])
    tokens = await log_in(stack, replace(person, username=fields["username"]))
    assert (await refresh(stack, tokens.refresh)).status_code == 200
