"""Transactions of real code on a real Postgres, one statement at a time: which one goes next is for the walk to say.

A statement that waits for another transaction's lock is left waiting, and goes on by itself when that one ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

from hypothesis import note
from sqlalchemy import Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database.pool import Database
from tests.model.postgres import OnPostgres

Operation = Callable[[AsyncConnection], Awaitable[Any]]

_BLOCKED = "SELECT count(*) FROM unnest($1::int[]) AS pid WHERE cardinality(pg_blocking_pids(pid)) > 0"
_LOOK_AGAIN = 0.002
_LONGEST = 30.0


class Abandoned(Exception):
    """Its process has died: rolled back."""


class Client:
    """`ended` when committed, rolled back or failed. It sets `news` when it stops at its turn, and when it ends.

    `about` is for the model: what it knows of this client.
    """

    def __init__(self, name: str, database: Database, operation: Operation, news: asyncio.Event, about: object) -> None:
        self.name = name
        self.about = about
        self.result: object = None
        self.failed: Exception | None = None
        self.committed = False
        self.backend = 0
        self._turn = asyncio.Event()
        self._abandoned = False
        self.waits = False  # for its turn
        self.next = ""  # what it will do then
        self._news = news
        self._task = asyncio.create_task(self._run(database, operation), name=name)
        self._task.add_done_callback(lambda _: news.set())

    @property
    def ended(self) -> bool:
        return self._task.done()

    @property
    def moves(self) -> bool:
        return not (self.ended or self.waits)

    async def _run(self, database: Database, operation: Operation) -> None:
        try:
            async with database.transaction() as connection:
                self.backend = int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
                stepped = _Stepped(connection, self._my_turn)
                self.result = await operation(cast("AsyncConnection", stepped))
                await self._my_turn("COMMIT")
            self.committed = True
        except Abandoned:
            return
        except Exception as error:  # noqa: BLE001 - what a client got is for the model to judge
            self.failed = error

    async def _my_turn(self, what: str) -> None:
        self.next, self.waits = what, True
        self._news.set()
        await self._turn.wait()
        self._turn.clear()
        if self._abandoned:
            raise Abandoned

    def go_on(self) -> None:
        """Its next statement; after the last one, its commit."""
        if self.waits:
            self.waits = False
            self._turn.set()

    def abandon(self) -> None:
        self._abandoned = True
        self.go_on()


class _Stepped:
    """An AsyncConnection that asks for its turn before each statement."""

    def __init__(self, connection: AsyncConnection, turn: Callable[[str], Awaitable[None]]) -> None:
        self._connection = connection
        self._turn = turn

    async def execute(self, statement: Executable, *values: Any) -> Any:
        await self._turn(str(statement).split(maxsplit=1)[0])
        return await self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Clients:
    """Those that are on their way at the same time; each step is told, as it happens (`-s` shows it, and a failure).

    `on_end` hears of each that has ended, once. Of the latest, 1 is the last that has begun.
    """

    def __init__(self, on: OnPostgres, on_end: Callable[[Client], None]) -> None:
        self._on = on
        self._on_end = on_end
        self._news = asyncio.Event()
        self._open: dict[int, Client] = {}
        self.begun = 0

    def begin(self, what: str, operation: Operation, about: object, *, at_once: bool) -> None:
        async def begun() -> Client:
            return Client(f"client {self.begun}, {what}", self._on.database, operation, self._news, about)

        self.begun += 1
        client = self._open[self.begun] = self._on.run(begun())
        self._settle()
        while at_once and client.waits:
            self._go_on(client)

    def go_on(self, of_the_latest: int) -> None:
        """Its next statement; none if it has ended, or waits for a lock."""
        if client := self._open.get(self.begun + 1 - of_the_latest):
            self._go_on(client)

    def abandon(self, of_the_latest: int) -> None:
        client = self._open.get(self.begun + 1 - of_the_latest)
        if client is not None and client.waits:
            note(f"  {client.name}: dies")
            client.abandon()
            self._settle()

    def run_to_the_end(self) -> None:
        """In turn: the closest race that the walk has left possible."""
        while self._open:
            for client in tuple(self._open.values()):
                self._go_on(client)

    def _go_on(self, client: Client) -> None:
        if client.waits:
            note(f"  {client.name}: {client.next}")
            client.go_on()
            self._settle()

    def _settle(self) -> None:
        self._on.run(self._until_still())
        for number, client in tuple(self._open.items()):
            if client.ended:
                del self._open[number]
                self._on_end(client)

    async def _until_still(self) -> None:
        """Each of them waits for its turn, or for another one's lock, or has ended."""
        async with asyncio.timeout(_LONGEST):
            while any(client.moves for client in self._open.values()):
                with suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_AGAIN):
                        await self._news.wait()
                self._news.clear()
                moving = [client.backend for client in self._open.values() if client.moves]
                blocked = moving and await self._on.admin.fetchval(_BLOCKED, moving)
                if blocked == len(moving) and not self._news.is_set():
                    return

    def close(self) -> None:
        while self._open:  # who waits for a lock has it once its holder has been abandoned
            for client in self._open.values():
                if client.waits:
                    client.abandon()
            self._on.run(self._until_still())
            self._open = {number: client for number, client in self._open.items() if not client.ended}
