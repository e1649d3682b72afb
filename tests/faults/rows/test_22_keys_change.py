"""Row 22: keys change while people log in, by a rolling restart in which old and new processes overlap.

A key is first known to all who read, then used, then forgotten once nothing is left that was made with it. So codes
that were asked for before a step are verified after it, at whichever replica.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import jwt
import pytest
from cryptography.fernet import Fernet

from services.auth.tokens import keys as key_files
from services.auth.tokens.keys import generate
from shared.messaging.amqp import AmqpBus
from tests.auth_steps import pair
from tests.builders import registered, registration
from tests.composed import USERS, AuthApp, Keys, UsersApp, auth_settings, bearer, running_auth
from tests.faults.rows.account_codes import reset_token, resets
from tests.faults.rows.crowd import Crowd
from tests.faults.rows.promises import Promises
from tests.faults.rows.users_beside import users_with
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually
from tests.servers.databases import Databases

NEXT_PEPPER = "the next one" * 3


@pytest.fixture
def keys(keys: Keys, tmp_path: Path) -> Keys:
    """For this test alone. Auth knows the next key of accounts already; users seals with the first."""
    folder = Path(shutil.copytree(keys.folder, tmp_path / "jwt"))
    return replace(keys, folder=folder, account_sealing=f"{keys.account_sealing},{Fernet.generate_key().decode()}")


@pytest.fixture
def crowd(path: CodesPath, promises: Promises) -> Crowd:
    return Crowd(path, promises)


class Replicas:
    """Of auth, side by side on one database and one broker; `path.auth` is the one that a test asks."""

    def __init__(self, path: CodesPath, databases: Databases, parts: AsyncExitStack) -> None:
        self._path = path
        self._databases = databases
        self._parts = parts

    async def start(self, keys: Keys) -> AuthApp:
        bus = AmqpBus(self._path.amqp_url, name="auth")
        self._parts.push_async_callback(bus.close)
        return await self._parts.enter_async_context(running_auth(auth_settings(self._databases, keys), bus))


@pytest.fixture
async def replicas(path: CodesPath, databases: Databases) -> AsyncIterator[Replicas]:
    first = path.auth
    async with AsyncExitStack() as parts:
        yield Replicas(path, databases, parts)
        path.auth = first


async def login_begun_at(path: CodesPath, crowd: Crowd, auth: AuthApp) -> tuple[str, str]:
    """The temporary token and the code."""
    path.auth = auth
    (somebody,) = await crowd.challenged(await crowd.accounts(1))
    return somebody.temporary, somebody.code


async def test_the_envelope_of_codes_changes_in_the_notifier_first(
    path: CodesPath, promises: Promises, keys: Keys, replicas: Replicas
) -> None:
    old, new = keys.otp_sealing, Fernet.generate_key().decode()
    await promises.several(2)  # they wait
    path.keys = replace(keys, otp_sealing=f"{old},{new}")
    await path.start_notifier()
    before = path.auth
    after = await replicas.start(replace(keys, otp_sealing=f"{new},{old}"))
    for auth in (before, after, before, after):
        path.auth = auth
        await promises.several(2)

    path.auth = after
    await promises.kept()
    path.keys = replace(keys, otp_sealing=new)  # nothing is left that was made with the old one
    await path.start_notifier()
    promises.made.clear()
    await promises.several(2)
    await promises.kept()


async def test_the_pepper_changes_in_three_steps_and_each_replica_verifies_the_codes_of_the_other(
    path: CodesPath, crowd: Crowd, keys: Keys, replicas: Replicas
) -> None:
    await path.start_notifier()
    replica = path.auth
    for peppers in (f"{keys.pepper},{NEXT_PEPPER}", f"{NEXT_PEPPER},{keys.pepper}", NEXT_PEPPER):
        following = await replicas.start(replace(keys, pepper=peppers))
        for asked_at, verified_at in ((replica, following), (following, replica)):
            temporary, code = await login_begun_at(path, crowd, asked_at)
            pair(await verified_at.verify_otp(temporary, code))
        replica = following


async def reset_begun_at(path: CodesPath, users: UsersApp) -> tuple[str, str]:
    """The token and the code."""
    somebody = await registered(users.parts)
    return await reset_token(users, somebody.email), await path.mails.account_code_for(somebody.email, "reset")


async def test_the_envelope_of_account_codes_changes_in_the_notifier_first(
    path: CodesPath, databases: Databases, keys: Keys
) -> None:
    old, new = keys.mailed_sealing, Fernet.generate_key().decode()
    async with (
        users_with(path, databases, keys) as before,
        users_with(path, databases, replace(keys, mailed_sealing=f"{new},{old}")) as after,
    ):
        somebody = await registered(before.parts)
        token = await reset_token(before, somebody.email)  # it waits
        path.keys = replace(keys, mailed_sealing=f"{old},{new}")
        await path.start_notifier()
        await resets(after, token, await path.mails.account_code_for(somebody.email, "reset"))
        for asked_at, used_at in ((before, after), (after, before)):
            await resets(used_at, *await reset_begun_at(path, asked_at))

        await path.stop_notifier()
        path.keys = replace(keys, mailed_sealing=new)  # nothing is left that was made with the old one
        await path.start_notifier()
        await resets(after, *await reset_begun_at(path, after))


async def test_the_pepper_of_account_codes_changes_in_three_steps_and_each_replica_takes_the_codes_of_the_other(
    path: CodesPath, databases: Databases, keys: Keys
) -> None:
    await path.start_notifier()
    old = keys.mailed_pepper
    async with AsyncExitStack() as parts:
        replicas = [
            await parts.enter_async_context(users_with(path, databases, replace(keys, mailed_pepper=peppers)))
            for peppers in (old, f"{old},{NEXT_PEPPER}", f"{NEXT_PEPPER},{old}", NEXT_PEPPER)
        ]
        for earlier, later in pairwise(replicas):
            await resets(later, *await reset_begun_at(path, earlier))
            await resets(earlier, *await reset_begun_at(path, later))


async def test_the_envelope_of_accounts_changes_in_auth_first(
    path: CodesPath, databases: Databases, keys: Keys, replicas: Replicas
) -> None:
    old, new = keys.account_sealing.split(",")
    await replicas.start(replace(keys, account_sealing=f"{new},{old}"))  # which of the two gets an event, nobody knows
    for sealing in (old, f"{new},{old}", new):
        async with users_with(path, databases, replace(keys, account_sealing=sealing)) as users:
            form = registration()
            assert (await users.http.post(f"{USERS}/registration", json=form)).status_code == 201

            await eventually(partial(knows, path.auth, form["username"]), PATIENCE)


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.mark.usefixtures("_watchful")
async def test_the_signing_key_changes_and_tokens_of_both_are_good_everywhere_until_the_old_one_goes(
    path: CodesPath, databases: Databases, crowd: Crowd, keys: Keys, replicas: Replicas
) -> None:
    await path.start_notifier()
    first, (old_key,), form = path.auth, keys.folder.iterdir(), registration()
    async with users_with(path, databases, keys) as users:
        assert (await users.http.post(f"{USERS}/registration", json=form)).status_code == 201
    await eventually(partial(knows, first, form["username"]), PATIENCE)
    before = pair(await first.log_in(form["username"]))
    temporary, code = await login_begun_at(path, crowd, first)

    generate(keys.folder, signs_from=datetime.now(UTC) + timedelta(seconds=1))  # in production, 15 minutes
    second = await replicas.start(keys)
    await eventually(partial(signs_anew, first, kid(temporary)), PATIENCE)
    async with users_with(path, databases, keys) as users:
        after = pair(await first.log_in(form["username"]))
        assert kid(before.access) == kid(temporary) != kid(after.access)
        pair(await second.verify_otp(temporary, code))
        for tokens in (before, after):
            assert [await auth.verify_token(tokens.access) for auth in (first, second)] == [200, 200]
            assert (await users.http.get(f"{USERS}/me", headers=bearer(tokens.access))).status_code == 200
        assert kid(pair(await second.refresh(before.refresh)).access) == kid(after.access)

    old_key.unlink()
    assert [await first.verify_token(tokens.access) for tokens in (before, after)] == [401, 200]


async def knows(auth: AuthApp, name: str) -> bool:
    return (await auth.log_in(name)).status_code == 200


async def signs_anew(auth: AuthApp, old: str) -> bool:
    return auth.parts.tokens.keys.signing_key().kid != old


@pytest.fixture
def _watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key ring looks at its folder at every use, and not only every few seconds."""
    monkeypatch.setattr(key_files, "_RELOAD_AFTER", 0.0)
