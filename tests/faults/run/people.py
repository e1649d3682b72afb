"""People who register, log in with two factors, refresh and look at themselves, whatever happens to the services."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from typing import Any

import httpx

from tests.faults.run.ledger import LIFETIME, Asked, Ledger
from tests.faults.run.post import Post
from tests.faults.run.world import World
from tests.stacks.stack import Person
from tests.stacks.steps import bearer, registration, somebody

TRIES = 90
PAUSE = 0.5  # seconds, where the answer names none
OUTSIDE = "/api/v1/"
ASK_AFTER = 200.0  # seconds without a mail, after which one asks what has become of it


class People:
    def __init__(self, world: World, ledger: Ledger, post: Post, chance: random.Random) -> None:
        self._world = world
        self._ledger = ledger
        self._post = post
        self._chance = chance
        self._known: list[Person] = []

    async def come_and_go(self, stopping: asyncio.Event, every: float) -> None:
        """One login after the other, a new one at most each `every` seconds."""
        while not stopping.is_set():
            begun = time.monotonic()
            person = self._known.pop(0) if self._known and self._chance.random() < 0.7 else await self.register()
            await self.visit(person)
            self._known.append(person)
            left = every - (time.monotonic() - begun)
            if left > 0:
                await _pause(stopping, left)

    async def register(self) -> Person:
        person = somebody(is_2fa=True)
        answer, lost = await self._answered("users", "users/registration", json=registration(person))
        known = lost and answer.status_code == 400
        self._expect(answer, {201} | ({400} if known else set()))
        return person

    async def visit(self, person: Person, *, at: str | None = None) -> None:
        """Log in, at this replica if one is named, with the code, and use what one gets."""
        form = {"username": person.username, "password": person.password}
        answer, _ = await self._answered("auth", "auth/token", data=form, again=frozenset({400}), at=at)
        if not self._expect(answer, {200}):
            return
        promise = self._ledger.promise(answer.request.headers["X-Request-ID"], person.email)
        temporary = answer.json()["temporary_token"]
        code = await self._post.code(promise.request_id, ASK_AFTER)
        if code is None:
            told, _ = await self._answered("auth", "auth/challenge", method="GET", token=temporary)
            promise.told_failed = told.is_success and told.json()["status"] == "failed"
            code = await self._post.code(promise.request_id, LIFETIME - ASK_AFTER)
        if code is None:
            return
        tokens = await self._verified(promise.request_id, temporary, code)
        if tokens is not None:
            self._ledger.logins += 1
            await self._use(person, tokens)

    async def _verified(self, request_id: str, temporary: str, code: str) -> dict[str, str] | None:
        """Sometimes three at a time: one of them may get in."""
        promise = self._ledger.promises[request_id]
        count = 3 if self._chance.random() < 0.1 else 1
        tries = [self._answered("auth", "auth/verify-otp", token=temporary, json={"otp": code}) for _ in range(count)]
        answers = await asyncio.gather(*tries)
        good = [answer.json() for answer, _ in answers if answer.is_success]
        promise.successes += len(good)
        in_time = time.monotonic() < promise.at + LIFETIME - ANSWERED_LATE
        if not good and in_time and not any(lost for _, lost in answers):
            self._ledger.wrong.append(f"I1: the right code of {request_id} was refused: {answers[0][0].text}")
        return good[0] if good else None

    async def _use(self, person: Person, tokens: dict[str, str]) -> None:
        me, _ = await self._answered("users", "users/me", method="GET", token=tokens["access_token"])
        if self._expect(me, {200}) and me.json()["email"] != person.email:
            self._ledger.wrong.append(f"I5: {person.email} is taken for {me.json()['email']}")
        if self._chance.random() < 0.3:
            refresh = {"refresh_token": tokens["refresh_token"]}
            answer, lost = await self._answered("auth", "auth/refresh-token", json=refresh)
            self._expect(answer, {200, 401} if lost else {200})

    def _expect(self, answer: httpx.Response, statuses: set[int]) -> bool:
        if answer.status_code not in statuses:
            self._ledger.wrong.append(f"I6: {answer.request.url.path}: {answer.status_code} {answer.text[:300]}")
        return answer.is_success

    async def _answered(
        self,
        service: str,
        path: str,
        *,
        again: frozenset[int] = frozenset(),
        **request: Any,
    ) -> tuple[httpx.Response, bool]:
        """What a request was answered that was tried until it was; and whether a try has got lost.

        `again` are statuses that may be over in a moment: the account's event is on its way.
        """
        lost = False
        for _ in range(TRIES):
            answer = await self._ask(service, path, **request)
            if answer is not None and answer.status_code not in {429, 500, 502, 503, 504, *again}:
                return answer, lost
            lost = lost or answer is None or answer.status_code not in again
            seconds = float(answer.headers.get("retry-after", PAUSE)) if answer is not None else PAUSE
            await asyncio.sleep(seconds)
        raise AssertionError(f"{TRIES} times no answer to {path}")

    async def _ask(
        self, service: str, path: str, *, method: str = "POST", token: str = "", at: str | None = None, **content: Any
    ) -> httpx.Response | None:
        """The answer of the first replica that takes the connection; None where it gave none."""
        request_id = uuid.uuid4().hex
        headers = {"X-Request-ID": request_id} | (bearer(token) if token else {})
        for replica in [at] if at else self._world.in_turn(service):
            begun, said, retry_after, status = time.monotonic(), "", "", None
            answer = None
            try:
                answer = await self._world.clients[replica].request(method, OUTSIDE + path, headers=headers, **content)
            except httpx.ConnectError:
                continue  # as a gateway does: nothing was sent
            except httpx.TransportError as error:
                said = repr(error)
            else:
                status, retry_after = answer.status_code, answer.headers.get("retry-after", "")
                said = answer.text if answer.is_error else ""
            ended = time.monotonic()
            self._ledger.asked.append(Asked(request_id, replica, path, begun, ended, status, said, retry_after))
            return answer
        return None


ANSWERED_LATE = 10.0


async def _pause(until: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await until.wait()
    except TimeoutError:
        return
