"""After a restore nobody is let in who has been shut out since the backup (docs/backup.md): `make restore-drill`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.faults.knowledge import until_known
from tests.polling import eventually
from tests.restore.drill import Drill
from tests.servers.databases import Databases
from tests.servers.mail import MailSink
from tests.stacks.processes import Processes, processes
from tests.stacks.stack import Person
from tests.stacks.steps import admin, bearer, log_in, refresh, register, submit_password, verify_token

pytestmark = pytest.mark.long


@pytest.fixture
async def stack(databases: Databases, amqp_url: str, tmp_path: Path) -> AsyncIterator[Processes]:
    async with MailSink() as mail, processes(databases, amqp_url, mail, tmp_path) as stack:
        yield stack
        print(stack.logged({}))


@pytest.fixture
def drill(stack: Processes, databases: Databases, tmp_path: Path) -> Drill:
    return Drill(stack, databases, tmp_path)


async def until_logged_in(stack: Processes, person: Person) -> None:
    async def logged_in() -> bool:
        return (await submit_password(stack, person)).status_code == 200

    await eventually(logged_in, 30.0)


async def until_refused(stack: Processes, person: Person) -> None:
    async def refused() -> bool:
        return (await submit_password(stack, person)).status_code == 400

    await eventually(refused, 30.0)


async def rename(stack: Processes, own: dict[str, str], name: str, *, etag: str | None = None) -> httpx.Response:
    headers = own | ({"If-Match": etag} if etag else {})
    return await stack.http.patch("/api/v1/users/", json={"name": name}, headers=headers)


async def test_with_users_alone_restored_a_deactivation_still_locks_out(stack: Processes, drill: Drill) -> None:
    person = await register(stack)
    await until_known(stack, person)
    own = bearer((await log_in(stack, person)).access)
    await drill.back_up("users")
    for number in range(2):  # versions that the backup has not seen, and auth has
        answer = await rename(stack, own, f"Dave {number}")
        assert answer.status_code == 200, answer.text
    etag = answer.headers["ETag"]
    await drill.restore()
    await drill.restored()
    await drill.start()
    await until_logged_in(stack, person)
    own = bearer((await log_in(stack, person)).access)
    assert (await rename(stack, own, "Martin", etag=etag)).status_code == 412

    stack.admin_tokens = None
    url = f"/api/v1/users/{person.id}"
    answer = await stack.http.patch(url, json={"is_active": False}, headers=await admin(stack))

    assert answer.status_code == 200, answer.text
    await until_refused(stack, person)


async def test_what_ended_since_the_backup_stays_so(stack: Processes, drill: Drill) -> None:
    person, gone = await register(stack), await register(stack)
    for each in (person, gone):
        await until_known(stack, each)
    logged_out, goes_on = await log_in(stack, person), await log_in(stack, person)
    await drill.back_up()
    assert (await stack.http.post("/api/v1/auth/logout", headers=bearer(logged_out.access))).status_code == 204
    own = bearer((await log_in(stack, gone)).access)
    assert (await stack.http.delete("/api/v1/users/", headers=own)).status_code == 200
    await drill.restore()

    assert "1 accounts are deleted again" in await drill.restored()
    assert "0 accounts are deleted again" in await drill.restored()  # a second time it does no harm
    await drill.start()

    await until_logged_in(stack, person)
    for tokens in (logged_out, goes_on):
        assert await verify_token(stack, tokens.access) == 401
        assert (await refresh(stack, tokens.refresh)).status_code == 401
        assert (await stack.http.get("/api/v1/users/me", headers=bearer(tokens.access))).status_code == 401
    assert (await submit_password(stack, gone)).status_code == 400
    await log_in(stack, stack.admin)
