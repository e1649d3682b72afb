"""S41: a query parameter that a route does not know is refused, on every route of both services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from services.auth import app as auth
from services.auth.settings import AuthSettings
from services.users import app as users
from services.users.settings import UsersSettings
from shared.configuration.settings import SettingsInvalid, load
from shared.web.application import Service
from shared.web.openapi_responses import completed
from tests.asking import client_of, problem
from tests.composed import AUTH, USERS

FORWARD = f"{AUTH}/forward"
SECRET = "not-to-be-repeated"


def auth_service() -> Service:
    return auth.build(AuthSettings.model_construct())


def users_service() -> Service:
    return users.build(UsersSettings.model_construct())


@dataclass(frozen=True, slots=True)
class Operation:
    service: str
    method: str
    path: str
    parameters: tuple[str, ...]

    @property
    def url(self) -> str:
        return self.path.format_map(_Ids())


class _Ids(dict[str, str]):
    def __missing__(self, _name: str) -> str:
        return "01890a5d-ac96-774b-bcce-b302099a8057"


def operations() -> Iterator[Operation]:
    """From the tables of routes and the OpenAPI documents: a new route can not escape."""
    for name, service in SERVICES.items():
        document = service.openapi()
        for context in iter_route_contexts(service.routes):
            for method in context.methods or ():
                told: dict[str, Any] = document["paths"][context.path_format][method.lower()]
                parameters = (each["name"] for each in told.get("parameters", ()) if each["in"] == "query")
                yield Operation(name, method, str(context.path_format), tuple(parameters))


SERVICES = {"auth": auth_service(), "users": users_service()}
OPERATIONS = list(operations())


@pytest.fixture
async def clients() -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Without their parts: a request that gets as far as those is answered 500."""
    async with client_of(auth_service()) as auth_client, client_of(users_service()) as users_client:
        yield {"auth": auth_client, "users": users_client}


def told(operation: Operation, answer: httpx.Response, name: str) -> None:
    if operation.path.startswith(FORWARD):
        document = problem(answer, 403, "invalid_request")
    else:
        document = problem(answer, 422, "invalid_request")
        assert [each["field"] for each in document["errors"]] == [name]
    assert document["detail"].startswith(f"{name}: ")
    assert SECRET not in answer.text


def test_the_tables_hold_the_routes_that_are_known() -> None:
    paths = {operation.path for operation in OPERATIONS}
    assert {f"{AUTH}/token", FORWARD, f"{USERS}/", f"{USERS}/me", "/.well-known/jwks.json"} <= paths
    assert {"user_id", "email", "limit"} <= {name for each in OPERATIONS for name in each.parameters}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
async def test_a_parameter_that_the_route_does_not_know_is_refused(
    clients: dict[str, httpx.AsyncClient], operation: Operation
) -> None:
    for name in ("id", "mail", "USER_ID", "user_id ", "access_token", ""):
        for known in ("", *(f"{each}=x&" for each in operation.parameters[:1])):
            query = f"{known}{name.replace(' ', '+')}={SECRET}"
            answer = await clients[operation.service].request(operation.method, f"{operation.url}?{query}")
            told(operation, answer, name or "query")


@pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.parameters], ids=lambda each: f"{each.method} {each.path}"
)
async def test_a_parameter_that_is_given_twice_is_refused(
    clients: dict[str, httpx.AsyncClient], operation: Operation
) -> None:
    for name in operation.parameters:
        for second in (f"{name}={SECRET}", name, f"%{ord(name[0]):x}{name[1:]}={SECRET}"):
            url = f"{operation.url}?{name}={SECRET}&{second}"
            told(operation, await clients[operation.service].request(operation.method, url), name)


async def test_a_query_of_very_many_parameters_is_refused(clients: dict[str, httpx.AsyncClient]) -> None:
    answer = await clients["users"].get(f"{USERS}/?" + "user_id=1&" * 200)
    problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("query", ["", "?", "?&"])
async def test_an_empty_query_is_none(clients: dict[str, httpx.AsyncClient], query: str) -> None:
    answer = await clients["users"].get(f"{USERS}/me{query}")
    problem(answer, 401, "token_missing")


async def test_below_envoy_path_and_query_are_the_client_s_own(clients: dict[str, httpx.AsyncClient]) -> None:
    for path in ("/envoy?id=1", "/envoy/a/b?id=1&id=2", "/admin/envoy/x?user_id=1"):
        problem(await clients["auth"].get(FORWARD + path), 401, "token_missing")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_the_document_says_so(operation: Operation) -> None:
    document = SERVICES[operation.service].openapi()["paths"][operation.path][operation.method.lower()]
    wanted = {"403"} if operation.path.startswith(FORWARD) else {"400", "422"}
    assert wanted <= {str(status) for status in completed(document)}


@pytest.mark.parametrize("text", ["localhost", "127.0.0.1/33", "10.0.0.1/8", "127.0.0.1;10.0.0.1", "*,10.0.0.0/8"])
def test_a_proxy_that_is_no_address_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(SettingsInvalid, match="TRUSTED_PROXIES"):
        load(UsersSettings, trusted_proxies=text)
