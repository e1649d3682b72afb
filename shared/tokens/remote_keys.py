"""Auth's public keys (RFC 7517), fetched in the background; the last ones are kept while auth is away."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import jwt
import structlog

from shared.configuration.connections import trusted
from shared.tokens.access import AccessToken, AccessTokens
from shared.tokens.signed import Kind, UnknownKey
from shared.web.problems import Unavailable

log = structlog.get_logger()


class RemoteKeys:
    def __init__(self, url: str, *, interval: float = 300.0, early_interval: float = 5.0, timeout: float = 2.0) -> None:
        self._url = url
        self._interval = interval
        self._early_interval = early_interval
        self._timeout = timeout
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tokens = AccessTokens()
        self._fetched_at = -early_interval
        self._fetching: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=trusted())

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="jwks refresh")

    async def close(self) -> None:
        tasks = [task for task in (self._task, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    @property
    def known(self) -> bool:
        """Whether tokens can be checked: once true, it stays so."""
        return bool(self._keys)

    async def read(self, token: str, expected: Kind) -> AccessToken:
        """Raises `TokenInvalid`, or `Unavailable` until the first keys have been fetched."""
        try:
            return self._tokens.read(token, expected, self._keys.get)
        except UnknownKey:
            await self._fetch_early()
            if not self._keys:
                raise Unavailable from None
            return self._tokens.read(token, expected, self._keys.get)

    async def _run(self) -> None:
        while True:
            await self._fetch()
            # Ask often until the first answer: without keys nobody gets in.
            await asyncio.sleep(self._interval if self._keys else 0.5)

    async def _fetch_early(self) -> None:
        """An unknown `kid` may mean a rotation: one fetch for all waiting, at most one per `early_interval` seconds."""
        if self._fetching is None:
            if time.monotonic() - self._fetched_at < self._early_interval and self._keys:
                return
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetch_ended)
        # Shielded: one client that hangs up must not cancel the fetch that others wait for.
        await asyncio.shield(self._fetching)

    def _fetch_ended(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        self._fetched_at = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._client.get(self._url)
            answer.raise_for_status()
            keys = signing_keys(answer.json())
        except Exception as error:  # noqa: BLE001 - the refresh must go on after any error
            log.warning("public keys not fetched", url=self._url, error=type(error).__name__)
            return
        self._keys = keys


def signing_keys(document: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    """The signature keys of a key set by `kid` (RFC 7517 section 4.2). Raises `jwt.PyJWTError`."""
    keys = jwt.PyJWKSet.from_dict(document).keys
    return {key.key_id: key for key in keys if key.key_id and key.public_key_use == "sig"}
