"""One challenge, tried and renewed by several clients at once: at most one success, and never too many tries (I5)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.notices import Notices
from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.challenges import Challenges, Verified
from services.auth.factors.codes import Codes
from services.auth.factors.failed_codes import WrongCodes
from services.auth.factors.open_challenges import OpenChallenges
from shared.web.bearer import TokenNotValid
from shared.web.problems import TooManyRequests
from tests.auth_steps import wrong
from tests.model.postgres import MOST_CLIENTS, Auth
from tests.model.stepped import Client, Clients
from tests.model.walks import Violated

LIFETIME = 240
ATTEMPTS = 2
SETTINGS = {"otp_lifetime": LIFETIME, "otp_attempts": ATTEMPTS, "otp_resends": 2, "otp_resend_cooldown": 0}

AT_ONCE = st.booleans()  # to its end, if no lock holds it up
ONE_OF_THE_LATEST = st.integers(1, 3)


@dataclass(frozen=True, slots=True)
class Try:
    """The facts when it began: nothing else can be held against its success."""

    is_newest: bool
    expired: bool
    tried_before: int


class CodeUse(RuleBasedStateMachine):
    """The steps taken alone decide what may be done, never Postgres: so a walk is possible again."""

    auth: ClassVar[Auth]
    make: ClassVar[Callable[..., Challenges]] = Challenges

    def __init__(self) -> None:
        super().__init__()
        back_pressure = BackPressure(self.auth.settings, self.auth.database)
        wrong_codes = WrongCodes(self.auth.settings.otp_wrong_in_a_row, Notices(self.auth.settings, self.auth.database))
        codes = Codes(self.auth.settings, self.auth.keys.otp_sealer, back_pressure, wrong_codes)
        self._challenges = self.make(self.auth.settings, codes)
        self._open_challenges = OpenChallenges(self.auth.settings, codes)
        self._id = self.auth.commit(self._challenges.request, self.auth.new_identity()).id
        self._codes = [self.auth.latest_code(self._id)]
        self._clients = Clients(self.auth, self._ended)
        self._tried = 0
        self._successes = 0
        self._expired = False

    @precondition(lambda self: self._clients.begun < MOST_CLIENTS)
    @rule(code=st.sampled_from(["newest", "wrong", "first"]), at_once=AT_ONCE)
    def verify(self, code: str, at_once: bool) -> None:
        digits = {"newest": self._codes[-1], "first": self._codes[0], "wrong": wrong(self._codes[-1])}[code]
        begun = Try(digits == self._codes[-1], self._expired, self._tried)

        async def verify(connection: AsyncConnection) -> object:
            return await self._challenges.verify(connection, self._id, digits)

        self._clients.begin(f"verify({code})", verify, begun, at_once=at_once)

    @precondition(lambda self: self._clients.begun < MOST_CLIENTS)
    @rule(at_once=AT_ONCE)
    def resend(self, at_once: bool) -> None:
        async def resend(connection: AsyncConnection) -> None:
            await self._open_challenges.resend(connection, self._id)

        self._clients.begin("resend", resend, None, at_once=at_once)

    @rule(which=st.lists(ONE_OF_THE_LATEST, min_size=1, max_size=4))
    def next_statements(self, which: list[int]) -> None:
        for one in which:
            self._clients.go_on(one)

    @rule(which=ONE_OF_THE_LATEST)
    def die(self, which: int) -> None:
        self._clients.abandon(which)

    @precondition(lambda self: self._clients.begun > 1 and not self._expired)
    @rule()
    def expire(self) -> None:
        self.auth.run(self.auth.clock.forward(LIFETIME))
        self._expired = True

    def _ended(self, client: Client) -> None:
        if client.failed is not None and not isinstance(client.failed, TokenNotValid | TooManyRequests):
            raise Violated("I6", f"{client.name} failed: {client.failed!r}")
        if not client.committed:
            return
        if isinstance(client.about, Try):
            self._tried += 1
            if isinstance(client.result, Verified):
                self._judge_success(client.name, client.about)
        else:
            self._codes.append(self.auth.latest_code(self._id))
        attempts = self.auth.fetch("SELECT attempts FROM auth.challenges WHERE id = $1", self._id)
        if attempts > ATTEMPTS:
            raise Violated("I5", f"{attempts} attempts were counted, {ATTEMPTS} are allowed")

    def _judge_success(self, name: str, begun: Try) -> None:
        self._successes += 1
        if self._successes > 1:
            raise Violated("I5", f"{self._successes} successes with one challenge")
        if begun.tried_before >= ATTEMPTS:
            raise Violated("I5", f"a success after {begun.tried_before} tries, {ATTEMPTS} are allowed")
        if not begun.is_newest:
            raise Violated("I5", f"{name} was accepted, and a newer code had been sent before it began")
        if begun.expired:
            raise Violated("I5", f"{name} was accepted after its expiry")

    def teardown(self) -> None:
        try:
            if sys.exception() is None:  # a walk that has failed is not gone on with
                self._clients.run_to_the_end()
                self._try_them_all()
        finally:
            self._clients.close()

    def _try_them_all(self) -> None:
        """An old code is refused, and one that is good is taken: once."""
        for code in (self._codes[0], self._codes[-1]):
            alive = not self._successes and self._tried < ATTEMPTS and not self._expired
            good = alive and code == self._codes[-1]
            verified = self.auth.commit(self._challenges.verify, self._id, code) is not None
            if verified != good:
                its = f"{'an old' if alive else 'the newest'} code of a {'living' if alive else 'dead'} challenge"
                raise Violated("I5", f"{its} was accepted" if verified else "a good code was refused")
            self._tried += 1
            self._successes += verified
