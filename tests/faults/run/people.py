"""People who register, log in with two factors, refresh and look at themselves, whatever happens to the services.

Some have no second factor, and prove their address with an account code; some of these get an authenticator app, and
some people forget their password.
"""

from __future__ import annotations

import asyncio
import random
import time

from tests.faults.run.app_owners import AppOwners
from tests.faults.run.client import ANSWERED_LATE, Client, Reply
from tests.faults.run.forgetful import Forgetful
from tests.faults.run.ledger import LIFETIME, Ledger, Promise
from tests.faults.run.post import Post
from tests.faults.run.world import World
from tests.stacks.stack import Person
from tests.stacks.steps import registration, somebody

ASK_AFTER = 200.0  # seconds without a mail, after which one asks what has become of it


class People:
    def __init__(self, world: World, ledger: Ledger, post: Post, chance: random.Random) -> None:
        self._client = Client(world, ledger, chance)
        self._forgetful = Forgetful(self._client, ledger, post)
        self._owners = AppOwners(self._client, ledger)
        self._ledger = ledger
        self._post = post
        self._chance = chance
        self._known: list[Person] = []
        self._unproved: dict[str, Promise | None] = {}  # by address: what was promised at the registration

    async def come_and_go(self, stopping: asyncio.Event, every: float) -> None:
        """One login after the other, a new one at most each `every` seconds."""
        while not stopping.is_set():
            begun = time.monotonic()
            person = await self._come(await self._somebody())
            if person is not None:
                self._known.append(person)
            left = every - (time.monotonic() - begun)
            if left > 0:
                await _pause(stopping, left)

    async def _somebody(self) -> Person:
        ready = next((each for each in self._known if self._owners.has_code(each.email)), None)
        if ready is not None and self._chance.random() < 0.7:
            self._known.remove(ready)
            return ready
        return await self.register(is_2fa=self._chance.random() < 0.7)

    async def _come(self, person: Person) -> Person | None:
        """Those who may come again."""
        if self._chance.random() < 0.05:
            await self._forgetful.asks_for_nobody()
        has_app = person.email in self._owners
        if self._chance.random() < 0.15 and not has_app:  # two logins follow, and an app has a code for one
            return await self._forget(person)
        if person.email in self._unproved:
            if self._chance.random() < 0.5 and not has_app:
                return await self._enrol(person)
            await self._prove(person)
        else:
            await self.visit(person)
        return person

    async def _forget(self, person: Person) -> Person | None:
        changed = await self._forgetful.sets_another_password(person)
        if changed is not None and changed != person:
            self._unproved.pop(person.email, None)
            await self.visit(changed)
            await self._forgetful.is_refused(person)
        return changed

    async def _enrol(self, person: Person) -> Person | None:
        """While the address is not proved: else a notice would be promised. The app has another code at once."""
        tokens = await self._log_in(person)
        if tokens is None:
            return person
        if not await self._owners.enrol(person.email, tokens["access_token"]):
            return None
        await self.visit(person)
        return person

    async def register(self, *, is_2fa: bool = True) -> Person:
        person = somebody(is_2fa=is_2fa)
        reply = await self._client.answered("users", "users/registration", json=registration(person))
        known = reply.lost and reply.answer.status_code == 400
        created = self._client.expect(reply.answer, {201} | ({400} if known else set()))
        if not is_2fa:
            promised = created and self._ledger.promise(reply.request_id, person.email, "verify")
            self._unproved[person.email] = promised or None
        return person

    async def visit(self, person: Person, *, at: str | None = None) -> None:
        """Log in, at this replica if one is named, with the code if there is one, and use what one gets."""
        tokens = await self._log_in(person, at)
        if tokens is not None:
            await self._use(person, tokens)

    async def _log_in(self, person: Person, at: str | None = None) -> dict[str, str] | None:
        reply = await self._with_password(person, at)
        if not self._client.expect(reply.answer, {200}):
            return None
        if person.email in self._owners:
            return await self._owners.completed(person.email, reply.answer)
        if not person.is_2fa:
            return dict(reply.answer.json())
        promise = self._ledger.promise(reply.request_id, person.email)
        temporary = reply.answer.json()["temporary_token"]
        code = await self._code(promise, "auth", "auth/challenge", temporary)
        tokens = await self._verified(promise, temporary, code) if code is not None else None
        if tokens is not None:
            self._ledger.logins += 1
            self._ledger.proved.add(person.email)  # by its login code
        return tokens

    async def _with_password(self, person: Person, at: str | None = None) -> Reply:
        form = {"username": person.username, "password": person.password}
        return await self._client.answered("auth", "auth/token", data=form, again=frozenset({400}), at=at)

    async def _code(self, promise: Promise, service: str, status: str, token: str) -> str | None:
        """None if it has not come while it lived; `status` is where one asks what has become of it."""
        code = await self._post.code(promise.request_id, promise.at + ASK_AFTER - time.monotonic())
        if code is None:
            told = (await self._client.answered(service, status, method="GET", token=token)).answer
            promise.told_failed = told.is_success and told.json()["status"] == "failed"
            code = await self._post.code(promise.request_id, LIFETIME - ASK_AFTER)
        return code

    async def _verified(self, promise: Promise, temporary: str, code: str) -> dict[str, str] | None:
        answers = await self._client.uses(promise, "auth", "auth/verify-otp", token=temporary, json={"otp": code})
        return answers[0].json() if answers else None

    async def _prove(self, person: Person) -> None:
        promise, tokens = self._unproved.pop(person.email), await self._log_in(person)
        if tokens is None:
            return
        token = tokens["access_token"]
        if promise is None or promise.over_at - time.monotonic() < ANSWERED_LATE:
            reply = await self._client.answered("users", "users/verify-email/send", token=token)
            self._client.expect(reply.answer, {202})
            promise = self._ledger.promise(reply.request_id, person.email, "verify")
        code = await self._code(promise, "users", "users/verify-email", token)
        if code is None:
            self._unproved[person.email] = None
            return
        await self._client.uses(promise, "users", "users/verify-email", token=token, json={"code": code})
        me = (await self._client.answered("users", "users/me", method="GET", token=token)).answer
        if self._client.expect(me, {200}) and me.json()["email_verified_at"] is None:
            self._ledger.wrong.append(f"I1: {person.email} is not proved by its code")
        self._ledger.proved.add(person.email)

    async def _use(self, person: Person, tokens: dict[str, str]) -> None:
        me = (await self._client.answered("users", "users/me", method="GET", token=tokens["access_token"])).answer
        if self._client.expect(me, {200}) and me.json()["email"] != person.email:
            self._ledger.wrong.append(f"I5: {person.email} is taken for {me.json()['email']}")
        if self._chance.random() < 0.3:
            refresh = {"refresh_token": tokens["refresh_token"]}
            reply = await self._client.answered("auth", "auth/refresh-token", json=refresh)
            self._client.expect(reply.answer, {200, 401} if reply.lost else {200})


async def _pause(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
