"""S34: requests made from our own OpenAPI document, single and in sequences, meet no 500 and no undocumented status."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import pytest

from deploy.standalone.front import Front
from shared.messaging.memory import MemoryBus
from shared.messaging.topology import ACCOUNT_CODES
from shared.web.process import listen, serving
from tests.account_codes import AccountCodes
from tests.asking import small_app
from tests.composed import AuthApp, Keys, UsersApp, auth_settings, running_auth, running_users, users_settings
from tests.inbox import Inbox
from tests.security.callers import Callers
from tests.security.fuzzing import Found, fuzz
from tests.servers.databases import Databases

T = TypeVar("T")


def _may_refuse(name: str, *statuses: str) -> dict[str, Any]:
    """A request that fits the schema is expected to be taken, or refused with one of the usual statuses, or these."""
    usual = ["2xx", "3xx", "401", "403", "404", "409", "429", "5xx"]
    return {"include-name": name, "checks": {"positive_data_acceptance": {"expected-statuses": [*usual, *statuses]}}}


# What no schema can say. Every check is on for every operation but where it is said otherwise here.
OPERATIONS = [
    _may_refuse("POST /api/v1/auth/token", "400"),  # a wrong password: RFC 6749 section 5.2 wants 400
    # A wrong code, password or answer of a passkey.
    *(
        _may_refuse(f"POST /api/v1/auth/verify-{by}", "400")
        for by in ("otp", "totp", "recovery", "passkey", "password")
    ),
    _may_refuse("POST /api/v1/auth/passkey", "400"),
    _may_refuse("POST /api/v1/auth/factors/totp/{app_id}/confirm", "400"),
    # What is invisible in a name.
    {
        "include-name": "POST /api/v1/auth/factors/totp",
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", "401", "403", "422"]},
            "ensure_resource_availability": {"enabled": False},  # an app that is not confirmed is not there yet
        },
    },
    _may_refuse("POST /api/v1/auth/factors/passkeys", "400", "422"),
    _may_refuse("PATCH /api/v1/auth/factors/passkeys/{passkey_id}", "422"),
    # A name that is taken, a password that is too common; what is invisible, each version of Unicode says anew.
    _may_refuse("POST /api/v1/users/registration", "400", "422"),
    _may_refuse("POST /api/v1/users/", "400", "422"),
    # A wrong code; a username that is taken, a password that is too common; what is invisible.
    _may_refuse("POST /api/v1/users/registration/confirm", "400", "422"),
    _may_refuse("POST /api/v1/users/verify-email", "400"),
    _may_refuse("POST /api/v1/users/password-reset/confirm", "400"),
    # No address.
    _may_refuse("POST /api/v1/users/password-reset", "400", "422"),
    _may_refuse("POST /api/v1/users/invitations", "400", "422"),
    _may_refuse("POST /api/v1/users/change-password", "400"),  # two passwords that differ
    _may_refuse("GET /api/v1/users/", "400"),  # a cursor that is none of ours
    # Nothing to change; the same of names; If-Match: RFC 9110 section 13.1.1.
    _may_refuse("PATCH /api/v1/users/", "400", "412", "422"),
    _may_refuse("PATCH /api/v1/users/{user_id}", "400", "412", "422"),
    _may_refuse("DELETE /api/v1/users/", "412"),
    _may_refuse("DELETE /api/v1/users/{user_id}", "412"),
    # A gateway asks with the method of the request that it is about: any is answered like GET (docs/decisions/0006).
    {"include-path-regex": "^/api/v1/auth/forward", "checks": {"unsupported_method": {"enabled": False}}},
]


@pytest.fixture
async def auth_app(databases: Databases, keys: Keys, bus: MemoryBus) -> AsyncIterator[AuthApp]:
    # Nobody reports deliveries here, and a login that is answered 503 for it would not be looked into; nor would a new
    # code, which the whole run is too short to wait for.
    settings = auth_settings(databases, keys, otp_pressure_on=86_400, otp_resend_cooldown=0)
    async with running_auth(settings, bus) as app:
        yield app


@pytest.fixture
async def users_app(databases: Databases, keys: Keys, bus: MemoryBus, jwks_url: str) -> AsyncIterator[UsersApp]:
    # Auth lets administrators pass only while it is told who they are. Codes come as often as they are asked for.
    limits = {"mailed_code_cooldown": 0, "address_proofs_per_hour": 1000, "password_resets_per_client": 10_000}
    limits |= {"registrations_per_client": 10_000}
    settings = users_settings(databases, keys, jwks_url, in_step_every=1, uniform_deadline=0.05, **limits)
    async with running_users(settings, keys, bus) as app:
        yield app


@pytest.fixture
async def account_codes(bus: MemoryBus, keys: Keys) -> AccountCodes:
    codes = AccountCodes(keys.mailed_sealer)
    await bus.consume(ACCOUNT_CODES.queue, codes, concurrency=1)
    return codes


@pytest.fixture
async def url(auth_app: AuthApp, users_app: UsersApp, inbox: Inbox) -> AsyncIterator[str]:
    """Both services at one address, as `make up` has them."""
    bound = listen("127.0.0.1", 0, hint="")
    async with serving(Front(auth=auth_app.app, users=users_app.app, portal=small_app()), bound, grace=1):
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


class FromAThread:
    """What callers know, asked for by a thread beside the loop in which the services run."""

    def __init__(self, callers: Callers, loop: asyncio.AbstractEventLoop) -> None:
        self._callers = callers
        self._loop = loop

    def token(self, operation: str) -> str:
        return self._asked(self._callers.token(operation))

    def body(self, operation: str) -> dict[str, Any] | None:
        return self._asked(self._callers.body(operation))

    def ids(self, operation: str) -> dict[str, str]:
        return self._asked(self._callers.ids(operation))

    def _asked(self, question: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(question, self._loop).result(timeout=30)


async def fuzzed(url: str, callers: Callers, examples: int, seed: int) -> Found:
    knowledge = FromAThread(callers, asyncio.get_running_loop())
    settings: dict[str, Any] = {
        "seed": seed,
        "continue-on-failure": True,
        "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
        # Sequences reach what single requests do not: an account that is there, a token that is good.
        "phases": {"stateful": {"generation": {"max-examples": 2 * examples}}},
        "operations": OPERATIONS,
    }
    return await asyncio.to_thread(fuzz, url, knowledge, settings)


@pytest.mark.parametrize("examples", [4, pytest.param(250, marks=pytest.mark.long)])
async def test_nothing_is_found(
    url: str,
    auth_app: AuthApp,
    users_app: UsersApp,
    inbox: Inbox,
    account_codes: AccountCodes,
    capsys: pytest.CaptureFixture[str],
    examples: int,
) -> None:
    seed = 1 if examples < 100 else secrets.randbelow(1_000_000)

    found = await fuzzed(url, Callers(auth_app, users_app, inbox, account_codes), examples, seed)

    with capsys.disabled():
        print(
            f"\n{found.cases} requests to {len({label for label, _ in found.statuses})} operations (seed {seed}): "
            f"{found.server_errors} server errors, {found.undocumented} undocumented statuses, "
            f"{len(found.failures)} failures of any check"
        )
    assert found.failures == {}
    assert found.errors == []
    assert found.server_errors == 0
    assert found.never_accepted == set()
    assert found.cases > 500
