"""Anybody does anything with the tokens and codes that there are; every answer must be the model's."""

from __future__ import annotations

import itertools
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar, TypeVar

import httpx
import jwt
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.auth_steps import wrong
from tests.builders import PASSWORD, registration
from tests.composed import AUTH, USERS, bearer
from tests.model.walks import Violated
from tests.security.login_model import ATTEMPTS, RESENDS, Account, Challenge, Refresh, Session
from tests.security.login_world import World, told

T = TypeVar("T")

LATEST = st.integers(0, 3)  # counted from the newest
MOMENTS = st.sampled_from([1, 9, 10, 29, 30, 120, 239, 240, 3600])

_numbers = itertools.count(1)


class LoginWalk(RuleBasedStateMachine):
    world: ClassVar[World]

    def __init__(self) -> None:
        super().__init__()
        self._accounts = [self._registered(is_2fa=is_2fa) for is_2fa in (True, True, False)]
        self._challenges: list[Challenge] = []
        self._sessions: list[Session] = []

    # --- logging in

    @rule(whose=LATEST, right=st.sampled_from([True, True, True, False]))
    def log_in(self, whose: int, right: bool) -> None:
        account = _pick(self._accounts, whose)
        now, password = self.world.now, account.password if right else "an old password"
        answer = self._ask(account.log_in(now, right=right), self.world.auth.log_in(account.username, password))
        if answer.is_success and account.is_2fa:
            self._must("access_token" not in answer.json(), "a first factor alone gave an access token")
            token = answer.json()["temporary_token"]
            began = Challenge(account, token, [], began=now, sent=now, epoch=account.epoch)
            account.challenges.append(began)
            self._challenges.append(began)
            self._expect_code(began)
        elif answer.is_success:
            self._begun(account, answer)

    @precondition(lambda self: self._challenges)
    @rule(which=LATEST, kind=st.sampled_from(["right", "right", "wrong", "wrong", "first", "of another"]), of=LATEST)
    def verify(self, which: int, kind: str, of: int) -> None:
        challenge, other = _pick(self._challenges, which), _pick(self._challenges, of)
        newest = challenge.codes[-1]
        code = {"right": newest, "wrong": wrong(newest), "first": challenge.codes[0], "of another": other.codes[-1]}
        asked = self.world.auth.verify_otp(challenge.token, code[kind])
        answer = self._ask(challenge.verify(self.world.now, code[kind]), asked)
        if answer.is_success:
            self._begun(challenge.account, answer)

    @precondition(lambda self: self._challenges)
    @rule(which=LATEST)
    def resend(self, which: int) -> None:
        challenge = _pick(self._challenges, which)
        answer = self._ask(challenge.resend(self.world.now), self.world.auth.resend_otp(challenge.token))
        if answer.is_success:
            self._expect_code(challenge)

    @rule(seconds=MOMENTS)
    def time_passes(self, seconds: int) -> None:
        self.world.pass_time(seconds)

    # --- logged in

    @precondition(lambda self: self._sessions)
    @rule(which=LATEST, token=LATEST)
    def refresh(self, which: int, token: int) -> None:
        session = _pick(self._sessions, which)
        used = _pick(session.refreshes, token)
        answer = self._ask(used.use(self.world.now), self.world.auth.refresh(used.token))
        if answer.is_success and used.given is None:
            used.given = answer.text
            self._given(session, answer)
        elif answer.is_success:
            self._must(answer.text == used.given, "a repeat gave another pair")

    @precondition(lambda self: self._sessions)
    @rule(which=LATEST, token=LATEST, everywhere=st.sampled_from([False, False, True]))
    def log_out(self, which: int, token: int, everywhere: bool) -> None:
        session = _pick(self._sessions, which)
        headers = bearer(_pick(session.accesses, token))
        asked = self.world.auth.http.post(f"{AUTH}/logout", headers=headers, params={"all": everywhere})
        if self._ask("204" if session.lives() else "401 invalid_token", asked).is_success:
            for each in self._of(session.account) if everywhere else [session]:
                each.ended = True

    @precondition(lambda self: self._sessions)
    @rule(which=LATEST, other=LATEST)
    def end_one(self, which: int, other: int) -> None:
        session, target = _pick(self._sessions, which), _pick(self._sessions, other)
        own = target.account is session.account and target.lives()
        expected = ("204" if own else "404 item_not_found") if session.lives() else "401 invalid_token"
        headers = bearer(session.accesses[-1])
        if self._ask(expected, self.world.auth.http.delete(f"{AUTH}/sessions/{target.id}", headers=headers)).is_success:
            target.ended = True

    @precondition(lambda self: any(each.lives() for each in self._sessions))
    @rule(which=LATEST, knows=st.sampled_from([True, True, False]))
    def change_password(self, which: int, knows: bool) -> None:
        session = _pick([each for each in self._sessions if each.lives()], which)
        account, new = session.account, f"{PASSWORD} {next(_numbers)}"
        current = account.password if knows else "an old password"
        body = {"password": new, "confirm_password": new, "current_password": current}
        headers = bearer(session.accesses[-1])
        asked = self.world.users.http.post(f"{USERS}/change-password", json=body, headers=headers)
        if self._ask("200" if knows else "403 current_password_wrong", asked).is_success:
            account.change_password(new, session)
            self.world.known(account.id)

    # --- whatever was done

    def teardown(self) -> None:
        """Each token that there ever was is worth what the model says."""
        auth = self.world.auth
        for challenge in self._challenges:
            answer = self._ask(challenge.look(self.world.now), auth.challenge(challenge.token))
            if answer.is_success:
                left = (answer.json()["attempts_left"], answer.json()["resends_left"])
                self._must(left == (ATTEMPTS - challenge.attempts, RESENDS - challenge.resends), f"{left} are left")
        for session in self._sessions:
            for access in session.accesses:
                asked = auth.http.get(f"{AUTH}/sessions", headers=bearer(access))
                answer = self._ask("200" if session.lives() else "401 invalid_token", asked)
                if answer.is_success:
                    listed = {each["id"] for each in answer.json()}
                    self._must(
                        listed == {each.id for each in self._of(session.account) if each.lives()}, "other sessions"
                    )

    def _registered(self, *, is_2fa: bool) -> Account:
        body = registration(is_2fa=is_2fa)
        answer = self._ask("201", self.world.users.http.post(f"{USERS}/registration", json=body))
        account = Account(answer.json()["id"], body["username"], body["email"], PASSWORD, is_2fa)
        self.world.known(account.id)
        return account

    def _ask(self, expected: str, asked: Coroutine[Any, Any, httpx.Response]) -> httpx.Response:
        answer = self.world.do(asked)
        self._must(told(answer) == expected, f"{answer.request.url.path} says {told(answer)}, not {expected}")
        return answer

    def _must(self, true: bool, otherwise: str) -> None:
        if not true:
            raise Violated("the model", otherwise)

    def _expect_code(self, challenge: Challenge) -> None:
        account = challenge.account
        account.codes.append(self.world.code(account.email, len(account.codes) + 1))
        challenge.codes.append(account.codes[-1])

    def _begun(self, account: Account, answer: httpx.Response) -> None:
        claims = jwt.decode(answer.json()["access_token"], options={"verify_signature": False})
        self._must(claims["sub"] == account.id, "the token is of somebody else")
        session = Session(account, claims["sid"], account.epoch)
        self._sessions.append(session)
        self._given(session, answer)

    def _given(self, session: Session, answer: httpx.Response) -> None:
        session.accesses.append(answer.json()["access_token"])
        session.refreshes.append(Refresh(session, answer.json()["refresh_token"]))

    def _of(self, account: Account) -> list[Session]:
        return [each for each in self._sessions if each.account is account]


def _pick(things: Sequence[T], from_the_end: int) -> T:
    return things[-1 - from_the_end % len(things)]
