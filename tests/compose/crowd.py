"""Several clients side by side, logging in while something is done to the containers."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from login2fa_testing import Inbox, Person
from tests.compose.ledger import ANSWER_SECONDS, Ledger
from tests.compose.visits import Visit, Visitor
from tests.polling import wait_until

CLIENTS = 8
VISITS_SECONDS = 300.0  # 30 s on a quiet machine


class Crowd:
    """Its clients take one person after the other from `people`, until nobody is left or `stop` is called.

    With `again` a person may come back after a visit; nobody is there twice at a time, with two codes in one inbox.
    """

    def __init__(
        self, people: Iterable[Person], again: bool, visitor: Visitor, ledger: Ledger, over: threading.Event
    ) -> None:
        self.ledger = ledger
        self.visits: list[Visit] = []
        self._people = deque(people)
        self._again = again
        self._visitor = visitor
        self._lock = threading.Lock()
        self._over = over
        self._stopped = threading.Event()
        self._executor = ThreadPoolExecutor(CLIENTS)
        self._clients: list[Future[None]] = []

    def start(self) -> None:
        self._clients = [self._executor.submit(self._come_and_go) for _ in range(CLIENTS)]

    def until_visits(self, count: int) -> None:
        """Return when so many logins are done; raise what a client has raised."""

        def done() -> bool:
            for client in self._clients:
                if client.done():
                    client.result()
            return len(self.visits) >= count

        wait_until(done, VISITS_SECONDS)

    def stop(self) -> None:
        """Begin no more; return when those under way are done."""
        self._stopped.set()
        self.until_home()

    def until_home(self) -> None:
        for client in self._clients:
            client.result(VISITS_SECONDS)

    def close(self) -> None:
        self._stopped.set()
        self._over.set()
        self._executor.shutdown()

    def _come_and_go(self) -> None:
        while not self._stopped.is_set() and (person := self._next()) is not None:
            visit = self._visitor.visit(person)
            with self._lock:
                self.visits.append(visit)
                if self._again:
                    self._people.append(visit.person)

    def _next(self) -> Person | None:
        with self._lock:
            return self._people.popleft() if self._people else None


@contextmanager
def crowd(
    gateway: str, inbox: Inbox, people: Iterable[Person], *, patience: float, again: bool = False
) -> Iterator[Crowd]:
    """At work inside the block; `inbox` has given out what it holds for `people` already."""
    ledger, over = Ledger(), threading.Event()
    with httpx.Client(base_url=gateway, timeout=ANSWER_SECONDS, trust_env=False) as client:
        at_work = Crowd(people, again, Visitor(ledger, client, inbox, patience=patience, over=over), ledger, over)
        try:
            at_work.start()
            yield at_work
        finally:
            at_work.close()


def strangers(count: int) -> list[Person]:
    """People who have to register first."""
    return [Person(is_2fa=True) for _ in range(count)]
