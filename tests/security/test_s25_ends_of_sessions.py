"""S25: each act ends the sessions that it should and no other, on every replica that checks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import jwt
import pytest

from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ACCOUNT_CODES
from tests.account_codes import AccountCodes
from tests.auth_steps import Pair, pair
from tests.builders import OTHER_PASSWORD, registered
from tests.composed import AUTH, USERS, AuthApp, Keys, UsersApp, bearer
from tests.polling import eventually
from tests.security.replica import replica
from tests.security.somebody import password_accepted

__all__ = ("replica",)

MINE, OTHER, STRANGERS = "mine", "other", "stranger's"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Somebody with two sessions, and a stranger with one; `account` is the id of the former."""

    auth: AuthApp
    replica: AuthApp
    users: UsersApp
    account: str
    email: str
    sessions: dict[str, Pair]
    admin: dict[str, str]
    account_codes: AccountCodes

    @property
    def mine(self) -> dict[str, str]:
        return bearer(self.sessions[MINE].access)

    async def living(self) -> set[str]:
        """At auth, where both replicas must say the same of every session."""
        seen = [
            {name for name, tokens in self.sessions.items() if await auth.verify_token(tokens.access) == 200}
            for auth in (self.auth, self.replica)
        ]
        assert seen[0] == seen[1]
        return seen[0]

    async def refreshed(self) -> set[str]:
        """Of these the refresh token is taken, by the replica that has not given it."""
        answers = {name: await self.replica.refresh(tokens.refresh) for name, tokens in self.sessions.items()}
        return {name for name, answer in answers.items() if answer.status_code == 200}

    async def known_to_users(self) -> set[str]:
        answers = {
            name: await self.users.http.get(f"{USERS}/me", headers=bearer(tokens.access))
            for name, tokens in self.sessions.items()
        }
        return {name for name, answer in answers.items() if answer.status_code == 200}

    async def patch_by_admin(self, **changes: object) -> httpx.Response:
        params = {"user_id": self.account}
        return await self.users.http.patch(f"{USERS}/", headers=self.admin, params=params, json=changes)

    async def patch_own(self, **changes: object) -> httpx.Response:
        return await self.users.http.patch(f"{USERS}/", headers=self.mine, json=changes)


@pytest.fixture
async def scene(auth_app: AuthApp, replica: AuthApp, users_app: UsersApp, bus: MemoryBus, keys: Keys) -> Scene:
    account_codes = AccountCodes(keys.mailed_sealer)
    await bus.consume(ACCOUNT_CODES.queue, account_codes, concurrency=1)
    account, stranger = await registered(users_app.parts), await registered(users_app.parts)
    admin = await registered(users_app.parts, is_admin=True)
    sessions = {
        name: pair(await password_accepted(auth_app, who.username))
        for name, who in ((MINE, account), (OTHER, account), (STRANGERS, stranger))
    }
    return Scene(
        auth=auth_app, replica=replica, users=users_app, account=str(account.id), email=account.email,
        sessions=sessions, admin=users_app.as_(admin.id), account_codes=account_codes,
    )  # fmt: skip


async def nothing(scene: Scene) -> httpx.Response:
    return await scene.patch_own(name="David", lastname="G.")


async def log_out(scene: Scene) -> httpx.Response:
    return await scene.auth.http.post(f"{AUTH}/logout", headers=scene.mine)


async def log_out_everywhere(scene: Scene) -> httpx.Response:
    return await scene.auth.http.post(f"{AUTH}/logout?all=true", headers=scene.mine)


async def delete_the_other(scene: Scene) -> httpx.Response:
    other = jwt.decode(scene.sessions[OTHER].access, options={"verify_signature": False})["sid"]
    return await scene.auth.http.delete(f"{AUTH}/sessions/{other}", headers=scene.mine)


async def change_password(scene: Scene) -> httpx.Response:
    body = {"password": OTHER_PASSWORD, "confirm_password": OTHER_PASSWORD}
    return await scene.users.http.post(f"{USERS}/change-password", headers=scene.mine, json=body)


async def change_2fa(scene: Scene) -> httpx.Response:
    return await scene.patch_own(is_2fa=True)


async def ask_for_another_email(scene: Scene) -> httpx.Response:
    return await scene.patch_own(email="new@example.org")


async def change_email(scene: Scene) -> httpx.Response:
    assert (await ask_for_another_email(scene)).status_code == 200
    code = await scene.account_codes.code_for("new@example.org", "change")
    return await scene.users.http.post(f"{USERS}/verify-email", headers=scene.mine, json={"code": code})


async def ask_for_a_new_password(scene: Scene) -> httpx.Response:
    return await scene.users.http.post(f"{USERS}/password-reset", json={"email": scene.email})


async def reset_password(scene: Scene) -> httpx.Response:
    token = (await ask_for_a_new_password(scene)).json()["reset_token"]
    code = await scene.account_codes.code_for(scene.email, "reset")
    body = {"reset_token": token, "code": code, "password": OTHER_PASSWORD}
    return await scene.users.http.post(f"{USERS}/password-reset/confirm", json=body)


async def change_email_by_admin(scene: Scene) -> httpx.Response:
    return await scene.patch_by_admin(email="new@example.org")


async def change_2fa_by_admin(scene: Scene) -> httpx.Response:
    return await scene.patch_by_admin(is_2fa=True)


async def deactivate(scene: Scene) -> httpx.Response:
    return await scene.patch_by_admin(is_active=False)


async def deactivate_and_reactivate(scene: Scene) -> httpx.Response:
    await deactivate(scene)
    return await scene.patch_by_admin(is_active=True)


async def delete_account(scene: Scene) -> httpx.Response:
    return await scene.users.http.delete(f"{USERS}/", headers=scene.mine)


Act = Callable[[Scene], Awaitable[httpx.Response]]

AT_AUTH: dict[Act, set[str]] = {
    log_out: {MINE},
    log_out_everywhere: {MINE, OTHER},
    delete_the_other: {OTHER},
}
AT_USERS: dict[Act, set[str]] = {
    nothing: set(),
    change_password: {OTHER},
    change_2fa: {OTHER},
    ask_for_another_email: set(),
    change_email: {OTHER},
    ask_for_a_new_password: set(),
    reset_password: {MINE, OTHER},
    change_email_by_admin: {MINE, OTHER},
    change_2fa_by_admin: {MINE, OTHER},
    deactivate: {MINE, OTHER},
    deactivate_and_reactivate: {MINE, OTHER},
    delete_account: {MINE, OTHER},
}


def each(acts: dict[Act, set[str]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("act", "ended"), acts.items(), ids=lambda it: getattr(it, "__name__", ""))


@each(AT_AUTH)
async def test_what_auth_is_asked_to_end_is_over_at_once_on_both_replicas(
    scene: Scene, act: Act, ended: set[str]
) -> None:
    assert await scene.living() == set(scene.sessions)

    assert (await act(scene)).status_code == 204

    assert await scene.living() == await scene.refreshed() == set(scene.sessions) - ended


@each(AT_USERS)
async def test_what_a_change_of_the_account_ends_is_over_at_once_at_users_and_soon_on_both_replicas(
    scene: Scene, act: Act, ended: set[str]
) -> None:
    assert await scene.living() == await scene.known_to_users() == set(scene.sessions)

    assert (await act(scene)).is_success

    left = set(scene.sessions) - ended
    assert await scene.known_to_users() == left

    async def heard() -> bool:
        return await scene.living() == left

    await eventually(heard)
    assert await scene.refreshed() == left


@each(AT_AUTH)
async def test_what_auth_is_asked_to_end_is_over_soon_at_users_too(scene: Scene, act: Act, ended: set[str]) -> None:
    assert await scene.known_to_users() == set(scene.sessions)

    assert (await act(scene)).status_code == 204

    async def heard() -> bool:
        return await scene.known_to_users() == set(scene.sessions) - ended

    await eventually(heard)
