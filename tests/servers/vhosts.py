"""A virtual host per test: made in batches, because one rabbitmqctl call takes a second whatever it does.

One with the topology is used again, emptied: its quorum queues take longer to make than most tests take.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

BATCH = 5


class Vhosts:
    """Hands out empty virtual hosts of a broker that the tests started."""

    def __init__(self, ctl: Callable[..., str], user: str) -> None:
        self._ctl = ctl
        self._user = user
        self._made = 0
        self._free: list[str] = []
        self._used: list[str] = []
        self._empty: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The name of a virtual host that no test has used; it is there until the block ends."""
        name = self._next()
        yield name
        self._used.append(name)

    @asynccontextmanager
    async def with_topology(
        self, declare: Callable[[str], Awaitable[None]], empty: Callable[[str], Awaitable[bool]]
    ) -> AsyncIterator[str]:
        """The name of one that `declare` has prepared, and that comes again if `empty` could empty it."""
        if self._empty:
            name = self._empty.pop()
        else:
            name = self._next()
            await declare(name)
        yield name
        (self._empty if await empty(name) else self._used).append(name)

    def _next(self) -> str:
        if not self._free:
            self._next_batch()
        return self._free.pop(0)

    def _next_batch(self) -> None:
        self._free = [f"test{number}" for number in range(self._made, self._made + BATCH)]
        self._made += BATCH
        # The quorum queues of finished tests cost processes and disk.
        gone, self._used = self._used, []
        user = _binary(self._user)
        self._ctl(
            "eval",
            f"[rabbit_vhost:delete(V, {user}) || V <- {_list(gone)}],"
            f"[begin ok = rabbit_vhost:add(V, {user}),"
            " ok = rabbit_auth_backend_internal:set_permissions("
            f"{user}, V, <<'.*'>>, <<'.*'>>, <<'.*'>>, {user})"
            f" end || V <- {_list(self._free)}], ok.".replace("'", '"'),
        )


def _binary(text: str) -> str:
    return f"<<'{text}'>>"


def _list(names: list[str]) -> str:
    return f"[{', '.join(map(_binary, names))}]"
