"""The OpenAPI document as people and generators of clients read it: names, order, examples, explanations."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest

from deploy import openapi
from deploy.gateway import docs
from services.auth.api.schemas import LoggedInOut, OtpRequiredOut, TokenPairOut
from shared.web.api_docs import ORDER


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return docs.document()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, Any]:
    return {each["operationId"]: each for methods in document["paths"].values() for each in methods.values()}


def test_the_frozen_document_is_the_published_one() -> None:
    assert openapi.FROZEN.read_text() == openapi.text(), "docs/openapi.json is out of date: make openapi writes it"


def test_the_page_for_people_says_the_same() -> None:
    assert openapi.PAGE.read_text() == openapi.page(), "docs/api.md is out of date: make openapi writes it"


def test_every_operation_has_its_tag_and_its_place(operations: dict[str, Any]) -> None:
    listed = {name: tag for tag, (_, names) in ORDER.items() for name in names}
    assert {name: operation.get("tags") for name, operation in operations.items()} == {
        name: [tag] for name, tag in listed.items()
    }


def test_tags_and_their_operations_come_in_the_order_of_use(
    document: dict[str, Any], operations: dict[str, Any]
) -> None:
    assert [tag["name"] for tag in document["tags"]] == list(ORDER)
    assert all(tag["description"] for tag in document["tags"])
    login = [name for name, operation in operations.items() if operation["tags"] == ["login"]]
    assert login == list(ORDER["login"][1])
    first = list(operations)
    assert first.index("registration") < first.index("token") < first.index("list_own_sessions")


def test_the_two_answers_of_a_login_are_told_apart_by_a_field_that_both_have(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    answer = document["paths"]["/api/v1/auth/token"]["post"]["responses"]["200"]["content"]["application/json"]
    names = [each["$ref"].rpartition("/")[2] for each in answer["schema"]["oneOf"]]
    told = {name: schemas[name]["properties"]["otp_required"]["const"] for name in names}
    assert told == {"TokenPairOut": False, "OtpRequiredOut": True}
    assert all("otp_required" in schemas[name]["required"] for name in names)


def test_each_body_is_json_and_has_a_name(operations: dict[str, Any]) -> None:
    bodies = {name: each["requestBody"]["content"] for name, each in operations.items() if "requestBody" in each}
    assert bodies["token"] == {"application/json": {"schema": {"$ref": "#/components/schemas/Credentials"}}}
    assert [list(kinds) for kinds in bodies.values()] == [["application/json"]] * len(bodies)
    assert [name for name, kinds in bodies.items() if "$ref" not in kinds["application/json"]["schema"]] == []


def test_the_form_of_the_login_is_documented_in_words(document: dict[str, Any], operations: dict[str, Any]) -> None:
    form = "application/x-www-form-urlencoded"
    assert form in operations["token"]["requestBody"]["description"]
    assert form in document["info"]["description"]


def test_each_refusal_lists_its_codes(document: dict[str, Any], operations: dict[str, Any]) -> None:
    def codes(operation: str, status: str) -> list[str]:
        (content,) = operations[operation]["responses"][status]["content"].values()
        schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
        listed: list[str] = schema["allOf"][1]["properties"]["code"]["enum"]
        assert schema["examples"][0]["code"] in listed
        return listed

    assert codes("token", "400") == ["bad_request", "codes_off", "incorrect_credentials"]
    assert codes("me", "401") == ["invalid_token", "scheme_not_bearer", "token_missing"]
    assert "not_found" in codes("forward_demands", "403")  # what a gateway can not pass on comes as 403
    for name, operation in operations.items():
        for status in operation["responses"]:
            if status >= "400":
                assert codes(name, status)


def test_headers_that_a_client_uses_are_documented(document: dict[str, Any], operations: dict[str, Any]) -> None:
    assert all(
        "X-Request-ID" in answer["headers"] for each in operations.values() for answer in each["responses"].values()
    )
    for operation, status, header in (
        ("me", "200", "ETag"),
        ("change_own_account", "200", "ETag"),
        ("registration", "201", "Location"),
        ("registration", "409", "Retry-After"),
        ("list_accounts", "200", "Link"),
        ("token", "429", "Retry-After"),
        ("me", "401", "WWW-Authenticate"),
        ("jwks", "304", "ETag"),
    ):
        assert header in operations[operation]["responses"][status]["headers"], (operation, status)
        assert document["components"]["headers"][header]["description"]


def test_the_introduction_leads_through_a_login_by_routes_that_are_there(document: dict[str, Any]) -> None:
    text = document["info"]["description"]
    named = re.findall(r"`(GET|POST) (/[^`]+)`", text)
    assert len(set(named)) == 6
    assert [(method, path) for method, path in named if method.lower() not in document["paths"][path]] == []
    assert re.findall(r"^(\d)\. ", text, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert document["servers"][0]["url"] == "/"


def test_every_field_of_an_answer_is_required_but_those_that_are_left_out_at_times(document: dict[str, Any]) -> None:
    answers = {name: each for name, each in document["components"]["schemas"].items() if name.endswith("Out")}
    lacking = {name: set(each["properties"]) - set(each.get("required", ())) for name, each in answers.items()}
    assert {name: fields for name, fields in lacking.items() if fields} == {
        "AddedPasskeyOut": {"recovery_codes"},
        "FirstCodesOut": {"recovery_codes"},
        "LoggedInOut": {"device_token", "recovery_codes_left"},
        "OtpRequiredOut": {"methods", "sent"},
    }


def test_what_the_document_calls_required_is_in_the_answers() -> None:
    """And no more: as the routes leave out what is null."""
    tokens = {"access_token": "a", "refresh_token": "b", "expires_in": 1}
    for answer in (TokenPairOut(**tokens), LoggedInOut(**tokens), OtpRequiredOut(temporary_token="a", expires_in=1)):
        required = type(answer).model_json_schema(mode="serialization")["required"]
        assert set(answer.model_dump(exclude_none=True)) == set(required)


def test_the_fields_of_a_request_have_examples_that_differ(document: dict[str, Any]) -> None:
    for name in (
        "RegistrationIn",
        "OtpIn",
        "RefreshIn",
        "PasswordIn",
        "CodeIn",
        "ResetIn",
        "AccountIn",
        "InvitationIn",
    ):
        fields = document["components"]["schemas"][name]["properties"]
        examples = {field: each["examples"][0] for field, each in fields.items() if each.get("examples")}
        same = {"password", "confirm_password"} & examples.keys()
        assert examples, name
        assert max(Counter(map(str, examples.values())).values()) == max(1, len(same)), (name, examples)


def test_the_example_of_a_patch_changes_one_harmless_field(document: dict[str, Any]) -> None:
    assert [set(each) for each in document["components"]["schemas"]["AccountPatch"]["examples"]] == [{"name"}]


def test_authorize_explains_which_token_goes_where(document: dict[str, Any], operations: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert {"access_token", "temporary_token"} == set(schemes)
    wanted = {
        name: next(iter(operation["security"][0])) for name, operation in operations.items() if operation["security"]
    }
    verify = {f"verify_{method}" for method in ("otp", "totp", "recovery", "passkey", "password")}
    second_step = verify | {"send_code", "resend_otp", "challenge", "ask_for_second_step"}
    assert {name for name, scheme in wanted.items() if scheme == "temporary_token"} == second_step
    assert all("/api/v1/auth/" in scheme["description"] for scheme in schemes.values())
