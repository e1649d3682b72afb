"""Passkeys of an account: enrolled, shown, used alone and as the second step, removed. What an attacker tries is in
tests/security/test_s54_passkeys.py.
"""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from login2fa_testing.software_passkey import SoftwarePasskey
from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts, Pair, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.factor_steps import claims
from tests.inbox import Inbox
from tests.passkey_steps import ORIGIN, PasskeySteps
from tests.servers.databases import Databases


@pytest.fixture
async def account(accounts: Accounts, auth_app: AuthApp) -> AccountChanged:
    _ = auth_app
    return await accounts.new()


@pytest.fixture
async def owner(auth_app: AuthApp, account: AccountChanged) -> Pair:
    return pair(await auth_app.log_in(account.username))


async def listed(auth: AuthApp, owner: Pair) -> list[dict[str, Any]]:
    answer = await auth.http.get(f"{AUTH}/factors", headers=bearer(owner.access))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["passkeys"]
    return found


@pytest.mark.parametrize("synced", [False, True])
async def test_a_passkey_is_the_whole_login_of_the_account_that_enrolled_it(
    account: AccountChanged, auth_app: AuthApp, passkeys: PasskeySteps, inbox: Inbox, synced: bool
) -> None:
    passkey = await passkeys.enrolled(account, synced=synced)

    logins = [pair(await passkeys.log_in(passkey)) for _ in range(2)]

    told = claims(logins[1].access)
    assert (told["sub"], told["amr"], told["acr"]) == (
        str(account.account_id),
        ["pop", "user", "mfa"],
        "urn:login2fa:acr:3",
    )
    (shown,) = await listed(auth_app, logins[1])
    assert (shown["name"], shown["synced"], shown["transports"]) == ("Passkey", synced, ["internal"])
    assert shown["last_used_at"] is not None
    assert not inbox.codes[account.email]


async def test_a_passkey_completes_a_login_with_a_password_and_the_device_is_remembered_if_asked_for(
    account: AccountChanged, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    passkey = await passkeys.enrolled(account)

    asked = (await auth_app.log_in(account.username)).json()
    answer = await passkeys.verify(asked["temporary_token"], passkey, remember=True)

    assert (asked["methods"], asked["sent"]) == (["passkey", "recovery"], False)
    told = claims(pair(answer).access)
    assert (told["amr"], told["acr"]) == (["pwd", "pop", "user", "mfa"], "urn:login2fa:acr:3")
    assert answer.json()["device_token"]


async def test_the_first_factor_brings_recovery_codes_ends_other_sessions_and_is_told_of(
    auth_app: AuthApp, account: AccountChanged, owner: Pair, passkeys: PasskeySteps, sql: asyncpg.Connection
) -> None:
    other = pair(await auth_app.log_in(account.username))

    added = await passkeys.enrol(owner, SoftwarePasskey(ORIGIN), "  My phone ")

    assert (added.status_code, added.json()["name"], len(added.json()["recovery_codes"])) == (201, "My phone", 10)
    assert (await auth_app.verify_token(owner.access), await auth_app.verify_token(other.access)) == (200, 401)
    told = await sql.fetchval("SELECT words FROM notices")
    assert "passkey_added" in told


async def test_options_ask_for_a_verified_person_and_a_key_that_is_found_without_a_name(
    account: AccountChanged, passkeys: PasskeySteps
) -> None:
    passkey = await passkeys.enrolled(account)
    owner = pair(await passkeys.log_in(passkey))

    options = (await passkeys.question("factors/passkeys/options", owner.access))["options"]
    login = (await passkeys.question("passkey/options"))["options"]
    second = (await passkeys.question("challenge/passkey", await passkeys.temporary(account)))["options"]

    assert options["authenticatorSelection"] == {
        "residentKey": "required",
        "requireResidentKey": True,
        "userVerification": "required",
    }
    assert options["attestation"] == "none"
    assert [each["alg"] for each in options["pubKeyCredParams"]] == [-7, -8, -257]
    assert [each["transports"] for each in options["excludeCredentials"]] == [["internal"]]
    assert len(options["user"]["id"]) == 43  # 32 random bytes, which tell nothing of the account
    assert (login["userVerification"], login["allowCredentials"]) == ("required", [])
    assert (second["userVerification"], second["allowCredentials"]) == ("required", options["excludeCredentials"])


async def test_asking_to_log_in_writes_nothing(
    auth_app: AuthApp, passkeys: PasskeySteps, sql: asyncpg.Connection
) -> None:
    _ = auth_app
    before = await sql.fetchval("SELECT pg_current_xact_id()::text::bigint")

    for _ in range(3):
        await passkeys.question("passkey/options")

    written = "SELECT count(*) FROM used_ceremonies UNION ALL SELECT count(*) FROM outbox WHERE xmin::text::bigint > $1"
    assert [row[0] for row in await sql.fetch(written, before)] == [0, 0]


async def test_a_passkey_is_named_and_removed_by_its_owner_alone(
    account: AccountChanged, accounts: Accounts, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    passkey = await passkeys.enrolled(account)
    owner = pair(await passkeys.log_in(passkey))
    stranger = pair(await passkeys.log_in(await passkeys.enrolled(await accounts.new())))
    path = f"{AUTH}/factors/passkeys/{passkey.id}"

    for caller, status in ((stranger, 404), (owner, 200)):
        named = await auth_app.http.patch(path, headers=bearer(caller.access), json={"name": "Key on my ring"})
        assert named.status_code == status
    assert named.json()["name"] == "Key on my ring"
    for caller, statuses in ((stranger, [404]), (owner, [204, 404])):
        for status in statuses:
            assert (await auth_app.http.delete(path, headers=bearer(caller.access))).status_code == status

    assert await listed(auth_app, owner) == []
    assert (await passkeys.log_in(passkey)).json()["code"] == "passkey_not_valid"
    assert pair(await auth_app.log_in(account.username))  # the password is enough again, and recovery codes are gone


async def test_a_removal_ends_the_sessions_of_the_passkey_but_the_one_that_asked(
    account: AccountChanged, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    passkey = await passkeys.enrolled(account)
    asking, other = [pair(await passkeys.log_in(passkey)) for _ in range(2)]

    await auth_app.http.delete(f"{AUTH}/factors/passkeys/{passkey.id}", headers=bearer(asking.access))

    assert (await auth_app.verify_token(asking.access), await auth_app.verify_token(other.access)) == (200, 401)


async def test_an_account_has_at_most_twenty_passkeys(
    account: AccountChanged, passkeys: PasskeySteps, sql: asyncpg.Connection
) -> None:
    passkey = await passkeys.enrolled(account)
    owner = pair(await passkeys.log_in(passkey))
    last = await passkeys.answered("factors/passkeys/options", SoftwarePasskey(ORIGIN), owner.access)
    more = """
    INSERT INTO passkeys (id, account_id, credential_id, public_key, sign_count, synced, transports, aaguid, name)
    SELECT gen_random_uuid(), account_id, uuid_send(gen_random_uuid()), public_key, 0, synced, transports, aaguid, name
    FROM passkeys, generate_series(1, 19)
    """
    await sql.execute(more)

    answers = [await passkeys.post("factors/passkeys", owner.access, **last)]
    answers += [await passkeys.post("factors/passkeys/options", owner.access)]

    assert [(each.status_code, each.json()["code"]) for each in answers] == [(409, "too_many_passkeys")] * 2


async def test_a_passkey_is_asked_for_in_the_second_step_only_if_the_account_has_one(
    accounts: Accounts, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    account = await accounts.new(is_2fa=True)
    temporary = (await auth_app.log_in(account.username)).json()["temporary_token"]

    answer = await passkeys.post("challenge/passkey", temporary)

    assert (answer.status_code, answer.json()["code"]) == (409, "method_not_offered")


@pytest.mark.parametrize("end", ["inactive", "deleted"])
async def test_a_passkey_ends_with_its_account_and_the_answer_tells_nothing(
    account: AccountChanged, accounts: Accounts, passkeys: PasskeySteps, end: str
) -> None:
    passkey = await passkeys.enrolled(account)
    unknown = await passkeys.log_in(copy.copy(passkey), credential_id=b"nobody's")

    await (accounts.delete(account) if end == "deleted" else accounts.change(account, is_active=False))

    answer = await passkeys.log_in(passkey)
    assert (answer.status_code, answer.content) == (400, unknown.content)


async def test_a_change_of_factors_and_a_login_in_its_second_step_do_not_wait_for_each_other_forever(
    account: AccountChanged, auth_app: AuthApp, passkeys: PasskeySteps
) -> None:
    """Each locks the challenge before the passkey."""
    for _ in range(5):
        passkey = await passkeys.enrolled(account)
        owner = pair(await passkeys.log_in(passkey))
        temporary = await passkeys.temporary(account)
        body = await passkeys.answered("challenge/passkey", passkey, temporary)
        path = f"{AUTH}/factors/passkeys/{passkey.id}"

        login, removed = await asyncio.gather(
            passkeys.post("verify-passkey", temporary, **body),
            auth_app.http.delete(path, headers=bearer(owner.access)),
        )

        assert (login.status_code in (200, 400), removed.status_code) == (True, 204)
        if login.status_code == 200:
            assert await auth_app.verify_token(login.json()["access_token"]) == 401


async def test_where_passkeys_are_off_there_are_none_to_begin_or_to_answer(
    databases: Databases, keys: Keys, bus: MemoryBus, accounts: Accounts
) -> None:
    async with running_auth(auth_settings(databases, keys, passkeys="off"), bus) as auth:
        passkeys, account = PasskeySteps(auth), await accounts.new()
        owner = pair(await auth.log_in(account.username))
        signed = {"clientDataJSON": "", "authenticatorData": "", "signature": "", "attestationObject": ""}
        body: dict[str, Any] = {
            "ceremony": "",
            "credential": {"id": "", "rawId": "", "type": "public-key", "response": signed},
        }
        answers = [
            await passkeys.post("factors/passkeys/options", owner.access),
            await passkeys.post("factors/passkeys", owner.access, **body),
            await passkeys.post("passkey/options"),
            await passkeys.post("passkey", **body),
        ]
        gone = await auth.http.delete(f"{AUTH}/factors/passkeys/{uuid4()}", headers=bearer(owner.access))
        listed = await auth.http.get(f"{AUTH}/factors", headers=bearer(owner.access))

    assert listed.json()["passkeys_offered"] is False
    assert [(each.status_code, each.json()["code"]) for each in answers] == [(409, "passkeys_off")] * 4
    assert gone.status_code == 404


def test_the_library_of_passkeys_is_imported_only_where_they_are_on() -> None:
    script = (
        "import sys; import services.auth.app; from services.auth.factors.assertions import Site;"
        " from services.auth.relying_party import RelyingParty;"
        " Site.of(None); print('webauthn' in sys.modules);"
        " Site.of(RelyingParty(rp_id='localhost', rp_name='x', origins=())); print('webauthn' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["False", "True"]
