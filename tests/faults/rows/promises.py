"""What auth has promised to people who logged in, and whether it was kept: asked at the API and in the inbox alone."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel
from prometheus_client import REGISTRY

from shared.messaging.events import AccountChanged
from shared.messaging.topology import OTP_DELIVERY, RETRY_DELAYS
from tests.integration.codes_path import PATIENCE, CodesPath
from tests.polling import eventually
from tests.servers.mail import Received

AT_ONCE = 5.0  # a login that waited for the broker would wait for the relay's total time-out, 10 s, or for ever
BETWEEN_LOGINS = 0.05
SHOWN_WITHIN = 30.0


@dataclass(frozen=True)
class Promise:
    email: str
    temporary: str


class Promises:
    """Of a `CodesPath`. Whoever is answered 200 has been promised a code; 503 with `Retry-After` promises nothing."""

    def __init__(self, path: CodesPath) -> None:
        self._path = path
        self.made: list[Promise] = []
        self.refused: list[str] = []
        self.codes: set[str] = set()
        self.recovered_after = 0.0

    async def log_in(self, account: AccountChanged | None = None) -> Promise | None:
        """Somebody new unless given; None where no code was promised."""
        account = account or await self._path.account()
        async with asyncio.timeout(AT_ONCE):
            answer = await self._path.auth.log_in(account.username)
        if answer.status_code == 503:
            assert int(answer.headers["retry-after"]) >= 1
            self.refused.append(account.email)
            return None
        assert answer.status_code == 200, answer.text
        self.made.append(Promise(account.email, answer.json()["temporary_token"]))
        return self.made[-1]

    async def several(self, count: int) -> list[Promise]:
        """So many, and nobody is refused."""
        made = [await self.log_in() for _ in range(count)]
        promises = [promise for promise in made if promise is not None]
        assert len(promises) == count
        return promises

    @asynccontextmanager
    async def coming_in(self) -> AsyncIterator[None]:
        """One person after the other logs in inside the block."""
        over = asyncio.Event()
        people = asyncio.create_task(self._come_in(over))
        try:
            yield
        finally:
            over.set()
            await people

    async def _come_in(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self.log_in()
            try:
                async with asyncio.timeout(BETWEEN_LOGINS):
                    await over.wait()
            except TimeoutError:
                continue

    async def more_logins(self, count: int) -> None:
        """Return when so many more people have been answered, of those who are coming in."""
        enough = self._answered + count
        await eventually(lambda: self._answered >= enough, PATIENCE)

    @property
    def _answered(self) -> int:
        return len(self.made) + len(self.refused)

    async def delivered_again(self, within: float) -> None:
        """Until a code that is asked for from now on arrives, and readiness has nothing to say."""
        before, since = len(self.made), time.monotonic()

        async def arrived() -> bool:
            await self.log_in()
            comes = any(self._path.mails.mails_to(promise.email) for promise in self.made[before:])
            return comes and not await self._path.not_ready()

        await eventually(arrived, within)
        self.recovered_after = time.monotonic() - since

    async def kept(self, *, mails_each: int = 1) -> None:
        """All codes have arrived and work, each in `mails_each` mails at most; and nobody else has got one."""
        for promise in self.made:
            await self._path.mails.wait_for(promise.email, timeout=PATIENCE)
        await until_quiet(self._path)
        for promise in self.made:
            mails = self._path.mails.mails_to(promise.email)
            code = _the_one_code(mails)
            self.codes.add(code)
            answer = await self._path.auth.verify_otp(promise.temporary, code)
            assert answer.status_code == 200, answer.text
            assert len(mails) <= mails_each, f"{len(mails)} mails for one code"
        for email in self.refused:
            assert self._path.mails.mails_to(email) == []

    async def shown(self, *checks: str) -> None:
        """Until readiness says no for these reasons."""

        async def said() -> bool:
            return await self._path.not_ready() >= set(checks)

        await eventually(said, SHOWN_WITHIN)

    def figures(self) -> str:
        mails = Counter(str(mail.message["Message-ID"]) for mail in self._path.mails.received)
        return (
            f"{len(self.made)} promised, {len(self.refused)} refused, {mails.total() - len(mails)} doubled,"
            f" {max(mails.values(), default=0)} mails at most for one code, recovered in {self.recovered_after:.1f} s"
        )

    def secrets_in(self, text: str) -> list[str]:
        """Letters beside a code: a fraction of a second in a time looks like one."""
        codes = [code for code in self.codes if re.search(rf"(?<![\w.-]){code}(?![\w-])", text)]
        return codes + [promise.temporary for promise in self.made if promise.temporary in text]


def oldest_waits() -> float:
    """Seconds that the oldest code in auth's outbox has waited, as auth's metrics say."""
    return _metric("login2fa_outbox_oldest_seconds")


def not_confirmed() -> float:
    """Attempts of auth to publish that failed, as auth's metrics say."""
    return _metric("login2fa_outbox_failed_total")


def _metric(name: str) -> float:
    return REGISTRY.get_sample_value(name, {"service": "auth"}) or 0


def _the_one_code(mails: list[Received]) -> str:
    """A mail that came more than once is the same mail."""
    (same,) = {(mail.code, str(mail.message["Message-ID"])) for mail in mails}
    return same[0]


async def until_quiet(path: CodesPath) -> None:
    """Until nothing is left that would make a mail; the notifier is stopped then."""
    async with await aio_pika.connect(path.amqp_url) as connection, connection.channel() as operator:

        async def nothing_waits() -> bool:
            return not await path.sql.fetchval("SELECT count(*) FROM auth.outbox") and not await in_queues(operator)

        await eventually(nothing_waits, PATIENCE)
        await path.stop_notifier()
        while await in_queues(operator):  # what it had in its hands is back
            await path.start_notifier()
            await eventually(nothing_waits, PATIENCE)
            await path.stop_notifier()


async def in_queues(operator: AbstractChannel) -> int:
    """Codes in the queues that nobody holds, those that wait for another attempt included."""
    queues = [OTP_DELIVERY.queue, *(OTP_DELIVERY.retry_queue(delay) for delay in RETRY_DELAYS)]
    declared = [await operator.declare_queue(queue, passive=True) for queue in queues]
    return sum(queue.declaration_result.message_count or 0 for queue in declared)
