"""Does a service answer at the address that another one has?"""

from __future__ import annotations

from typing import Final

import httpx

from services.doctor.findings import Finding, fail, ok
from shared.configuration.connections import trusted

_SECONDS: Final = 2.5


class NoAnswer(Exception):
    pass


async def get(url: str) -> httpx.Response:
    """Raises `NoAnswer`."""
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False, verify=trusted()) as client:
            return await client.get(url)
    except httpx.TimeoutException:
        raise NoAnswer("no answer in time") from None
    except httpx.HTTPError as error:
        raise NoAnswer(str(error) or type(error).__name__) from None


async def api(variable: str, url: str) -> list[Finding]:
    """Any answer will do, also a 404."""
    try:
        await get(url)
    except NoAnswer as error:
        return [fail("api", variable, f"{url}: {error}", f"Look at {variable}, and whether the service runs")]
    return [ok("api", variable, "answers")]
