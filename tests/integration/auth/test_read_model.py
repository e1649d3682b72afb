"""The read model of accounts: whatever the order and however often, the highest version is what stays."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from uuid_utils.compat import uuid7

from shared.messaging.events import AccountChanged
from shared.messaging.memory import MemoryBus
from tests.auth_steps import Accounts
from tests.builders import account_changed, message, password_hash, tombstone
from tests.composed import AuthApp

pytestmark = pytest.mark.usefixtures("auth_app")


async def row(sql: asyncpg.Connection, account: AccountChanged) -> dict[str, Any]:
    found = await sql.fetchrow("SELECT * FROM identities WHERE id = $1", account.account_id)
    assert found is not None
    return dict(found)


async def test_an_older_version_changes_nothing(accounts: Accounts, bus: MemoryBus, sql: asyncpg.Connection) -> None:
    new = await accounts.new(version=5, email="newer@example.org")
    before = await row(sql, new)

    await accounts.tell(accounts.next_state(new, version=4, email="older@example.org"))
    await accounts.tell(accounts.next_state(new, version=5, email="again@example.org"))

    assert await row(sql, new) == before
    assert bus.dead_letters == ()


async def test_a_newer_version_replaces_every_field(accounts: Accounts, sql: asyncpg.Connection) -> None:
    old = await accounts.new()
    kept = uuid7()
    new = await accounts.change(
        old,
        username="NewName",
        email="new@example.org",
        is_2fa=True,
        is_admin=True,
        is_active=False,
        email_verified=False,
        groups=("staff", "night-shift"),
        password_by_mail=True,
        session_epoch=7,
        kept_session=kept,
    )

    found = await row(sql, new)
    found.pop("applied_at")
    assert found == {
        "id": old.account_id,
        "incarnation": 1,
        "version": 2,
        "deleted": False,
        "username_key": "newname",
        "email": "new@example.org",
        "password_hash": password_hash(),
        "is_2fa": True,
        "is_admin": True,
        "is_active": False,
        "locked_out": False,
        "email_verified": False,
        "groups": ["staff", "night-shift"],
        "password_by_mail": True,
        "session_epoch": 7,
        "factors_version": 0,  # auth's own
        "kept_session": kept,
    }


# Ten versions, each at least once, in any order, some of them more than once.
_ARRIVALS = st.lists(st.integers(1, 10), max_size=6).flatmap(lambda again: st.permutations([*range(1, 11), *again]))


@settings(
    max_examples=15,
    deadline=None,  # it talks to a database
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # each example has an account of its own
)
@given(arrivals=_ARRIVALS, deleted_at_last=st.booleans(), at_once=st.booleans())
async def test_any_order_and_any_repeats_end_at_the_highest_version(
    accounts: Accounts, sql: asyncpg.Connection, arrivals: list[int], deleted_at_last: bool, at_once: bool
) -> None:
    first = account_changed(accounts.sealer)
    states = {v: accounts.next_state(first, version=v, email=f"v{v}@example.org") for v in range(1, 11)}
    if deleted_at_last:
        states[10] = tombstone(first.account_id, 10)

    if at_once:
        await asyncio.gather(*(accounts.tell(states[version]) for version in arrivals))
    else:
        for version in arrivals:
            await accounts.tell(states[version])

    found = await row(sql, first)
    assert (found["version"], found["deleted"]) == (10, deleted_at_last)
    assert found["email"] == ("" if deleted_at_last else "v10@example.org")


async def test_a_late_update_does_not_resurrect_a_deleted_account(
    auth_app: AuthApp, accounts: Accounts, sql: asyncpg.Connection
) -> None:
    account = await accounts.new()
    late = accounts.next_state(account)
    await accounts.tell(tombstone(account.account_id, 3))

    await accounts.tell(late)

    assert (await row(sql, account))["deleted"]
    assert (await auth_app.log_in(account.username)).status_code == 400


async def test_a_deletion_that_overtakes_the_registration_wins(accounts: Accounts, sql: asyncpg.Connection) -> None:
    account = account_changed(accounts.sealer)

    await accounts.tell(tombstone(account.account_id, 2))
    await accounts.tell(account)

    assert (await row(sql, account))["deleted"]


async def test_a_deleted_account_leaves_no_personal_data_and_no_rights(
    accounts: Accounts, sql: asyncpg.Connection
) -> None:
    account = await accounts.new(is_2fa=True, is_admin=True, groups=("staff",), password_by_mail=True)

    await accounts.delete(account)

    found = await row(sql, account)
    assert [found[name] for name in ("username_key", "email", "password_hash")] == [""] * 3
    assert [found[name] for name in ("is_admin", "email_verified", "password_by_mail")] == [False] * 3
    assert found["groups"] == []


def flipped(sealed: str) -> str:
    return sealed[:40] + ("A" if sealed[40] != "A" else "B") + sealed[41:]


async def test_a_password_hash_that_was_tampered_with_is_given_up(
    accounts: Accounts, bus: MemoryBus, sql: asyncpg.Connection
) -> None:
    account = await accounts.new()
    before = await row(sql, account)
    changed = accounts.next_state(account, password="something else entirely")

    await accounts.tell(changed.model_copy(update={"sealed_password_hash": flipped(changed.sealed_password_hash)}))

    assert [letter.reason for letter in bus.dead_letters] == ["Unsealable: InvalidToken"]
    assert await row(sql, account) == before


@pytest.mark.parametrize("same", [set(), {"event_id"}, {"account_id"}, {"event_id", "version"}])
async def test_a_password_hash_moved_from_another_event_is_given_up(
    accounts: Accounts, bus: MemoryBus, sql: asyncpg.Connection, same: set[str]
) -> None:
    """Whatever else of that event is taken over with it."""
    mine, theirs = await accounts.new(), await accounts.new()
    before = await row(sql, theirs)
    state = accounts.next_state(
        mine if "account_id" in same else theirs, sealed_password_hash=mine.sealed_password_hash
    )
    swapped = state.model_copy(update={name: getattr(mine, name) for name in same - {"account_id"}})

    await accounts.tell(swapped)

    assert [letter.reason for letter in bus.dead_letters] == ["Unsealable: sealed for another event"]
    assert await row(sql, theirs) == before


@pytest.mark.parametrize(
    "body",
    [b"", b"not JSON", b"[]", b"\xff\xfe", b'{"account_id": "secret-word"}', b"[" * 100_000, b'"' + b"a" * 10**7],
)
async def test_poison_is_given_up_with_a_reason_that_repeats_nothing_and_others_flow(
    accounts: Accounts, bus: MemoryBus, body: bytes, sql: asyncpg.Connection
) -> None:
    await bus.publish(message(account_changed(accounts.sealer), body=body))

    [letter] = bus.dead_letters
    assert letter.reason.startswith("MalformedEvent: malformed users.account_changed.v1")
    assert "secret-word" not in letter.reason
    assert len(letter.reason) < 300
    assert (await row(sql, await accounts.new()))["version"] == 1


async def test_an_event_with_nul_in_a_name_does_not_stop_the_others(
    accounts: Accounts, bus: MemoryBus, sql: asyncpg.Connection
) -> None:
    event = account_changed(accounts.sealer)
    body = event.to_body().replace(f'"{event.username}"', '"per\\u0000son"').encode()
    assert b"\\u0000" in body

    poison = asyncio.create_task(bus.publish(message(event, body=body)))

    assert (await row(sql, await accounts.new()))["version"] == 1
    poison.cancel()
    await asyncio.wait([poison])


async def test_fields_of_a_newer_release_are_ignored(
    accounts: Accounts, bus: MemoryBus, sql: asyncpg.Connection
) -> None:
    event = account_changed(accounts.sealer)
    body = event.to_body().replace("{", '{"a_field_of_tomorrow": {"nested": [1]}, ', 1).encode()

    await bus.publish(message(event, body=body))

    assert (await row(sql, event))["version"] == 1
