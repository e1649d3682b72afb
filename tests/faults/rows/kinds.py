"""The kinds of codes that a fault may meet on three processes: that of a login, and that of a forgotten password."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final, Literal

import httpx
from sqlalchemy import Table

from services.auth import tables as auth
from services.users import tables as users
from shared.messaging.topology import ACCOUNT_CODES, OTP_DELIVERY, Subscription
from tests.faults.knowledge import until_known, until_told
from tests.faults.secrecy import NEW_PASSWORD
from tests.polling import eventually
from tests.servers.databases import connected
from tests.servers.mail import Received
from tests.stacks.processes import Processes
from tests.stacks.program import Program
from tests.stacks.stack import Person
from tests.stacks.steps import submit_code, submit_password

CALM = "UPDATE users.in_step SET told_at = now() + interval '1 minute'"


class Kind(ABC):
    """`service` commits its requests; `purpose` is in the header of its mails."""

    service: Literal["auth", "users"]
    purpose: str
    subscription: Subscription
    outbox: Table

    def __str__(self) -> str:
        return self.purpose

    @abstractmethod
    def program(self, stack: Processes) -> Program: ...

    @abstractmethod
    def database_url(self, stack: Processes) -> str: ...

    @abstractmethod
    async def request(self, stack: Processes, person: Person) -> httpx.Response: ...

    @abstractmethod
    def token(self, answer: httpx.Response) -> str: ...

    @abstractmethod
    def code(self, mail: Received) -> str: ...

    @abstractmethod
    async def opens(self, stack: Processes, token: str, code: str) -> None: ...

    @abstractmethod
    async def committed(self, stack: Processes, people: Iterable[Person]) -> set[str]:
        """The ids of the accounts for which a code is committed."""

    async def until_calm(self, stack: Processes) -> None:
        """Until its relay has nothing to do, and gets nothing but what a test asks for."""
        await until_told(stack, self.service)

    async def ask(self, stack: Processes, person: Person) -> str | None:
        """Returns what its client needs beside the code; None where no answer came."""
        try:
            answer = await self.request(stack, person)
        except httpx.TransportError:
            return None
        assert answer.is_success, answer.text
        return self.token(answer)

    def mails(self, stack: Processes, person: Person) -> list[Received]:
        return [mail for mail in stack.inbox.mails_to(person.email) if mail.purpose == self.purpose]


class _Login(Kind):
    service = "auth"
    purpose = "login"
    subscription = OTP_DELIVERY
    outbox = auth.outbox

    def program(self, stack: Processes) -> Program:
        return stack.auth

    def database_url(self, stack: Processes) -> str:
        return stack.auth_database_url

    async def request(self, stack: Processes, person: Person) -> httpx.Response:
        return await submit_password(stack, person)

    def token(self, answer: httpx.Response) -> str:
        return str(answer.json()["temporary_token"])

    def code(self, mail: Received) -> str:
        return mail.code

    async def opens(self, stack: Processes, token: str, code: str) -> None:
        answer = await submit_code(stack, token, code)
        assert answer.status_code == 200, answer.text

    async def committed(self, stack: Processes, people: Iterable[Person]) -> set[str]:
        return await _accounts(stack.auth_database_url, "SELECT account_id FROM auth.challenges WHERE true", people)


class _Reset(Kind):
    service = "users"
    purpose = "reset"
    subscription = ACCOUNT_CODES
    outbox = users.outbox

    def program(self, stack: Processes) -> Program:
        return stack.users

    def database_url(self, stack: Processes) -> str:
        return stack.users_database_url

    async def request(self, stack: Processes, person: Person) -> httpx.Response:
        return await stack.http.post("/api/v1/users/password-reset", json={"email": person.email})

    def token(self, answer: httpx.Response) -> str:
        return str(answer.json()["reset_token"])

    def code(self, mail: Received) -> str:
        return mail.account_code

    async def opens(self, stack: Processes, token: str, code: str) -> None:
        """Its owner gets a notice: with it, the notifier is at rest again."""
        answer = await set_password(stack, token, code)
        assert answer.status_code == 204, answer.text
        sink = stack.inbox.sink
        mail = next(each for each in sink.received if each.purpose == self.purpose and self.code(each) == code)
        (owner,) = mail.recipients
        await eventually(lambda: any(each.purpose == "notice" for each in sink.mails_to(owner)))

    async def committed(self, stack: Processes, people: Iterable[Person]) -> set[str]:
        query = "SELECT account_id FROM users.codes WHERE purpose = 'reset' AND code_mac IS NOT NULL"
        return await _accounts(stack.users_database_url, query, people)

    async def until_calm(self, stack: Processes) -> None:
        async with connected(stack.users_database_url) as database:
            await database.execute(CALM)  # no word to auth that it is in step
        await super().until_calm(stack)


LOGIN: Final[Kind] = _Login()
RESET: Final[Kind] = _Reset()


async def set_password(stack: Processes, token: str, code: str) -> httpx.Response:
    form = {"reset_token": token, "code": code, "password": NEW_PASSWORD}
    return await stack.http.post("/api/v1/users/password-reset/confirm", json=form)


async def has_new_password(stack: Processes, person: Person) -> None:
    """Auth has learnt of it."""
    await until_known(stack, person, version=2)
    answer = await submit_password(stack, person, password=NEW_PASSWORD)
    assert answer.status_code == 200, answer.text
    answer = await submit_password(stack, person)
    assert answer.status_code == 400, answer.text


async def _accounts(url: str, query: str, people: Iterable[Person]) -> set[str]:
    async with connected(url) as database:
        rows = await database.fetch(f"{query} AND account_id = ANY($1::uuid[])", [person.id for person in people])
    return {str(row["account_id"]) for row in rows}
