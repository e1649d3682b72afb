"""How often Postgres is asked for one request: a count, which no machine is too slow for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx
from sqlalchemy import event

from shared.database.pool import _PING, Database
from shared.observability.correlation import correlation_id

# What each of these waits for an answer to; BEGIN and COMMIT too.
ASKING = {"query", "bind_execute", "bind_execute_many"}


class _Listening:
    """The driver's protocol of one connection, every question of which is noted."""

    def __init__(self, protocol: Any, asked: Counter[str]) -> None:
        self._protocol = protocol
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._protocol, name)
        if name not in ASKING:
            return method

        def noted(*arguments: Any, **named: Any) -> Any:
            if arguments[:1] != (_PING,):  # whether a connection that was idle is still alive
                self._asked[correlation_id.get()] += 1
            return method(*arguments, **named)

        return noted


class RoundTrips:
    """Of each request, by its correlation id: what relay and sweep ask meanwhile has another."""

    def __init__(self, database: Database) -> None:
        self._asked: Counter[str] = Counter()
        event.listen(database._engine.sync_engine, "checkout", self._listen)

    def _listen(self, connection: Any, *_: Any) -> None:
        driver = connection.driver_connection
        if not isinstance(driver._protocol, _Listening):
            driver._protocol = _Listening(driver._protocol, self._asked)

    def of(self, answer: httpx.Response) -> int:
        return self._asked[answer.headers["x-request-id"]]

    def of_all_requests(self) -> int:
        """For what several of them ask together, which has the id of any."""
        return sum(count for correlation, count in self._asked.items() if correlation != "-")
