"""What somebody sees of their own sessions, and how they end one of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
import jwt
import pytest

from shared.messaging.events import AccountChanged
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.builders import PASSWORD
from tests.composed import AUTH, AuthApp, bearer, client
from tests.database_clock import DatabaseClock

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = "okhttp/5.1.0"


@pytest.fixture
async def account(accounts: Accounts) -> AccountChanged:
    return await accounts.new()


async def listed(auth: AuthApp, tokens: Pair) -> list[dict[str, Any]]:
    answer = await auth.http.get(f"{AUTH}/sessions", headers=bearer(tokens.access))
    assert answer.status_code == 200, answer.text
    sessions: list[dict[str, Any]] = answer.json()
    return sessions


async def delete(auth: AuthApp, tokens: Pair, session: object) -> httpx.Response:
    return await auth.http.delete(f"{AUTH}/sessions/{session}", headers=bearer(tokens.access))


async def log_in_with(auth: AuthApp, account: AccountChanged, user_agent: str) -> Pair:
    auth.http.headers["User-Agent"] = user_agent
    credentials = {"username": account.username, "password": PASSWORD}
    return pair(await auth.http.post(f"{AUTH}/token", data=credentials))


def session_of(tokens: Pair) -> str:
    sid: str = jwt.decode(tokens.access, options={"verify_signature": False})["sid"]
    return sid


# --- the list


async def test_own_sessions_are_listed_the_newest_first(
    clock: DatabaseClock, auth_app: AuthApp, account: AccountChanged
) -> None:
    at_the_desk = await log_in_with(auth_app, account, FIREFOX)
    await clock.forward(60)
    on_the_road = await log_in_with(auth_app, account, PHONE)

    newer, older = await listed(auth_app, at_the_desk)

    assert set(newer) == {"id", "created_at", "last_used_at", "address", "user_agent", "current"}
    assert (newer["id"], newer["user_agent"], newer["current"]) == (session_of(on_the_road), PHONE, False)
    assert (older["id"], older["user_agent"], older["current"]) == (session_of(at_the_desk), FIREFOX, True)
    assert newer["address"] == older["address"] == "127.0.0.1"
    begun = [datetime.fromisoformat(each["created_at"]) for each in (older, newer)]
    assert begun[1] - begun[0] == timedelta(seconds=60)
    assert [each["last_used_at"] for each in (older, newer)] == [each["created_at"] for each in (older, newer)]


async def test_a_login_with_a_code_is_listed_like_any_other(
    auth_app: AuthApp, accounts: Accounts, steps: Steps
) -> None:
    auth_app.http.headers["User-Agent"] = PHONE
    login = await steps.begin(await accounts.new(is_2fa=True))

    tokens = pair(await auth_app.verify_otp(login.temporary, login.code))

    (only,) = await listed(auth_app, tokens)
    assert (only["address"], only["user_agent"], only["current"]) == ("127.0.0.1", PHONE, True)


async def test_a_refresh_moves_the_last_use_and_from_where_it_was(
    clock: DatabaseClock, auth_app: AuthApp, account: AccountChanged
) -> None:
    tokens = await log_in_with(auth_app, account, FIREFOX)
    await clock.forward(3600)

    async with client(auth_app.app, "2001:db8::1") as elsewhere:
        elsewhere.headers["User-Agent"] = PHONE
        answer = await elsewhere.post(f"{AUTH}/refresh-token", json={"refresh_token": tokens.refresh})

    (only,) = await listed(auth_app, pair(answer))
    used, begun = (datetime.fromisoformat(only[name]) for name in ("last_used_at", "created_at"))
    assert used - begun == timedelta(hours=1)
    assert (only["address"], only["user_agent"]) == ("2001:db8::1", PHONE)


async def test_a_session_that_can_not_be_refreshed_any_more_is_over(
    clock: DatabaseClock, auth_app: AuthApp, steps: Steps, account: AccountChanged
) -> None:
    begun_long_ago = await steps.log_in(account)
    await clock.forward(30 * 86400)
    mine = await steps.log_in(account)

    assert [each["id"] for each in await listed(auth_app, mine)] == [session_of(mine)]
    problem(await delete(auth_app, mine, session_of(begun_long_ago)), 404, "item_not_found")


async def test_nobody_elses_session_is_listed_nor_one_that_is_over(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    logged_out = await steps.log_in(account)
    await auth_app.http.post(f"{AUTH}/logout", headers=bearer(logged_out.access))
    kept, epoch_over = await steps.log_in(account), await steps.log_in(account)
    await accounts.end_sessions(account, kept_session=UUID(session_of(kept)))
    await steps.log_in(await accounts.new())

    assert [each["id"] for each in await listed(auth_app, kept)] == [session_of(kept)]
    refused = await auth_app.http.get(f"{AUTH}/sessions", headers=bearer(epoch_over.access))
    problem(refused, 401, "invalid_token")


async def test_a_list_is_no_longer_than_a_person_can_read(
    auth_app: AuthApp, steps: Steps, account: AccountChanged, sql: asyncpg.Connection
) -> None:
    tokens = await steps.log_in(account)
    same = "account_id, epoch, amr, expires_at"
    more = f"INSERT INTO sessions (id, {same}) SELECT gen_random_uuid(), {same} FROM sessions"
    await sql.execute(f"{more}, generate_series(1, 300)")

    assert len(await listed(auth_app, tokens)) == 200


async def test_of_a_session_from_before_it_was_kept_nothing_is_told_that_is_not_known(
    auth_app: AuthApp, steps: Steps, account: AccountChanged, sql: asyncpg.Connection
) -> None:
    tokens = await steps.log_in(account)
    await sql.execute("UPDATE sessions SET last_used_at = NULL, address = NULL, user_agent = NULL")

    (only,) = await listed(auth_app, tokens)

    assert (only["last_used_at"], only["address"], only["user_agent"]) == (None, None, None)
    assert only["created_at"]


# --- what is kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"x" * 5000, "x" * 256),
        (b" curl/8.14.1 ", "curl/8.14.1"),
        (b"", None),
        (b"\x85\xad\x9b\x80", None),  # C1 control characters, and a hyphen that is not seen
        (b"a\tb\x7fc\x9b31md", "abc31md"),
        ("é".encode("latin-1"), "é"),
    ],
)
async def test_a_user_agent_is_kept_short_and_without_what_nobody_sees(
    auth_app: AuthApp, account: AccountChanged, given: bytes, kept: str | None
) -> None:
    answer = await auth_app.http.post(
        f"{AUTH}/token", data={"username": account.username, "password": PASSWORD}, headers={b"User-Agent": given}
    )

    (only,) = await listed(auth_app, pair(answer))
    assert only["user_agent"] == kept


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", None),
        ("x" * 5000, None),
        ("192.0.2.1\x00", None),
    ],
)
async def test_an_address_is_kept_in_one_spelling_and_what_is_none_is_not(
    auth_app: AuthApp, account: AccountChanged, given: str, kept: str | None
) -> None:
    async with client(auth_app.app, given) as http:
        answer = await http.post(f"{AUTH}/token", data={"username": account.username, "password": PASSWORD})

    (only,) = await listed(auth_app, pair(answer))
    assert only["address"] == kept


# --- the end of one


async def test_one_session_is_ended_and_the_others_live(
    auth_app: AuthApp, steps: Steps, account: AccountChanged
) -> None:
    mine, lost = await steps.log_in(account), await steps.log_in(account)

    answer = await delete(auth_app, mine, session_of(lost))

    assert (answer.status_code, answer.content) == (204, b"")
    assert [each["id"] for each in await listed(auth_app, mine)] == [session_of(mine)]
    assert await auth_app.verify_token(lost.access) == 401
    assert (await auth_app.refresh(lost.refresh)).status_code == 401
    pair(await auth_app.refresh(mine.refresh))


async def test_the_own_current_session_can_be_ended_too(
    auth_app: AuthApp, steps: Steps, account: AccountChanged
) -> None:
    tokens = await steps.log_in(account)

    assert (await delete(auth_app, tokens, session_of(tokens))).status_code == 204

    assert await auth_app.verify_token(tokens.access) == 401
    assert (await delete(auth_app, tokens, session_of(tokens))).status_code == 401


async def test_a_session_that_is_not_ones_own_or_over_or_none_is_not_found(
    auth_app: AuthApp, accounts: Accounts, steps: Steps, account: AccountChanged
) -> None:
    mine, ended, of_before = [await steps.log_in(account) for _ in range(3)]
    await delete(auth_app, mine, session_of(ended))
    strangers = await steps.log_in(await accounts.new())
    await accounts.end_sessions(account, kept_session=UUID(session_of(mine)))

    for session in (*map(session_of, (ended, of_before, strangers)), uuid4()):
        document = problem(await delete(auth_app, mine, session), 404, "item_not_found")
        assert document["detail"] == "Item not found"

    assert await auth_app.verify_token(strangers.access) == 200
    problem(await delete(auth_app, mine, "no-uuid"), 422, "invalid_request")
