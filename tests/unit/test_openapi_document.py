"""The OpenAPI document as people and generators of clients read it: names, order, examples, explanations."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from deploy.gateway import docs
from services.auth.api.schemas import LoggedInOut, OtpRequiredOut, TokenPairOut
from shared.web.api_docs import ORDER


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return docs.document()


@pytest.fixture(scope="module")
def operations(document: dict[str, Any]) -> dict[str, Any]:
    return {each["operationId"]: each for methods in document["paths"].values() for each in methods.values()}


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
    names = [each["$ref"].rpartition("/")[2] for each in answer["schema"]["anyOf"]]
    told = {name: schemas[name]["properties"]["otp_required"]["const"] for name in names}
    assert told == {"TokenPairOut": False, "OtpRequiredOut": True}
    assert all("otp_required" in schemas[name]["required"] for name in names)


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
        name: next(iter(operation["security"][0])) for name, operation in operations.items() if "security" in operation
    }
    verify = {f"verify_{method}" for method in ("otp", "totp", "recovery", "passkey", "password")}
    second_step = verify | {"send_code", "resend_otp", "challenge", "ask_for_second_step"}
    assert {name for name, scheme in wanted.items() if scheme == "temporary_token"} == second_step
    assert all("/api/v1/auth/" in scheme["description"] for scheme in schemes.values())
