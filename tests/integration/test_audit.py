"""The audit trail: one record for each act, as an event and as a line, with nothing in it that a person has typed."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from uuid import uuid4

from services.auth import tables
from services.auth.login.unlock import unlock_name
from shared.messaging.audit_events import Audited, AuthAudited
from tests.account_codes import AccountCodes
from tests.auth_steps import Accounts, Steps, wrong
from tests.builders import OTHER_PASSWORD, PASSWORD, administration, registered
from tests.composed import (
    AUTH,
    USERS,
    AuthApp,
    Keys,
    UsersApp,
    auth_app,
    auth_settings,
    bearer,
    client,
    inbox,
    jwks_url,
    keys,
    running_auth,
    users_app,
)
from tests.cookie_steps import CookieSteps
from tests.fakes import TroubledBus
from tests.inbox import Inbox
from tests.integration.audit_trail import Expected, Lines, Trail, account_codes, bus, lines, trail
from tests.polling import eventually
from tests.security.somebody import password_accepted, register
from tests.servers.databases import Databases, connected

__all__ = ("account_codes", "auth_app", "bus", "inbox", "jwks_url", "keys", "lines", "trail", "users_app")

HOME = "198.51.100.7"
MARKED = "typed into the field of the name"


REGISTRATION: Expected = ("registration", "ok", None)
ACCOUNT_CODE_SENT: Expected = ("account_code_sent", "ok", None)  # at a registration without 2FA
CODE_SENT: Expected = ("code_sent", "ok", None)
LOGIN: Expected = ("login", "ok", None)


async def test_a_login_with_a_code_is_told_step_by_step(
    auth_app: AuthApp, users_app: UsersApp, inbox: Inbox, trail: Trail
) -> None:
    account = await register(users_app, is_2fa=True)
    temporary = (await password_accepted(auth_app, account["username"])).json()["temporary_token"]
    code = await inbox.code_for(account["email"])
    await auth_app.verify_otp(temporary, wrong(code))
    await auth_app.verify_otp(temporary, code)
    await auth_app.verify_otp(temporary, code)

    await trail.becomes(account["id"], REGISTRATION, ("email_verified", "ok", None), service="users")
    events = await trail.becomes(
        account["id"],
        CODE_SENT,
        ("code_verified", "refused", "wrong_code"),
        ("code_verified", "ok", None),
        LOGIN,
        ("code_verified", "refused", "challenge_over"),
        service="auth",
    )
    assert [event.session_id is not None for event in events] == [False, False, False, True, False]


async def test_a_wrong_password_is_told_with_the_account_and_without_what_was_typed(
    auth_app: AuthApp, users_app: UsersApp, trail: Trail, lines: Lines, bus: TroubledBus
) -> None:
    account = await register(users_app)
    await password_accepted(auth_app, account["username"])
    await trail.becomes(account["id"], REGISTRATION, ACCOUNT_CODE_SENT, LOGIN)
    async with client(auth_app.app, HOME) as http:
        for username in (account["username"], MARKED):
            body = {"username": username, "password": OTHER_PASSWORD}
            asked = await http.post(f"{AUTH}/token", data=body, headers={"X-Request-ID": "request-of-the-test"})
            assert asked.status_code == 400

    def refused() -> list[Audited]:
        found = [event for event in trail.events if event.correlation_id == "request-of-the-test"]
        assert len(found) == 2
        return found

    known, unknown = await eventually(refused)
    assert {(event.act, event.outcome, event.reason) for event in (known, unknown)} == {
        ("login", "refused", "wrong_credentials")
    }
    assert (str(known.account_id), unknown.account_id) == (account["id"], None)
    assert {event.address for event in (known, unknown)} == {HOME}
    assert len(trail.of(account["id"])) == 4
    told = json.dumps(lines()) + "".join(str(message.body) for message in bus.attempts)
    assert MARKED not in told
    assert OTHER_PASSWORD not in told


async def test_an_attempt_that_is_throttled_is_told(auth_app: AuthApp, users_app: UsersApp, trail: Trail) -> None:
    account = await register(users_app)
    await password_accepted(auth_app, account["username"])
    for _ in range(10):
        await auth_app.log_in(account["username"], OTHER_PASSWORD)
    assert (await auth_app.log_in(account["username"])).status_code == 429

    wrong_ones: list[Expected] = [("login", "refused", "wrong_credentials")] * 10
    throttled: Expected = ("login", "throttled", "too_many_passwords")
    await trail.becomes(account["id"], REGISTRATION, ACCOUNT_CODE_SENT, LOGIN, *wrong_ones, throttled)


async def test_every_event_is_a_line_of_its_own_whatever_the_level_is(
    auth_app: AuthApp, users_app: UsersApp, trail: Trail, lines: Lines
) -> None:
    account = await register(users_app)
    await password_accepted(auth_app, account["username"])

    events = await trail.becomes(account["id"], REGISTRATION, ACCOUNT_CODE_SENT, LOGIN)

    told = [line for line in lines() if line["account_id"] == account["id"]]
    assert [{name: line[name] for name in Audited.model_fields} for line in told] == [
        event.model_dump(mode="json") for event in events
    ]


async def test_a_refresh_its_reuse_a_swap_for_a_cookie_and_the_ends_of_sessions_are_told(
    auth_app: AuthApp, users_app: UsersApp, trail: Trail, databases: Databases
) -> None:
    account, cookies = await register(users_app), CookieSteps(auth_app)
    pair = (await password_accepted(auth_app, account["username"])).json()
    for _ in range(2):  # a use, and a lost answer
        await auth_app.refresh(pair["refresh_token"])
    async with connected(databases.auth_url) as sql:
        await sql.execute("UPDATE auth.refresh_tokens SET used_at = used_at - interval '1 hour'")
    await auth_app.refresh(pair["refresh_token"])  # theft
    for query in ({}, {"all": "true"}):
        refresh = (await auth_app.log_in(account["username"])).json()["refresh_token"]
        access = await cookies.access((await cookies.browser(refresh)).session)
        await auth_app.http.post(f"{AUTH}/logout", params=query, headers=bearer(access))

    events = await trail.becomes(
        account["id"],
        REGISTRATION,
        ACCOUNT_CODE_SENT,
        LOGIN,
        ("refresh", "ok", None),
        ("refresh", "ok", "repeated"),
        ("refresh_reused", "refused", None),
        LOGIN,
        ("cookie_made", "ok", None),
        ("session_ended", "ok", "logout"),
        LOGIN,
        ("cookie_made", "ok", None),
        ("session_ended", "ok", "logout_everywhere"),
    )
    assert len({event.session_id for event in events[2:6]}) == 1


async def test_what_a_person_changes_is_told_and_what_is_not_allowed(
    auth_app: AuthApp, users_app: UsersApp, trail: Trail, account_codes: AccountCodes
) -> None:
    account = await registered(users_app.parts)
    http, new = users_app.http, "e@example.org"
    logged_in = partial(users_app.as_, account.id, amr="pwd otp mfa")
    for epoch, body in enumerate(({"is_2fa": True}, {"name": "Else", "email": new, "username": "else"})):
        mine = logged_in(epoch=epoch)
        assert (await http.patch(f"{USERS}/", headers=mine, json=body)).status_code == 200
    code = await account_codes.code_for(new, "change")
    for given in ("0" * 10, code):
        await http.post(f"{USERS}/verify-email", headers=mine, json={"code": given})
    password = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    mine, stale = logged_in(epoch=2), logged_in(epoch=2, login_age=3600)
    assert (await http.post(f"{USERS}/change-password", headers=stale, json=password)).status_code == 403
    assert (await http.patch(f"{USERS}/", headers=stale, json={"is_2fa": False})).status_code == 403
    assert (await http.patch(f"{USERS}/", headers=mine, json={"is_admin": True})).status_code == 403
    assert (await http.get(f"{USERS}/", headers=mine)).status_code == 403
    assert (await http.post(f"{USERS}/change-password", headers=mine, json=password)).status_code == 200
    assert (await http.delete(f"{USERS}/", headers=logged_in(epoch=3))).status_code == 200

    events = await trail.becomes(
        str(account.id),
        ("two_factor_changed", "ok", "turned_on"),
        ("email_change_requested", "ok", None),
        ("username_changed", "ok", None),
        ("profile_changed", "ok", None),
        ACCOUNT_CODE_SENT,
        ("email_verified", "refused", "wrong_code"),
        ("email_changed", "ok", None),
        ("password_changed", "refused", "current_password_wrong"),
        ("profile_changed", "refused", "login_too_old"),
        ("profile_changed", "refused", "not_permitted"),
        ("password_changed", "ok", None),
        ("account_deleted", "ok", None),
    )
    assert {event.actor_id for event in events} == {account.id}


async def test_what_an_administrator_does_is_told_with_the_one_who_did_it(
    auth_app: AuthApp, users_app: UsersApp, trail: Trail
) -> None:
    admin, account = await registered(users_app.parts, is_admin=True), await registered(users_app.parts)
    whom, headers = {"user_id": str(account.id)}, users_app.as_(admin.id)
    assert (await users_app.http.get(f"{USERS}/", params=whom, headers=headers)).status_code == 200
    for body in (
        {"is_active": False, "is_admin": True, "groups": ["staff"]},
        {"is_active": True, "is_admin": False, "email": "e@example.org"},
    ):
        assert (await users_app.http.patch(f"{USERS}/", params=whom, headers=headers, json=body)).status_code == 200
    assert (await users_app.http.delete(f"{USERS}/", params=whom, headers=headers)).status_code == 200

    events = await trail.becomes(
        str(account.id),
        ("accounts_read", "ok", None),
        ("account_deactivated", "ok", None),
        ("admin_granted", "ok", None),
        ("groups_changed", "ok", None),
        ("email_changed", "ok", None),
        ("account_reactivated", "ok", None),
        ("admin_taken", "ok", None),
        ("account_deleted", "ok", None),
    )
    assert {event.actor_id for event in events} == {admin.id}


async def test_what_is_rolled_back_is_not_told(auth_app: AuthApp, trail: Trail, lines: Lines) -> None:
    database, account = auth_app.parts.database, uuid4()
    with suppress(IsADirectoryError):
        async with database.transaction() as connection:
            await tables.trail.record(connection, "login", account=account)
            raise IsADirectoryError
    async with database.transaction() as connection:
        await tables.trail.record(connection, "refresh", account=account)

    await trail.becomes(str(account), ("refresh", "ok", None))
    assert [line["act"] for line in lines()] == ["refresh"]


async def test_where_nobody_listens_nothing_waits(auth_app: AuthApp, databases: Databases, trail: Trail) -> None:
    account = uuid4()
    async with auth_app.parts.database.transaction() as connection:
        await tables.trail.record(connection, "login", account=account)

    async with connected(databases.auth_url) as sql:
        await trail.becomes(str(account), LOGIN)
        await eventually(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))
    assert len([each for each in trail.bus.attempts if each.routing_key == AuthAudited.type]) == 1


async def test_a_right_password_for_which_no_code_is_to_be_had_is_told(
    databases: Databases, keys: Keys, bus: TroubledBus, inbox: Inbox, trail: Trail
) -> None:
    limits = {"otp_wrong_in_a_row": 1, "otp_codes_per_hour": 2}
    async with running_auth(auth_settings(databases, keys, **limits), bus) as auth:
        accounts, steps = Accounts(bus, keys.account_sealer), Steps(auth, inbox)
        wrong_once, often = await accounts.new(is_2fa=True), await accounts.new(is_2fa=True)

        login = await steps.begin(wrong_once)
        await auth.verify_otp(login.temporary, wrong(login.code))
        await auth.verify_otp(login.temporary, login.code)
        await auth.log_in(wrong_once.username)
        await unlock_name(databases.auth_url, wrong_once.username)

        for _ in range(2):
            login = await steps.begin(often)
        assert (await auth.resend_otp(login.temporary)).status_code == 429
        assert (await auth.log_in(often.username)).status_code == 429

        await trail.becomes(
            str(wrong_once.account_id),
            CODE_SENT,
            ("code_verified", "refused", "wrong_code"),
            ("codes_turned_off", "ok", None),
            ("code_verified", "refused", "challenge_over"),
            ("login", "refused", "codes_off"),
            ("account_unlocked", "ok", "operator"),
        )
        await trail.becomes(
            str(often.account_id),
            CODE_SENT,
            CODE_SENT,
            ("code_sent", "throttled", "too_many_codes"),
            ("login", "throttled", "too_many_codes"),
        )


async def test_an_administrator_made_by_an_operator_is_told(
    users_app: UsersApp, auth_app: AuthApp, trail: Trail
) -> None:
    await administration(users_app.parts).create(
        email="root@example.org", password=PASSWORD, name="A", lastname="B", is_2fa=False, is_admin=True,
    )  # fmt: skip

    (account,) = await eventually(lambda: {str(event.account_id) for event in trail.events})
    events = await trail.becomes(account, ("registration", "ok", "operator"), ("admin_granted", "ok", "operator"))
    assert {(event.actor_id, event.address) for event in events} == {(None, "")}
