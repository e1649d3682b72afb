"""Shares of the hashing queue (shared.passwords.hashing), per process: n replicas allow n times as much."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from uuid import UUID

from shared.client_address import told_apart
from shared.observability.correlation import client_address
from shared.web.problems import TooManyRequests


class HashShares:
    def __init__(self) -> None:
        self._changing: set[UUID] = set()

    def holders(self, account: UUID | None = None) -> list[Hashable]:
        return [holder for holder in (told_apart(client_address.get()), account) if holder is not None]

    @asynccontextmanager
    async def one_change(self, account: UUID) -> AsyncIterator[None]:
        """Raises `TooManyRequests` while another request changes the password of this account."""
        if account in self._changing:
            raise TooManyRequests(retry_after=1)
        self._changing.add(account)
        try:
            yield
        finally:
            self._changing.discard(account)
