"""S23: another spelling of a token is refused, or shares its fate; and a token comes in one place only."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.composed import AUTH, AuthApp, bearer
from tests.forging import Signer, json_text, segment
from tests.security.doors import ACCESS, REFRESH, TEMPORARY, Doors
from tests.security.somebody import LoggedIn

VERIFY = f"{AUTH}/verify-token"


def spellings(token: str) -> Iterator[list[tuple[str, str]]]:
    yield [("Authorization", f"Bearer {token}=")]
    yield [("Authorization", f"Bearer {token}==")]
    yield [("Authorization", f"Bearer  {token}")]
    yield [("Authorization", f"Bearer {token} ")]
    yield [("Authorization", f"Bearer\t{token}")]
    yield [("Authorization", f"bearer {token}")]
    yield [("Authorization", f"Bearer {token.replace('.', ' .')}")]
    yield [("Authorization", f"Bearer {token}, Bearer {token}")]
    yield [("Authorization", f"Bearer {token}")] * 2
    yield [("Authorization", f"Bearer {token}"), ("authorization", "Bearer x")]
    yield [("Authorization", "Bearer x"), ("Authorization", f"Bearer {token}")]


async def statuses(auth: AuthApp, token: str) -> list[int]:
    return [(await auth.http.post(VERIFY, headers=httpx.Headers(each))).status_code for each in spellings(token)]


async def test_no_spelling_of_an_access_token_survives_it(auth_app: AuthApp, person: LoggedIn) -> None:
    access = person.tokens[ACCESS]
    # Two blanks after the scheme, and its case, are no other token; all else is refused even while it is good.
    assert [number for number, status in enumerate(await statuses(auth_app, access)) if status != 401] == [2, 5]

    assert (await auth_app.http.post(f"{AUTH}/logout", headers=bearer(access))).status_code == 204

    assert set(await statuses(auth_app, access)) == {401}


async def test_a_member_named_twice_makes_no_other_token(auth_app: AuthApp, person: LoggedIn, forger: Signer) -> None:
    """With the signature of the original, which it had before, and with one of its own."""
    access = person.tokens[ACCESS]
    claims = json_text(person.claims(ACCESS))
    twice = json_text(person.header(ACCESS)).removesuffix("}") + f',"kid":"{forger.kid}"}}'
    stolen = f"{segment(twice)}.{access.partition('.')[2]}"
    signed = forger.token(claims.removesuffix("}") + f',"sub":"{person.id}"}}', twice)
    assert await auth_app.verify_token(stolen) == 401

    await auth_app.http.post(f"{AUTH}/logout", headers=bearer(access))

    assert [await auth_app.verify_token(token) for token in (access, stolen, signed)] == [401] * 3


@pytest.mark.parametrize("kind", [REFRESH, TEMPORARY])
async def test_no_other_spelling_of_a_used_token_is_a_second_one(doors: Doors, person: LoggedIn, kind: str) -> None:
    token = person.tokens[kind]
    spelled = {spelling: spelling.format(token) for spelling in ("{}=", "{}==", "{}.", ".{}", "{}\n", " {}", "{}\t")}
    if kind == TEMPORARY:  # no header can hold a line break, and white space around a value is not part of it
        spelled = {name: text for name, text in spelled.items() if text == text.strip()}

    assert await doors.not_refused(kind, spelled) == {}


@pytest.mark.parametrize("kind", [ACCESS, TEMPORARY])
async def test_a_token_in_the_query_the_body_or_a_cookie_is_not_looked_at(
    auth_app: AuthApp, person: LoggedIn, kind: str
) -> None:
    token = person.tokens[kind]
    method, path = ("POST", VERIFY) if kind == ACCESS else ("GET", f"{AUTH}/challenge")

    for name in ("access_token", "token", "temporary_token", "authorization"):
        for offered, refusal in (
            ({"params": {name: token}}, (422, "invalid_request")),  # there is no such parameter
            ({"data": {name: token}}, (401, "token_missing")),
            ({"json": {name: token}}, (401, "token_missing")),
            ({"headers": {"Cookie": f"{name}={token}"}}, (401, "token_missing")),
        ):
            answer = await auth_app.http.request(method, path, **offered)  # type: ignore[arg-type] # one of four
            assert (answer.status_code, answer.json()["code"]) == refusal, offered
