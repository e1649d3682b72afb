"""PATCH /users/: merge-patch (RFC 7396), of oneself, or by an admin of anybody."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.polling import eventually
from tests.stacks.problems import ITEM_NOT_FOUND, NOT_PERMITTED, TOKEN_NOT_VALID, invalid, refused
from tests.stacks.stack import Person, Stack
from tests.stacks.steps import (
    admin,
    bearer,
    change_email,
    log_in,
    pair,
    refresh,
    register,
    somebody,
    submit_password,
    verify_token,
)
from tests.stacks.time_passes import seconds_pass

PATH = "/api/v1/users/"
ME = "/api/v1/users/me"


@pytest.fixture
async def person(stack: Stack) -> Person:
    return await register(stack)


@pytest.fixture
async def own(stack: Stack, person: Person) -> dict[str, str]:
    """The header of `person`."""
    return bearer((await log_in(stack, person)).access)


async def patch(
    stack: Stack, headers: dict[str, str], changes: Any, *, of: str | None = None, if_match: str | None = None
) -> httpx.Response:
    query = {"user_id": of} if of else {}
    headers = headers | ({"If-Match": if_match} if if_match else {})
    return await stack.http.patch(PATH, params=query, json=changes, headers=headers)


async def account_of(stack: Stack, person: Person) -> dict[str, Any]:
    answer = await stack.http.get(PATH, params={"user_id": person.id}, headers=await admin(stack))
    [account] = answer.json()
    return dict(account)


async def test_what_is_absent_stays(stack: Stack, person: Person, own: dict[str, str]) -> None:
    before = await account_of(stack, person)

    answer = await patch(stack, own, {"lastname": "Gore"})

    assert answer.status_code == 200
    after = answer.json()
    assert {name for name in after if after[name] != before[name]} == {"lastname", "full_name", "modified_at"}
    assert (after["lastname"], after["full_name"]) == ("Gore", "Dave Gore")
    assert datetime.fromisoformat(after["modified_at"]) > datetime.fromisoformat(before["modified_at"])
    assert await account_of(stack, person) == after


async def test_the_media_type_of_a_merge_patch_is_understood(stack: Stack, own: dict[str, str]) -> None:
    headers = own | {"Content-Type": "application/merge-patch+json"}

    answer = await stack.http.patch(PATH, content=b'{"name": "Alan"}', headers=headers)

    assert (answer.status_code, answer.json()["name"]) == (200, "Alan")


async def test_one_may_name_oneself(stack: Stack, person: Person, own: dict[str, str]) -> None:
    answer = await patch(stack, own, {"name": "Alan"}, of=person.id)

    assert (answer.status_code, answer.json()["name"]) == (200, "Alan")


async def test_an_admin_changes_somebody_else(stack: Stack, person: Person, own: dict[str, str]) -> None:
    answer = await patch(stack, await admin(stack), {"name": "Vince"}, of=person.id)

    assert (answer.status_code, answer.json()["id"], answer.json()["name"]) == (200, person.id, "Vince")
    assert (await stack.http.get(ME, headers=own)).json()["name"] == "Vince"


async def test_an_admin_who_names_nobody_is_told_so(stack: Stack) -> None:
    answer = await patch(stack, await admin(stack), {"name": "Vince"}, of=str(uuid.uuid4()))

    refused(answer, *ITEM_NOT_FOUND)


@pytest.mark.parametrize("right", ["is_admin", "is_active"])
@pytest.mark.parametrize("value", [True, False])
async def test_rights_are_given_and_taken_by_an_admin_only(
    stack: Stack, person: Person, own: dict[str, str], right: str, value: bool
) -> None:
    before = await account_of(stack, person)

    refused(await patch(stack, own, {"name": "Alan", right: value}), *NOT_PERMITTED)

    assert await account_of(stack, person) == before
    by_admin = await patch(stack, await admin(stack), {right: value}, of=person.id)
    assert (by_admin.status_code, by_admin.json()[right]) == (200, value)


async def test_admin_rights_are_read_at_each_request_and_not_from_the_token(
    stack: Stack, person: Person, own: dict[str, str]
) -> None:
    refused(await stack.http.get(PATH, headers=own), *NOT_PERMITTED)

    await patch(stack, await admin(stack), {"is_admin": True}, of=person.id)
    assert (await stack.http.get(PATH, headers=own)).status_code == 200

    await patch(stack, await admin(stack), {"is_admin": False}, of=person.id)
    refused(await stack.http.get(PATH, headers=own), *NOT_PERMITTED)


async def test_an_inactive_account_is_shut_out_at_once(stack: Stack, person: Person, own: dict[str, str]) -> None:
    await patch(stack, await admin(stack), {"is_active": False}, of=person.id)

    refused(await stack.http.get(ME, headers=own), *TOKEN_NOT_VALID)


async def test_an_etag_that_is_still_true_is_needed(stack: Stack, person: Person, own: dict[str, str]) -> None:
    read = (await stack.http.get(ME, headers=own)).headers["etag"]
    first = await patch(stack, own, {"name": "Alan"}, if_match=read)
    assert first.status_code == 200
    assert first.headers["etag"] != read

    refused(await patch(stack, own, {"name": "Vince"}, if_match=read), 412, "version_differs")

    assert (await account_of(stack, person))["name"] == "Alan"
    assert (await patch(stack, own, {"name": "Vince"}, if_match=first.headers["etag"])).status_code == 200
    assert (await patch(stack, own, {"name": "Dave"}, if_match="*")).status_code == 200


async def test_if_match_takes_a_list(stack: Stack, own: dict[str, str]) -> None:
    etag = (await stack.http.get(ME, headers=own)).headers["etag"]

    refused(await patch(stack, own, {"name": "Alan"}, if_match='"other", "another"'), 412, "version_differs")
    assert (await patch(stack, own, {"name": "Alan"}, if_match=f'"other", {etag}')).status_code == 200


@pytest.mark.parametrize("made", ["W/{}", 'W/"{}-gzip"'], ids=["weak", "weak, with the coding"])
async def test_if_match_takes_the_tag_that_a_compressing_gateway_makes_of_ours(
    stack: Stack, own: dict[str, str], made: str
) -> None:
    def of_the_gateway(etag: str) -> str:
        return made.format(etag.strip('"') if "gzip" in made else etag)

    read = (await stack.http.get(ME, headers=own)).headers["etag"]
    assert (await patch(stack, own, {"name": "Alan"}, if_match=of_the_gateway(read))).status_code == 200
    refused(await patch(stack, own, {"name": "Vince"}, if_match=of_the_gateway(read)), 412, "version_differs")


async def test_nothing_changed_is_no_new_version(stack: Stack, own: dict[str, str]) -> None:
    etag = (await stack.http.get(ME, headers=own)).headers["etag"]

    answer = await patch(stack, own, {"name": "Dave"})

    assert (answer.status_code, answer.headers["etag"]) == (200, etag)


@pytest.mark.parametrize("changes", [{}, {"id": str(uuid.uuid4())}, {"password": "x", "version": 9}], ids=repr)
async def test_a_patch_of_nothing_is_refused(stack: Stack, own: dict[str, str], changes: dict[str, Any]) -> None:
    refused(await patch(stack, own, changes), 400, "nothing_to_change")


@pytest.mark.parametrize("field", ["email", "username", "name", "lastname", "is_2fa", "is_admin", "is_active"])
async def test_nothing_can_be_removed(stack: Stack, own: dict[str, str], field: str) -> None:
    invalid(await patch(stack, own, {field: None}), field)


@pytest.mark.parametrize("body", [[], "text", 5, None, [{"name": "Alan"}]], ids=repr)
async def test_a_patch_is_an_object(stack: Stack, own: dict[str, str], body: Any) -> None:
    refused(await patch(stack, own, body), 422, "invalid_request")


async def test_a_taken_name_is_refused(stack: Stack, person: Person, own: dict[str, str]) -> None:
    other = await register(stack)

    for changes in ({"email": other.email.upper()}, {"username": other.username.upper()}):
        answer = await patch(stack, await admin(stack), changes, of=person.id)
        refused(answer, 400, "user_already_exists", "User already exists")
    taken = {"username": other.username.upper()}
    refused(await patch(stack, own, taken), 400, "user_already_exists", "User already exists")
    refused(await patch(stack, own, {"email": "nobody"}), 400, "email_not_valid", "Email not valid")
    assert (await patch(stack, own, {"username": person.username.upper()})).status_code == 200


@pytest.mark.parametrize("field", ["email", "username", "is_2fa"])
async def test_an_old_login_does_not_change_how_one_logs_in(stack: Stack, person: Person, field: str) -> None:
    tokens = await log_in(stack, person)
    await seconds_pass(stack, person, 360)
    old = bearer(pair(await refresh(stack, tokens.refresh)).access)
    new = somebody()
    changes = {"email": new.email, "username": new.username, "is_2fa": True}

    refused(await patch(stack, old, {field: changes[field], "name": "Alan"}), 403, "login_too_old")

    account = await account_of(stack, person)
    assert (account["name"], account["email"], account["is_2fa"]) == ("Dave", person.email, False)
    assert (await patch(stack, old, {"name": "Alan"})).status_code == 200


async def test_a_new_username_is_the_one_to_log_in_with(stack: Stack, person: Person, own: dict[str, str]) -> None:
    name = somebody().username
    assert (await patch(stack, own, {"username": name})).status_code == 200

    assert (await submit_password(stack, person, username=name)).status_code == 200  # at once
    assert (await submit_password(stack, person)).status_code == 400


async def test_two_factor_once_on_is_asked_for_at_the_next_login(
    stack: Stack, person: Person, own: dict[str, str]
) -> None:
    assert (await patch(stack, own, {"is_2fa": True})).status_code == 200

    async def asked() -> bool:
        return (await submit_password(stack, person)).json().get("otp_required") is True

    await eventually(asked)


@pytest.mark.parametrize("change", ["email", "is_2fa"])
async def test_a_change_of_the_second_factor_ends_every_other_session(stack: Stack, change: str) -> None:
    person = await register(stack, is_2fa=change == "email")
    own, other = bearer((await log_in(stack, person)).access), await log_in(stack, person)

    if change == "email":
        await change_email(stack, own, somebody().email)
    else:
        assert (await patch(stack, own, {"is_2fa": True})).status_code == 200

    refused(await stack.http.get(ME, headers=bearer(other.access)), *TOKEN_NOT_VALID)

    async def ended() -> bool:
        return await verify_token(stack, other.access) == 401

    await eventually(ended)
    assert (await stack.http.get(ME, headers=own)).status_code == 200
    assert (await stack.http.post("/api/v1/auth/verify-token", headers=own)).status_code == 200
