"""Account codes of one mailbox, asked for, tried and used by several clients at once: each works once at most (I5).

A code fits every open request of its purpose, mailbox and account, and is used up by the use of any other of them.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID, uuid4

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from sqlalchemy.ext.asyncio import AsyncConnection

from services.users.codes import Codes, RightCode, Wanted
from services.users.problems import CodeNotValid
from shared.long_codes import ALPHABET
from tests.model.postgres import MOST_CLIENTS, Users
from tests.model.stepped import Client, Clients
from tests.model.walks import Violated

LIFETIME = 600
ATTEMPTS = 1
SETTINGS = {
    "mailed_code_lifetime": LIFETIME,
    "mailed_code_attempts": ATTEMPTS,
    "mailed_code_cooldown": 0,
    "password_resets_per_hour": 1000,
    "address_proofs_per_hour": 1000,
}

AT_ONCE = st.sampled_from([False, False, True])  # to its end, if no lock holds it up
ONE_OF_THE_LATEST = st.integers(1, 3)
MOSTLY_THE_LAST = st.sampled_from([1, 1, 1, 2, 3])
TRIED = st.sampled_from(["wrong", "wrong", "its own", "first", "newest", "wrong"])

_numbers = itertools.count(1)


@dataclass(eq=False)
class Request:
    """Committed. `code` is empty if none was mailed; `over`: expired, or ended by a use.

    `unsure`: it was committed while the clock moved, or while a use was under way that may have ended it.
    """

    id: UUID
    wanted: Wanted
    code: str
    over: bool = False
    unsure: bool = False

    def is_fitted_by(self, other: Request) -> bool:
        """The code of the other one fits it, while both are open."""
        return bool(other.code) and self._of == other._of

    @property
    def _of(self) -> tuple[object, ...]:
        return self.wanted.purpose, self.wanted.email.casefold(), self.wanted.account


@dataclass(frozen=True)
class Asking:
    wanted: Wanted
    had_expired: bool


@dataclass(frozen=True)
class Try:
    """The facts when it began: nothing else can be held against its success. `of`: whose code it is, if anybody's."""

    request: Request
    of: Request | None
    was_over: bool
    wrong_before: int


@dataclass(frozen=True)
class Use:
    of: Request
    was_over: bool
    before: list[Request] = field(repr=False)  # those that its success ends


class AccountCodeUse(RuleBasedStateMachine):
    """The steps taken alone decide what may be done, never Postgres: so a walk is possible again."""

    users: ClassVar[Users]
    make: ClassVar[Callable[..., Codes]] = Codes

    def __init__(self) -> None:
        super().__init__()
        self._codes = self.make(self.users.settings, self.users.keys.mailed_sealer)
        self._account, self._email = uuid4(), f"person{next(_numbers)}@example.org"
        self._wanted = Wanted(purpose="reset", email=self._email, account=self._account)
        self._requests: list[Request] = []
        self._right: list[tuple[RightCode, Request]] = []
        self._wrong: Counter[Request] = Counter()
        self._used: Counter[Request] = Counter()
        self._expired = False
        self._begun = 0
        self._clients = Clients(self.users, self._ended)
        self._asked(self._wanted, self.users.commit(self._codes.request, self._wanted))
        (first,) = self._requests
        self._right.append((self.users.commit(self._codes.compare, first.id, "reset", first.code), first))

    @precondition(lambda self: self._begun < MOST_CLIENTS)
    @rule(what=st.sampled_from(["again", "in capitals", "to prove it", "somebody else", "nobody"]), at_once=AT_ONCE)
    def request(self, what: str, at_once: bool) -> None:
        wanted = {
            "again": self._wanted,
            "in capitals": Wanted(purpose="reset", email=self._email.upper(), account=self._account),
            "to prove it": Wanted(purpose="verify", email=self._email, account=self._account),
            "somebody else": Wanted(purpose="reset", email=f"other-{self._email}", account=uuid4()),
            "nobody": Wanted(purpose="reset", email=f"no-{self._email}", is_mailed=False),
        }[what]

        async def request(connection: AsyncConnection) -> UUID:
            return await self._codes.request(connection, wanted)

        self._begun += 1
        self._clients.begin(f"request({what})", request, Asking(wanted, self._expired), at_once=at_once)

    @precondition(lambda self: self._begun < MOST_CLIENTS)
    @rule(which=MOSTLY_THE_LAST, code=TRIED, at_once=AT_ONCE)
    def compare(self, which: int, code: str, at_once: bool) -> None:
        request = self._requests[-min(which, len(self._requests))]
        of = {"its own": request, "first": self._requests[0], "newest": self._requests[-1], "wrong": None}[code]
        of = of if of is not None and of.code else None
        letters = of.code if of is not None else _wrong(self._requests[0].code)
        was_over = request.over or of is None or of.over
        begun = Try(request, of, was_over, self._wrong[request])

        async def compare(connection: AsyncConnection) -> RightCode | None:
            return await self._codes.compare(connection, request.id, request.wanted.purpose, letters)

        self._begun += 1
        self._clients.begin(f"compare({code})", compare, begun, at_once=at_once)

    @precondition(lambda self: self._begun < MOST_CLIENTS)
    @rule(which=ONE_OF_THE_LATEST, at_once=AT_ONCE)
    def use(self, which: int, at_once: bool) -> None:
        self._begun += 1
        right, of = self._right[-min(which, len(self._right))]
        same = [each for each in self._requests if of.is_fitted_by(each)]

        async def use(connection: AsyncConnection) -> None:
            if await self._codes.use(connection, right) is None:
                raise CodeNotValid  # rolls back, as whoever uses a code does

        self._clients.begin("use", use, Use(of, of.over, same), at_once=at_once)

    @rule(which=st.lists(ONE_OF_THE_LATEST, min_size=1, max_size=4))
    def next_statements(self, which: list[int]) -> None:
        for one in which:
            self._clients.go_on(one)

    @rule(which=ONE_OF_THE_LATEST)
    def die(self, which: int) -> None:
        self._clients.abandon(which)

    @precondition(lambda self: self._begun > 1 and not self._expired)
    @rule()
    def expire(self) -> None:
        self.users.run(self.users.clock.forward(LIFETIME))
        self._expired = True
        for request in self._requests:
            request.over = True

    def _asked(self, wanted: Wanted, request: UUID) -> None:
        self._requests.append(Request(request, wanted, self.users.code_of(request) if wanted.is_mailed else ""))

    def _ended(self, client: Client) -> None:
        if client.failed is not None and not isinstance(client.failed, CodeNotValid):
            raise Violated("I6", f"{client.name} failed: {client.failed!r}")
        if not client.committed:
            return
        match client.about, client.result:
            case Asking(wanted, had_expired), UUID() as request:
                self._asked(wanted, request)
                self._requests[-1].unsure = self._expired != had_expired
            case Try() as tried, None:
                self._wrong[tried.request] += tried.of is None or not tried.request.is_fitted_by(tried.of)
            case Try() as tried, RightCode() as right:
                self._judge_right(client.name, tried, right)
            case Use() as use, _:
                self._judge_use(client.name, use)
        mine = [request.id for request in self._requests]
        most = self.users.fetch("SELECT max(attempts) FROM users.codes WHERE id = ANY ($1::uuid[])", mine)
        if most > ATTEMPTS:
            raise Violated("I5", f"{most} wrong codes were counted, {ATTEMPTS} are allowed")

    def _judge_right(self, name: str, tried: Try, right: RightCode) -> None:
        if tried.of is None or not tried.request.is_fitted_by(tried.of):
            raise Violated("I5", f"{name}: a code that is not of this request was right")
        if tried.was_over:
            raise Violated("I5", f"{name}: right, and it was over before it began")
        if tried.wrong_before >= ATTEMPTS:
            raise Violated("I5", f"{name}: right after {tried.wrong_before} wrong ones, {ATTEMPTS} are allowed")
        self._right.append((right, tried.of))

    def _judge_use(self, name: str, use: Use) -> None:
        self._used[use.of] += 1
        if self._used[use.of] > 1:
            raise Violated("I5", f"{self._used[use.of]} uses of one code")
        if use.was_over:
            raise Violated("I5", f"{name}: used, and it was over before it began")
        for request in [each for each in self._requests if use.of.is_fitted_by(each)]:
            request.over |= request in use.before
            request.unsure |= request not in use.before

    def teardown(self) -> None:
        try:
            if sys.exception() is None:  # a walk that has failed is not gone on with
                self._clients.run_to_the_end()
                self._try_them_all()
        finally:
            self._clients.close()

    def _try_them_all(self) -> None:
        """By a new request, on which nothing was tried yet: what is over is refused, and what is good is taken once."""
        self._asked(self._wanted, self.users.commit(self._codes.request, self._wanted))
        newest = self._requests[-1]
        for of in [each for each in self._requests if newest.is_fitted_by(each)]:
            request = self.users.commit(self._codes.request, self._wanted)
            right = self.users.commit(self._codes.compare, request, "reset", of.code)
            used = right is not None and self.users.commit(self._codes.use, right) is not None
            if used == of.over and not of.unsure:
                raise Violated("I5", "a code that was over was taken" if used else "a good code was refused")
            if used:
                for each in self._requests:
                    each.over |= newest.is_fitted_by(each)


def _wrong(code: str) -> str:
    return ALPHABET[(ALPHABET.index(code[0]) + 1) % len(ALPHABET)] + code[1:]
