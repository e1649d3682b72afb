"""The Postman collection covers the whole API and nothing else, and holds no secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo_accounts import DEMO_ACCOUNTS
from deploy.standalone.postman import COLLECTION, ENVIRONMENT
from services.auth import app as auth
from services.auth.settings import AuthSettings
from services.users import app as users
from services.users.settings import UsersSettings
from shared.web import api_docs

# Served beside the API that the document describes.
DOCUMENTATION = {("GET", "/docs"), ("GET", "/openapi.json")}


def requests(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in folder["item"]:
        if "item" in item:
            yield from requests(item)
        else:
            yield item


def endpoint(item: dict[str, Any]) -> tuple[str, str]:
    url = item["request"]["url"]
    assert url["host"] == ["{{base_url}}"]
    path = "/" + "/".join(url["path"])
    assert url["raw"].partition("?")[0] == "{{base_url}}" + path, "what is shown is what is sent"
    return item["request"]["method"], re.sub(r":(\w+)", r"{\1}", path)


def scripts(item: dict[str, Any], listen: str) -> str:
    return "\n".join(line for event in item["event"] if event["listen"] == listen for line in event["script"]["exec"])


@pytest.fixture(scope="module")
def collection() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(COLLECTION.read_text())
    return loaded


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    return {value["key"]: value["value"] for value in json.loads(ENVIRONMENT.read_text())["values"]}


def test_every_route_has_a_request_and_every_request_a_route(collection: dict[str, Any]) -> None:
    apps = [auth.build(AuthSettings.model_construct()), users.build(UsersSettings.model_construct())]
    paths = api_docs.document(apps, "test")["paths"]
    routes = {(method.upper(), path) for path, operations in paths.items() for method in operations}

    assert {endpoint(item) for item in requests(collection)} == routes | DOCUMENTATION


def test_every_request_has_tests(collection: dict[str, Any]) -> None:
    assert not [item["name"] for item in requests(collection) if "pm.test(" not in scripts(item, "test")]


def test_every_request_has_a_name_of_its_own(collection: dict[str, Any]) -> None:
    names = [item["name"] for item in requests(collection)]

    assert len(names) == len(set(names))


def test_every_variable_that_is_used_is_declared(collection: dict[str, Any], environment: dict[str, str]) -> None:
    text = COLLECTION.read_text()
    used = re.findall(r"\{\{(\w+)\}\}", text) + re.findall(r"ariables\.[gs]et\('(\w+)'", text)
    declared = {variable["key"] for variable in collection["variable"]} | environment.keys()

    assert len(used) > len(declared)
    assert set(used) - declared == set()


def test_no_token_is_kept_and_no_password_but_the_demo_administrators(
    collection: dict[str, Any], environment: dict[str, str]
) -> None:
    administrator = next(account for account in DEMO_ACCOUNTS if account.is_admin)
    everything = COLLECTION.read_text() + ENVIRONMENT.read_text()

    assert (environment["admin_username"], environment["admin_password"]) == (
        administrator.email,
        administrator.password,
    )
    assert (environment["otp"], environment["inbox_url"]) == ("", "")
    assert {variable["value"] for variable in collection["variable"]} == {""}
    assert "eyJ" not in everything, "how every JSON Web Token begins"
