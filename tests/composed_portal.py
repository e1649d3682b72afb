"""The portal on the services that it asks, as `make up` composes them: one database, one bus, one process.

    async def test_x(portal: ComposedPortal) -> None:
        person = await portal.person(is_2fa=True)      # registered, address proved, known to auth
        browser = portal.browser()                     # knows nobody yet (tests/browsing.py)
        page = await browser.log_in(person)            # ends on the page after it: the account, or /login/verify
        code = await portal.inbox.code_for(person.email)          # login codes that were mailed
        code = await portal.codes.code_for(person.email, "reset")  # account codes: verify, change, reset, register
        await portal.reports.tell(person, "delivered") # what became of the latest login code
        app = await portal.new_app(person)             # an authenticator app: `app.code()`, `app.recovery_codes`
        passkey = await portal.new_passkey(person)      # answers the options of pages: `passkey.answer(options)`
        await portal.age_login(person, 600)            # the person proved who they are ten minutes ago

`portal` is shared by all tests of tests/integration/portal: everything in it is of the test's own people. What needs
other settings takes `running_portal`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from login2fa_testing.authenticator_app import AuthenticatorApp
from login2fa_testing.software_passkey import SoftwarePasskey
from services.auth.accounts import in_step, read_model
from services.portal import app as portal
from services.portal.api import Services
from services.portal.settings import PortalSettings
from services.users import in_step as told
from shared.configuration.settings import load
from shared.messaging.topology import ACCOUNT_CODES, NOTICES, OTP_DELIVERY
from tests.account_codes import AccountCodes
from tests.browsing import ORIGIN, Browser, Page
from tests.builders import PASSWORD, registered
from tests.code_reports import CodeReports
from tests.composed import (
    AUTH,
    AuthApp,
    Keys,
    UsersApp,
    auth_settings,
    bearer,
    running_auth,
    running_users,
    users_settings,
)
from tests.fakes import StandInBus
from tests.inbox import Inbox
from tests.polling import eventually
from tests.servers.databases import Databases, connected

# The portal's address to the services: the only proxy that they believe.
PROXY = "100::1"


@dataclass(frozen=True, slots=True)
class Person:
    id: UUID
    username: str
    email: str
    password: str = PASSWORD


class Visitor(Browser):
    """A browser whose person knows the password."""

    async def log_in(self, person: Person, *, rd: str = "/account", keep: bool = False) -> Page:
        """With the password. Ends on the page that is shown then: `rd`, or that of the second step."""
        page = await self.get("/login", rd=rd)
        kept = "1" if keep else None
        page = await self.submit(page, "/login", username=person.username, password=person.password, keep=kept)
        return await self.follow(page)

    async def use_passkey(self, page: Page, action: str, passkey: SoftwarePasskey, **fields: Any) -> Page:
        """Send the page's form as static/passkeys.js does it."""
        form = page.form(action)
        asked = await self.post(form.attributes["data-options"], {"form_token": form.fields["form_token"]})
        assert asked.status == httpx.codes.OK, asked.html
        question = asked.answer.json()
        credential = json.dumps(passkey.answer(question["options"]))
        given: dict[str, Any] = {"ceremony": question["ceremony"], "credential": credential}
        return await self.submit(page, action, **given | fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedPortal:
    app: FastAPI
    auth: AuthApp
    users: UsersApp
    databases: Databases
    inbox: Inbox
    codes: AccountCodes
    reports: CodeReports

    def browser(self, **of: Any) -> Visitor:
        return Visitor(self.app, **of)

    async def person(self, **fields: Any) -> Person:
        """Somebody with an account that auth knows. `fields` are those of the registration, and columns of accounts."""
        row = await registered(self.users.parts, **fields)
        person = Person(row.id, row.username, row.email)
        await self.known(person)
        return person

    async def administrator(self, **fields: Any) -> Person:
        """One that may act: auth has been told that it knows all of them."""
        person = await self.person(is_admin=True, **fields)
        async with self.users.parts.database.transaction() as connection:
            await told.report(connection)

        async def may_act() -> bool:
            async with self.auth.parts.database.statement() as connection:
                return bool((await connection.execute(select(in_step.fresh(timedelta(minutes=1))))).scalar_one())

        await eventually(may_act)
        return person

    @contextmanager
    def users_with(self, **settings: Any) -> Iterator[None]:
        """The users service has these settings, in the time of the block."""
        state, usual = self.users.app.state, self.users.parts
        state.users = replace(usual, settings=usual.settings.model_copy(update=settings))
        try:
            yield
        finally:
            state.users = usual

    async def known(self, person: Person) -> None:
        """Wait until auth knows the account."""

        async def is_known() -> bool:
            async with self.auth.parts.database.statement() as connection:
                return await read_model.find(connection, person.id) is not None

        await eventually(is_known)

    async def new_app(self, person: Person) -> AuthenticatorApp:
        """The authenticator app of somebody who has no second factor yet, with its recovery codes."""
        owner = await self._owner(person)
        new = await self._posted("factors/totp", owner)
        app = AuthenticatorApp(new["secret"])
        confirmed = await self._posted(f"factors/totp/{new['id']}/confirm", owner, otp=app.code())
        app.recovery_codes = tuple(confirmed["recovery_codes"])
        return app

    async def new_passkey(self, person: Person) -> SoftwarePasskey:
        """The same with a passkey."""
        owner = await self._owner(person)
        asked = await self._posted("factors/passkeys/options", owner)
        passkey = SoftwarePasskey(ORIGIN)
        answer = {"ceremony": asked["ceremony"], "credential": passkey.answer(asked["options"])}
        added = await self._posted("factors/passkeys", owner, **answer)
        passkey.recovery_codes = tuple(added["recovery_codes"])
        return passkey

    async def _owner(self, person: Person) -> dict[str, str]:
        return bearer((await self.auth.log_in(person.username, person.password)).json()["access_token"])

    async def _posted(self, path: str, headers: dict[str, str], **body: Any) -> dict[str, Any]:
        answer = await self.auth.http.post(f"{AUTH}/{path}", headers=headers, json=body)
        assert answer.is_success, answer.text
        content: dict[str, Any] = answer.json()
        return content

    async def turn_on_mailed_codes(self, person: Person) -> None:
        """As its owner would, in a new login; and wait until auth knows."""
        async with connected(self.databases.users_url) as sql:
            await sql.execute("UPDATE users.accounts SET is_2fa = true WHERE id = $1", person.id)
        async with connected(self.databases.auth_url) as sql:
            await sql.execute("UPDATE auth.identities SET is_2fa = true WHERE id = $1", person.id)

    async def age_login(self, person: Person, seconds: int) -> None:
        """All sessions of the person authenticated so much earlier."""
        async with connected(self.databases.auth_url) as sql:
            await sql.execute(
                "UPDATE auth.sessions SET auth_time = auth_time - make_interval(secs => $2),"
                " began_at = began_at - make_interval(secs => $2) WHERE account_id = $1",
                person.id,
                seconds,
            )


@asynccontextmanager
async def running_portal(
    databases: Databases,
    keys: Keys,
    jwks_url: str,
    *,
    auth: dict[str, Any] | None = None,
    users: dict[str, Any] | None = None,
    **overrides: Any,
) -> AsyncIterator[ComposedPortal]:
    """`auth`, `users` and `overrides`: settings beside the usual ones, the last ones those of the portal."""
    async with AsyncExitStack() as stack:
        bus = StandInBus()
        stack.push_async_callback(bus.close)
        await bus.stand_in(NOTICES.queue)
        inbox, codes = Inbox(keys.otp_sealer), AccountCodes(keys.mailed_sealer)
        await bus.consume(OTP_DELIVERY.queue, inbox, concurrency=4)
        await bus.consume(ACCOUNT_CODES.queue, codes, concurrency=4)
        believed = {"trusted_proxies": PROXY}
        # The portal logs in who has just registered or set a password, and auth has to hear of it first.
        of_auth = auth_settings(databases, keys, **{"login_failure_deadline": 1.0} | believed | (auth or {}))
        of_users = users_settings(databases, keys, jwks_url, **believed, **(users or {}))
        auth_app = await stack.enter_async_context(running_auth(of_auth, bus))
        users_app = await stack.enter_async_context(running_users(of_users, keys, bus))
        services = Services(auth=_within(auth_app.app), users=_within(users_app.app))
        served = await stack.enter_async_context(portal.running(load(PortalSettings, **overrides), services))
        assert isinstance(served.app, FastAPI)
        yield ComposedPortal(
            app=served.app,
            auth=auth_app,
            users=users_app,
            databases=databases,
            inbox=inbox,
            codes=codes,
            reports=CodeReports(bus, inbox),
        )


def _within(app: FastAPI) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(PROXY, 0))
    return httpx.AsyncClient(transport=transport, base_url="http://login2fa.test")
