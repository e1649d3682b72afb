"""A virtual host per test: made in batches, because one rabbitmqctl call takes a second whatever it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

BATCH = 20


class Vhosts:
    """Hands out empty virtual hosts of a broker that the tests started."""

    def __init__(self, ctl: Callable[..., str], user: str) -> None:
        self._ctl = ctl
        self._user = user
        self._made = 0
        self._free: list[str] = []
        self._used: list[str] = []

    @contextmanager
    def one(self) -> Iterator[str]:
        """The name of a virtual host that no test has used; it is there until the block ends."""
        if not self._free:
            self._next_batch()
        name = self._free.pop(0)
        yield name
        self._used.append(name)

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
