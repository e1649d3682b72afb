"""GET /auth/forward where the settings demand a proved address or a second factor: who is refused, and how.

That nobody passes without: tests/security, S50 and S51.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest

from services.auth import app as auth
from services.auth.settings import AuthSettings
from shared.messaging.memory import MemoryBus
from tests.asking import problem
from tests.auth_steps import Accounts, Pair, Steps, pair
from tests.composed import AUTH, AuthApp, Keys, auth_settings, bearer, running_auth
from tests.inbox import Inbox
from tests.servers.databases import Databases

PATH = f"{AUTH}/forward"
ALL = {"email_verification": "required", "require_2fa": "all"}

Running = Callable[..., AbstractAsyncContextManager[AuthApp]]


@pytest.fixture
def running(databases: Databases, keys: Keys, bus: MemoryBus) -> Running:
    """Auth with these settings."""

    def started(**settings: Any) -> AbstractAsyncContextManager[AuthApp]:
        return running_auth(auth_settings(databases, keys, **settings), bus)

    return started


@pytest.fixture
async def demanding(running: Running) -> AsyncIterator[AuthApp]:
    async with running(**ALL) as app:
        yield app


async def ask(auth: AuthApp, tokens: Pair, path: str = "") -> httpx.Response:
    return await auth.http.get(PATH + path, headers=bearer(tokens.access))


async def test_the_token_counts_first_then_the_address_then_the_second_factor_then_the_rights(
    demanding: AuthApp, accounts: Accounts, inbox: Inbox
) -> None:
    account = await accounts.new(email_verified=False)
    tokens = pair(await demanding.log_in(account.username))
    problem(await ask(demanding, Pair("x", ""), "/admin"), 401, "invalid_token")
    problem(await ask(demanding, tokens, "/admin"), 403, "email_not_verified")

    account = await accounts.change(account, email_verified=True)
    problem(await ask(demanding, tokens, "/admin"), 403, "second_factor_required")

    login = await Steps(demanding, inbox).begin(await accounts.change(account, is_2fa=True))
    tokens = pair(await demanding.verify_otp(login.temporary, login.code))
    problem(await ask(demanding, tokens, "/admin"), 403, "not_enough_permissions")
    assert (await ask(demanding, tokens)).status_code == 204


async def test_a_refusal_says_what_to_do_next(demanding: AuthApp, accounts: Accounts) -> None:
    account = await accounts.new(email_verified=False)
    tokens = pair(await demanding.log_in(account.username))

    answer = await ask(demanding, tokens)
    sentence = problem(answer, 403, "email_not_verified")["detail"]
    assert "ask for a code with `POST /api/v1/users/verify-email/send`" in sentence
    challenge = f'Bearer realm="login2fa", error="insufficient_scope", error_description="{sentence}"'
    assert answer.headers["www-authenticate"] == challenge

    await accounts.change(account, email_verified=True)
    answer = await ask(demanding, tokens)
    sentence = problem(answer, 403, "second_factor_required")["detail"]
    assert "log in again" in sentence
    assert answer.headers["www-authenticate"] == (  # RFC 9470 section 3
        f'Bearer realm="login2fa", error="insufficient_user_authentication", error_description="{sentence}",'
        ' acr_values="urn:login2fa:acr:2"'
    )


async def test_whoever_is_refused_can_still_do_what_is_missing(demanding: AuthApp, accounts: Accounts) -> None:
    tokens = pair(await demanding.log_in((await accounts.new(email_verified=False)).username))
    problem(await ask(demanding, tokens), 403, "email_not_verified")

    assert await demanding.verify_token(tokens.access) == 200
    assert (await demanding.http.get(f"{AUTH}/sessions", headers=bearer(tokens.access))).status_code == 200
    tokens = pair(await demanding.refresh(tokens.refresh))
    assert (await demanding.http.post(f"{AUTH}/logout", headers=bearer(tokens.access))).status_code == 204


@pytest.mark.parametrize("setting", ["off", "optional"])
async def test_where_no_proof_is_demanded_who_has_none_passes_and_that_is_told(
    running: Running, accounts: Accounts, setting: str
) -> None:
    async with running(email_verification=setting) as app:
        answer = await ask(app, pair(await app.log_in((await accounts.new(email_verified=False)).username)))

    assert (answer.status_code, answer.headers["x-auth-verified"]) == (204, "false")


@pytest.mark.parametrize(
    ("setting", "passing"), [("none", {"person", "admin"}), ("admins", {"person"}), ("all", set())]
)
async def test_a_second_factor_is_demanded_of_nobody_of_administrators_or_of_all(
    running: Running, accounts: Accounts, setting: str, passing: set[str]
) -> None:
    async with running(require_2fa=setting) as app:
        people = {"person": await accounts.new(), "admin": await accounts.new(is_admin=True)}
        await accounts.in_step()
        answers = {name: await ask(app, pair(await app.log_in(each.username))) for name, each in people.items()}

    assert {name for name, answer in answers.items() if answer.status_code == 204} == passing
    for name in answers.keys() - passing:
        problem(answers[name], 403, "second_factor_required")


def test_the_document_names_each_refusal() -> None:
    paths = auth.build(AuthSettings.model_construct()).openapi()["paths"]

    for path, demanded in ((PATH, False), (f"{PATH}/{{demands}}", True)):
        answers = paths[path]["get"]["responses"]
        assert all(
            f"`{code}`" in answers["403"]["description"] for code in ("email_not_verified", "second_factor_required")
        )
        assert ("`not_enough_permissions`" in answers["403"]["description"]) is demanded
        assert ("`insufficient_user_authentication`" in answers["401"]["description"]) is demanded
        assert {"X-Auth-Verified", "X-Auth-Groups", "X-Auth-Acr"} <= answers["204"]["headers"].keys()
