"""One OpenAPI document and one page for all services, which work without internet: shared.web.api_docs."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel, create_model
from starlette.applications import Starlette

from shared.web import api_docs
from shared.web.bearer import NotPermitted
from shared.web.openapi_responses import ONLY, refused
from shared.web.problems import TooManyRequests
from tests.asking import small_app


class Thing(BaseModel):
    name: str


def app_with(path: str, model: type[BaseModel]) -> FastAPI:
    app = small_app()

    async def route(given: BaseModel) -> None: ...

    route.__name__ = f"post_{path.strip('/')}"
    route.__annotations__["given"] = model
    app.post(path)(route)
    return app


def named(document: dict[str, Any]) -> set[str]:
    """The schemas of the services' own."""
    return {name for name in document["components"]["schemas"] if not name.endswith("Problem")}


def test_the_document_covers_every_service() -> None:
    document = api_docs.document([app_with("/a", Thing), app_with("/b", create_model("Other", size=(int, ...)))], "1.2")
    assert set(document["paths"]) == {"/a", "/b"}
    assert named(document) == {"Thing", "Other"}
    assert document["info"]["version"] == "1.2"


def test_a_schema_that_two_services_share_is_one() -> None:
    document = api_docs.document([app_with("/a", Thing), app_with("/b", Thing)], "1")
    assert named(document) == {"Thing"}


@pytest.mark.parametrize("name", ["Thing", "Problem"])
def test_two_schemas_of_one_name_are_refused_rather_than_one_lost(name: str) -> None:
    others = [app_with("/a", Thing), app_with("/b", create_model(name, size=(int, ...)))]
    with pytest.raises(ValueError, match=f"two services have a schema {name}"):
        api_docs.document(others, "1")


def test_every_operation_tells_of_problem_documents_and_not_of_fastapi_s_own_errors() -> None:
    document = api_docs.document([app_with("/a", Thing)], "1")
    responses = document["paths"]["/a"]["post"]["responses"]
    assert list(responses) == ["200", "400", "413", "422", "431", "500", "503"]
    for status in list(responses)[1:]:
        (schema,) = (content["schema"] for content in responses[status]["content"].values())
        assert list(responses[status]["content"]) == ["application/problem+json"]
        assert schema["$ref"].endswith("Problem")
    assert "Retry-After" in responses["503"]["headers"]
    assert "HTTPValidationError" not in str(document)


def test_a_route_tells_its_own_refusals_with_their_codes() -> None:
    app = small_app()

    async def route() -> None: ...

    app.get("/a", responses=refused(NotPermitted, TooManyRequests))(route)
    responses = api_docs.document([app], "1")["paths"]["/a"]["get"]["responses"]
    assert list(responses) == ["200", "400", "403", "413", "422", "429", "431", "500", "503"]
    assert responses["403"]["description"] == "`not_enough_permissions`: Not enough permissions"
    assert "Retry-After" in responses["429"]["headers"]


def test_an_operation_of_few_statuses_says_so() -> None:
    app = small_app()

    async def route() -> None: ...

    app.get("/a", status_code=204, responses=refused(NotPermitted), openapi_extra={ONLY: [204, 403]})(route)
    assert set(api_docs.document([app], "1")["paths"]["/a"]["get"]["responses"]) == {"204", "403"}


def test_every_reference_inside_the_document_leads_somewhere() -> None:
    document = api_docs.document([app_with("/a", Thing)], "1")
    references = set(re.findall(r"'\$ref': '#/components/(\w+)/([\w-]+)'", str(document)))
    assert {("schemas", "Thing"), ("schemas", "Problem"), ("headers", "Retry-After")} <= references
    assert [name for kind, name in references if name not in document["components"][kind]] == []


def test_to_make_the_document_twice_gives_the_same() -> None:
    apps = [app_with("/a", Thing)]
    assert api_docs.document(apps, "1") == api_docs.document(apps, "1")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=api_docs.routes(api_docs.document([app_with("/a", Thing)], "1")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://login.test") as client:
        yield client


def test_an_operation_is_called_as_its_function_is() -> None:
    document = api_docs.document([app_with("/a", Thing)], "1")
    assert document["paths"]["/a"]["post"]["operationId"] == "post_a"


def test_two_operations_of_one_name_are_refused_as_no_client_could_have_both() -> None:
    with pytest.raises(ValueError, match="two operations have the id post_a"):
        api_docs.document([app_with("/a", Thing), app_with("/a/", Thing)], "1")


async def test_the_page_references_no_address_outside(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text
    assert "validatorUrl: null" in page.text  # else a badge is fetched from swagger.io


async def test_everything_that_the_page_references_is_there(client: httpx.AsyncClient) -> None:
    page = (await client.get("/docs")).text
    references = re.findall(r'(?:href|src)="([^"]+)"', page) + re.findall(r'url: "([^"]+)"', page)
    assert len(references) == 3
    for reference in references:
        answer = await client.get(f"/{reference}")
        assert answer.status_code == 200, reference
        assert answer.content


async def test_the_document_is_served_as_json(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert set(answer.json()["paths"]) == {"/a"}
