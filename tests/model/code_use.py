"""One challenge, tried in several ways and renewed by several clients at once: at most one success, and never too many
tries (I5).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from services.auth.accounts.notices import Notices
from services.auth.factors.back_pressure import BackPressure
from services.auth.factors.challenges import Challenges
from services.auth.factors.codes import Codes
from services.auth.factors.failed_codes import WrongCodes
from services.auth.factors.mailed_code import MailedCode
from services.auth.factors.methods import Method
from services.auth.factors.open_challenges import OpenChallenges
from services.auth.factors.proofs import Attempt, OtpNotValid, Proof
from shared.audit_words import Act, Reason
from shared.tokens.access import MFA, OTP
from shared.web.bearer import TokenNotValid
from shared.web.problems import Problem, TooManyRequests
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
class AppCode:
    """A code of an app, of which the challenge knows only whether it is right. It shares the attempts."""

    method: ClassVar[Method] = "totp"
    amr: ClassVar[Sequence[str]] = (OTP, MFA)
    counts: ClassVar[bool] = True
    act: ClassVar[Act] = "code_verified"
    wrong: ClassVar[Reason] = "wrong_code"
    refusal: ClassVar[type[Problem]] = OtpNotValid

    right: bool

    async def holds(self, _connection: AsyncConnection, _attempt: Attempt) -> bool:
        return self.right


@dataclass(frozen=True, slots=True)
class Try:
    """The facts when it began: nothing else can be held against its success."""

    is_right: bool
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
        self._code_maker = Codes(self.auth.settings, self.auth.keys.otp_sealer, back_pressure, wrong_codes)
        self._challenges = self.make(self.auth.settings, self._code_maker)
        self._open_challenges = OpenChallenges(self.auth.settings, self._code_maker)
        self._id = self.auth.commit(self._challenges.request, self.auth.new_identity(), ["totp", "email"]).id
        self.auth.commit(self._open_challenges.send_code, self._id)
        self._codes = [self.auth.latest_code(self._id)]
        self._clients = Clients(self.auth, self._ended)
        self._tried = 0
        self._successes = 0
        self._expired = False

    @precondition(lambda self: self._clients.begun < MOST_CLIENTS)
    @rule(code=st.sampled_from(["newest", "wrong", "first"]), at_once=AT_ONCE)
    def verify(self, code: str, at_once: bool) -> None:
        digits = {"newest": self._codes[-1], "first": self._codes[0], "wrong": wrong(self._codes[-1])}[code]
        self._begin(f"verify({code})", self._mailed(digits), is_right=digits == self._codes[-1], at_once=at_once)

    @precondition(lambda self: self._clients.begun < MOST_CLIENTS)
    @rule(right=st.booleans(), at_once=AT_ONCE)
    def verify_by_app(self, right: bool, at_once: bool) -> None:
        what = f"verify by app({'right' if right else 'wrong'})"
        self._begin(what, AppCode(right), is_right=right, at_once=at_once)

    def _mailed(self, digits: str) -> MailedCode:
        return MailedCode(self._code_maker, digits)

    def _begin(self, what: str, proof: Proof, *, is_right: bool, at_once: bool) -> None:
        async def verify(connection: AsyncConnection) -> object:
            return await self._challenges.attempt(connection, self._id, proof)

        self._clients.begin(what, verify, Try(is_right, self._expired, self._tried), at_once=at_once)

    @precondition(lambda self: self._clients.begun < MOST_CLIENTS)
    @rule(at_once=AT_ONCE)
    def resend(self, at_once: bool) -> None:
        async def resend(connection: AsyncConnection) -> None:
            await self._open_challenges.send_code(connection, self._id)

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
            if client.result is not None:
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
        if not begun.is_right:
            raise Violated("I5", f"{name} was accepted, which was wrong, or older than the newest code when it began")
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
            verified = self.auth.commit(self._challenges.attempt, self._id, self._mailed(code)) is not None
            if verified != good:
                its = f"{'an old' if alive else 'the newest'} code of a {'living' if alive else 'dead'} challenge"
                raise Violated("I5", f"{its} was accepted" if verified else "a good code was refused")
            self._tried += 1
            self._successes += verified
