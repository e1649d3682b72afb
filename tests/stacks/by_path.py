"""What a gateway does, in the client: a path goes to the service that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping

import httpx


class ByPath(httpx.AsyncBaseTransport):
    """`origins` maps the beginning of a path to an address; the first that fits is taken."""

    def __init__(self, origins: Mapping[str, str]) -> None:
        self._origins = {prefix: httpx.URL(origin) for prefix, origin in origins.items()}
        self._transport = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        origin = next(url for prefix, url in self._origins.items() if request.url.path.startswith(prefix))
        request.url = request.url.copy_with(scheme=origin.scheme, host=origin.host, port=origin.port)
        return await self._transport.handle_async_request(request)

    async def aclose(self) -> None:
        await self._transport.aclose()
