"""People who have forgotten their password and set another one with a mailed code; and who ask for somebody unknown."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace

import httpx

from tests.faults.run.client import ANSWERED_LATE, Client
from tests.faults.run.ledger import LIFETIME, Ledger
from tests.faults.run.post import Post
from tests.stacks.stack import PASSWORD, Person
from tests.stacks.steps import somebody


class Forgetful:
    def __init__(self, client: Client, ledger: Ledger, post: Post) -> None:
        self._client = client
        self._ledger = ledger
        self._post = post

    async def asks_for_nobody(self) -> None:
        reply = await self._client.answered("users", "users/password-reset", json={"email": somebody().email})
        if self._client.expect(reply.answer, {202}):
            self._ledger.of_nobody.add(reply.request_id)

    async def sets_another_password(self, person: Person) -> Person | None:
        """The same person if no code came; None if nobody can know which password holds."""
        reply = await self._client.answered("users", "users/password-reset", json={"email": person.email})
        if not self._client.expect(reply.answer, {202}):
            return person
        promise = self._ledger.promise(reply.request_id, person.email, "reset")
        code = await self._post.code(promise.request_id, LIFETIME)
        if code is None:
            return person
        changed = replace(person, password=f"{PASSWORD} {uuid.uuid4().hex}")
        form = {"reset_token": reply.answer.json()["reset_token"], "code": code, "password": changed.password}
        good = await self._client.uses(promise, "users", "users/password-reset/confirm", json=form)
        if not good and time.monotonic() > promise.over_at - ANSWERED_LATE:
            return None
        self._note(changed, good)
        return changed

    def _note(self, changed: Person, good: list[httpx.Response]) -> None:
        """Without a good answer, one that was lost was good: nobody else has the code. A mailbox has a daily share of
        notices: the first is in it.
        """
        if good and changed.email not in self._ledger.passwords:
            self._ledger.promise(good[0].request.headers["X-Request-ID"], changed.email, "notice")
        self._ledger.passwords[changed.email] = changed.password
        self._ledger.proved.add(changed.email)

    async def is_refused(self, person: Person) -> None:
        """With the password before."""
        form = {"username": person.username, "password": person.password}
        reply = await self._client.answered("auth", "auth/token", data=form)
        self._client.expect(reply.answer, {400})
