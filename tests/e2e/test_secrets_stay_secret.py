"""No password, code or token in any log line, nor at rest in the database."""

from __future__ import annotations

import re

from tests.polling import eventually
from tests.servers.databases import connected
from tests.stacks.stack import Stack
from tests.stacks.steps import bearer, challenged, pair, refresh, register, somebody, submit_code, submit_password

SECRET = "canary battery staple"


async def test_the_logs_hold_no_password_code_or_token(stack: Stack) -> None:
    person = somebody(is_2fa=True, password=SECRET)
    await register(stack, person)
    await submit_password(stack, person, password=f"{SECRET} misspelt")
    temporary, code = await challenged(stack, person)
    tokens = pair(await submit_code(stack, temporary, code))
    again = pair(await refresh(stack, tokens.refresh))
    await stack.http.get("/api/v1/users/me", headers=bearer(again.access))
    await stack.http.post("/api/v1/auth/logout", headers=bearer(again.access))

    logs = stack.written()

    assert "otp delivery" in logs
    for secret in (SECRET, temporary, tokens.access, tokens.refresh, again.access, again.refresh):
        assert secret not in logs
        assert secret.rpartition(".")[2] not in logs  # a signature alone
    # Letters beside it: a fraction of a second in a time looks like a code.
    assert not re.search(rf"(?<![\w.]){code}(?!\w)", logs)


async def test_the_outboxes_run_empty(stack: Stack) -> None:
    """What is published is removed: sealed codes and hashes do not pile up."""
    await challenged(stack, await register(stack, is_2fa=True))

    async def empty() -> bool:
        counts = []
        for url, schema in ((stack.auth_database_url, "auth"), (stack.users_database_url, "users")):
            async with connected(url) as database:
                counts.append(await database.fetchval(f"SELECT count(*) FROM {schema}.outbox"))
        return counts == [0, 0]

    await eventually(empty)


async def test_a_code_is_kept_as_a_keyed_digest_only(stack: Stack) -> None:
    person = await register(stack, is_2fa=True)
    _, code = await challenged(stack, person)

    async with connected(stack.auth_database_url) as database:
        row = await database.fetchrow("SELECT * FROM auth.challenges WHERE account_id = $1", person.id)

    assert len(row["code_mac"]) == 32
    assert code.encode() not in row["code_mac"]
    assert not any(value == code for value in row.values())
