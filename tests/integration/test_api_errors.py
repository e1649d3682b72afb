"""Malformed requests, and what they are told: docs/api-errors.md shows each sentence as the services say it."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from deploy.standalone.front import Front
from tests.asking import client_of, problem, small_app
from tests.composed import AuthApp, UsersApp, auth_app, bearer, bus, inbox, jwks_url, keys, users_app
from tests.inbox import Inbox
from tests.malformed_requests import MALFORMED, Malformed
from tests.security.somebody import LoggedIn, log_in

__all__ = ("auth_app", "bus", "inbox", "jwks_url", "keys", "users_app")

PAGE = Path(__file__).parents[2] / "docs" / "api-errors.md"
MARKED = re.compile(r"(?<=<!-- errors -->\n).*?(?=\n<!-- /errors -->)", re.DOTALL)
WRITE = "WRITE_DOCS"  # WRITE_DOCS=1 make test ARGS='-k api_errors' puts the table in its place

# Words of the libraries below us, which say what a program got instead of what a person should send.
JARGON = re.compile(
    r"Input should|Value should|Field required|String should|dictionary|instance of|decode error|\^\[|pattern|regex"
)


@pytest.fixture
async def person(inbox: Inbox, auth_app: AuthApp, users_app: UsersApp) -> LoggedIn:
    return await log_in(auth_app, users_app)


@pytest.fixture
async def client(auth_app: AuthApp, users_app: UsersApp) -> AsyncIterator[httpx.AsyncClient]:
    """Both services at one address."""
    async with client_of(Front(auth=auth_app.app, users=users_app.app, portal=small_app())) as client:
        yield client


async def send(client: httpx.AsyncClient, person: LoggedIn, asked: Malformed) -> httpx.Response:
    authorization = bearer(person.tokens[asked.bearer]) if asked.bearer else {}
    headers = asked.headers | authorization
    return await client.request(asked.method, asked.url, content=asked.content, headers=headers)


def row(asked: Malformed, answer: httpx.Response) -> str:
    document = problem(answer, answer.status_code, answer.json()["code"])
    route = asked.line.partition("?")[0].removesuffix("%0a")
    return f"| {asked.sent} | `{route}` | {answer.status_code} `{document['code']}` | {document['detail']} |"


async def tables(client: httpx.AsyncClient, person: LoggedIn) -> str:
    lines = []
    for heading, requests in MALFORMED.items():
        lines += [f"## {heading}", "", "| what was sent | to | answer | sentence |", "| --- | --- | --- | --- |"]
        lines += [row(asked, await send(client, person, asked)) for asked in requests]
        lines.append("")
    return "\n".join(lines).strip()


async def test_the_page_shows_what_malformed_requests_are_told(client: httpx.AsyncClient, person: LoggedIn) -> None:
    now = await tables(client, person)
    if os.environ.get(WRITE):
        PAGE.write_text(MARKED.sub(lambda _: now, PAGE.read_text()))
    (shown,) = MARKED.findall(PAGE.read_text())
    assert shown == now, f"{PAGE.name} is out of date: {WRITE}=1 make test ARGS='-k api_errors' writes it anew"


async def test_each_sentence_is_one_for_a_person_and_repeats_nothing_secret(
    client: httpx.AsyncClient, person: LoggedIn
) -> None:
    for asked in (each for requests in MALFORMED.values() for each in requests):
        answer = await send(client, person, asked)
        assert 400 <= answer.status_code < 500, asked.sent
        sentence = answer.json()["detail"]
        assert not JARGON.search(answer.text), (asked.sent, sentence)
        assert " " in sentence, (asked.sent, sentence)
        for secret in ("correct horse battery", "123456", *person.tokens.values()):
            assert secret not in answer.text, asked.sent


def test_no_two_requests_of_the_list_are_the_same() -> None:
    requests = [each for requests in MALFORMED.values() for each in requests]
    assert len({each.sent for each in requests}) == len(requests) >= 40
