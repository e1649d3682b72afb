"""Questions of the same moment share one read, so that a read costs each of them less the more there are.

1. No answer is kept: a read begins after all the questions were asked that it answers.
2. While one read is under way the questions that come in wait, and share the next one.
3. A read that hangs stops nobody: after `_PATIENCE` its questions are asked once more, together with those that wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_PATIENCE = 0.25
_MOST = 500


@dataclass(slots=True, eq=False)
class _Asked(Generic[Question, Answer]):
    question: Question
    answer: asyncio.Future[Answer | None]
    repeated: bool = False


class AskedTogether(Generic[Question, Answer]):
    """`read` gives the answers to all these questions; one that it leaves out is answered None."""

    def __init__(self, read: Callable[[AbstractSet[Question]], Awaitable[Mapping[Question, Answer]]]) -> None:
        self._read = read
        self._waiting: list[_Asked[Question, Answer]] = []
        self._current: asyncio.Task[None] | None = None
        self._reads: set[asyncio.Task[None]] = set()

    async def ask(self, question: Question) -> Answer | None:
        """Raises what `read` raises."""
        asked: _Asked[Question, Answer] = _Asked(question, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._current is None:
            self._begin()
        return await asked.answer

    def _begin(self) -> None:
        self._current = asyncio.create_task(self._answer(), name="asked together")
        self._reads.add(self._current)  # one that hangs, and is no longer the current one, could be collected
        self._current.add_done_callback(self._ended)

    def _ended(self, read: asyncio.Task[None]) -> None:
        self._reads.discard(read)
        if self._current is read:
            self._go_on()

    def _go_on(self) -> None:
        self._current = None
        if self._waiting:
            self._begin()

    def _ask_again(self, asked: list[_Asked[Question, Answer]]) -> None:
        again = [each for each in asked if not each.answer.done() and not each.repeated]
        for each in again:
            each.repeated = True
        self._waiting[:0] = again
        self._go_on()

    async def _answer(self) -> None:
        asked, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        overdue = asyncio.get_running_loop().call_later(_PATIENCE, self._ask_again, asked)
        try:
            answers = await self._read({each.question for each in asked})
            for each in asked:
                if not each.answer.done():  # whoever hangs up no longer waits
                    each.answer.set_result(answers.get(each.question))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is theirs who asked
            for each in asked:
                if not each.answer.done():
                    each.answer.set_exception(error)
        finally:
            overdue.cancel()
            for each in asked:
                each.answer.cancel()  # of a read that was cancelled: else they would wait for ever
